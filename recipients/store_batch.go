package recipients

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/internal/fault"
	"github.com/stratakit/strata/tenancy"
)

// MaxBatch is how many recipients one call takes at most.
const MaxBatch = 1_000

// inTx runs fn in a transaction of its own, and again when others deadlocked with it.
func inTx[T any](ctx context.Context, s *Store, fn func(tx *tenancy.Tx) ([]T, error)) (out []T, err error) {
	if _, err := tenancy.DomainFrom(ctx); err != nil {
		return nil, err
	}
	err = s.db.InTxRetry(ctx, func(tx *tenancy.Tx) (err error) {
		out, err = fn(tx)
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// inSavepoint runs fn so that an error undoes all that it did in tx, and no more: a limit
// is the last thing that refuses, when the row stands, and a taken value would abort the
// transaction.
func inSavepoint[T any](ctx context.Context, tx *tenancy.Tx, fn func(tx *tenancy.Tx) (T, error)) (out T, err error) {
	err = tx.Savepoint(ctx, func(tx *tenancy.Tx) (err error) {
		out, err = fn(tx)
		return err
	})
	if err != nil {
		var none T
		return none, err
	}
	return out, nil
}

// one is what a call with one row returns, many what one with several does.
func one[T any](rows []T, err error) (out T, _ error) {
	if err != nil {
		return out, alone(err)
	}
	return rows[0], nil
}

func many[T any](rows []T, err error) ([]T, error) { return rows, together(err) }

// begin is what every write begins with.
func (s *Store) begin(ctx context.Context, tx *tenancy.Tx, rows int) (*customfields.Set, error) {
	if rows > MaxBatch {
		return nil, fmt.Errorf("%d were given: %w", rows, ErrTooMany)
	}
	if _, err := tenancy.DomainFrom(ctx); err != nil {
		return nil, err
	}
	return s.fields.SetTx(ctx, tx)
}

// held is a recipient that the transaction has locked, its custom fields by their slots.
type held struct {
	Recipient

	emailNorm string
}

// Which recipients, as SQL.
const (
	live    = `r.deleted_at IS NULL`
	deleted = `r.deleted_at IS NOT NULL`
	either  = `true`
)

// hold locks recipients against every other writer, in the order of their ids: $2 of the
// condition is among.
func (s *Store) hold(ctx context.Context, tx *tenancy.Tx, condition string, among any) (rows []held, err error) {
	err = tx.Read(ctx, heldSQL(condition)+` ORDER BY r.id FOR NO KEY UPDATE`, []any{tx.Tenant().DomainID, among}, func(found pgx.Rows) (err error) {
		rows, err = collectHeld(found)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("recipients: lock: %w", err)
	}
	return rows, nil
}

func heldSQL(condition string) string {
	return `SELECT ` + recipientColumns + `, r.email_norm FROM strata.recipients r WHERE r.domain_id = $1 AND ` + condition
}

func collectHeld(found pgx.Rows) ([]held, error) {
	return pgx.CollectRows(found, func(row pgx.CollectableRow) (h held, err error) {
		err = h.scan(row, &h.CustomFields, &h.emailNorm)
		return h, err
	})
}

// holdIDs locks those of ids that are which, and returns them in the order of ids, with what
// is wrong: one that is not there, is named twice, or has none of versions.
func (s *Store) holdIDs(ctx context.Context, tx *tenancy.Tx, ids []ID, which string, versions []IfVersion) ([]held, problems, error) {
	found, err := s.hold(ctx, tx, `r.id = ANY ($2) AND `+which, ids)
	if err != nil {
		return nil, nil, err
	}
	byID := make(map[ID]held, len(found))
	for _, h := range found {
		byID[h.ID] = h
	}
	var wrong problems
	rows, first := make([]held, len(ids)), make(map[ID]int, len(ids))
	for i, id := range ids {
		before, twice := first[id]
		h, there := byID[id]
		switch {
		case twice:
			wrong.addField(i, tenancy.FieldError{Field: "id", Code: "duplicate", Message: fmt.Sprintf("is that of row [%d] too", before)})
		case !there:
			wrong.add(i, ErrNotFound)
		case len(versions) > 0 && !slices.Contains(versions, IfVersion(h.Version)):
			wrong.add(i, fmt.Errorf("version %d was given, it is %d: %w", versions[0], h.Version, ErrVersion))
		}
		first[id], rows[i] = i, h
	}
	return rows, wrong, nil
}

// addresses are rows of a call by their normalised address.
type addresses map[string]int

// add notes the address of a row, or what is wrong when another row has it too.
func (a addresses) add(row int, emailNorm string, wrong *problems) {
	if before, twice := a[emailNorm]; twice {
		wrong.addField(row, tenancy.FieldError{Field: "email", Code: "duplicate", Message: fmt.Sprintf("is that of row [%d] too", before)})
		return
	}
	a[emailNorm] = row
}

// findTaken adds to wrong the rows whose address a live recipient has.
func (s *Store) findTaken(ctx context.Context, tx *tenancy.Tx, a addresses, wrong *problems) error {
	norms := make([]string, 0, len(a))
	for norm := range a {
		norms = append(norms, norm)
	}
	err := tx.Read(ctx, `SELECT r.email_norm, r.id FROM strata.recipients r WHERE r.domain_id = $1 AND r.email_norm = ANY ($2) AND r.deleted_at IS NULL`,
		[]any{tx.Tenant().DomainID, norms}, func(rows pgx.Rows) error {
			var norm string
			var id ID
			_, err := pgx.ForEachRow(rows, []any{&norm, &id}, func() error {
				wrong.add(a[norm], &EmailTakenError{ID: id})
				return nil
			})
			return err
		})
	if err != nil {
		return fmt.Errorf("recipients: find addresses that are taken: %w", err)
	}
	return nil
}

// claim runs write, which gives rows addresses that they have not. When somebody has one of
// them, it says who; one who is just leaving it is waited for.
func (s *Store) claim(ctx context.Context, tx *tenancy.Tx, a addresses, wrong *problems, write func() error) error {
	for {
		if err := s.findTaken(ctx, tx, a, wrong); err != nil {
			return err
		}
		if err := wrong.orNil(); err != nil {
			return err
		}
		err := tx.Savepoint(ctx, func(*tenancy.Tx) error { return write() })
		var pg *pgconn.PgError
		if !errors.As(err, &pg) || pg.ConstraintName != "recipients_email" {
			return err
		}
	}
}

// takenValues is the error of a statement over rows that have the values, by their slots:
// with the rows when it is about values of unique fields and there are several.
func takenValues(set *customfields.Set, rows []map[string]any, err error) error {
	err = customfields.Taken(err)
	var taken *customfields.TakenError
	if !errors.As(err, &taken) || len(rows) < 2 {
		return err
	}
	var wrong problems
	for _, v := range taken.Values {
		f := set.Field(v.Key)
		if f == nil {
			continue
		}
		for i, values := range rows {
			if text, ok := valueText(values[f.Slot]); ok && text == v.Value {
				wrong.addField(i, tenancy.FieldError{Field: "customFields." + v.Key, Value: fault.Shown(v.Value), Code: taken.Code(), Message: customfields.ErrValueTaken.Error()})
			}
		}
	}
	if len(wrong) == 0 { // the definitions have changed meanwhile
		return err
	}
	return wrong
}

// valueText is the text of a value as a TakenError has it.
func valueText(value any) (string, bool) {
	if value == nil {
		return "", false
	}
	text, ok := value.(string)
	if !ok {
		text = string(customfields.AppendValue(nil, value))
	}
	if r := []rune(text); len(r) > 100 {
		text = string(r[:100])
	}
	return text, true
}

func entry(action string, id ID, changed []string) audit.Entry {
	e := audit.Entry{Action: action, ResourceType: "recipient", ResourceID: id.String()}
	if len(changed) > 0 {
		e.Metadata = map[string]any{"fields": changed}
	}
	return e
}

// entries are the entries of what was done to all of ids.
func entries(action string, ids []ID) []audit.Entry {
	out := make([]audit.Entry, len(ids))
	for i, id := range ids {
		out[i] = entry(action, id, nil)
	}
	return out
}
