package recipients

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/uptrace/bun"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/internal/fault"
	"github.com/stratakit/strata/internal/suggest"
	"github.com/stratakit/strata/tenancy"
)

// MaxEnrollMany is how many recipients EnrollMany and WithdrawMany take at once.
const MaxEnrollMany = MaxBatch

// Enrollments enrolls recipients in a product, and keeps what it knows of them: the rows of
// one extension. Each call works in the domain of its context's tenant, and writes are audited
// in their transaction with the fields that changed, without their values. It is safe for
// concurrent use, once the Registry that it is of belongs to a Store.
type Enrollments[T any] struct {
	registry  *Registry
	extension *extension
	check     func(ctx context.Context, row *T) error
	checkOver func(ctx context.Context, stored, row *T) error
}

// Name returns that of the extension.
func (e *Enrollments[T]) Name() string { return e.extension.name }

// bound returns the Store, and the extension with its table in place.
func (e *Enrollments[T]) bound() (*Store, *extension, error) {
	e.registry.mu.Lock()
	defer e.registry.mu.Unlock()
	s := e.registry.store
	if s == nil {
		return nil, nil, fmt.Errorf("recipients: extension %q cannot be used yet: give its registry to NewStore", e.extension.name)
	}
	return s, s.registered[e.extension.name], nil
}

// Enroll makes row the row of a recipient; afterwards it is what is stored. Errors:
// ErrNotFound, ErrEnrolled, ErrValueTaken, *tenancy.ValidationError.
func (e *Enrollments[T]) Enroll(ctx context.Context, id ID, row *T) error {
	return e.inTx(ctx, func(s *Store, x *extension, tx *tenancy.Tx) error {
		return e.enroll(ctx, s, x, tx, []ID{id}, []*T{row}, false)
	})
}

// EnrollTx is Enroll in the caller's transaction: after an error, tx goes on as before the
// call.
func (e *Enrollments[T]) EnrollTx(ctx context.Context, tx *tenancy.Tx, id ID, row *T) error {
	return e.inSavepoint(ctx, tx, func(s *Store, x *extension) error { return e.enroll(ctx, s, x, tx, []ID{id}, []*T{row}, false) })
}

// EnrollMany makes each row that of the recipient whose RecipientID it has, all of them or
// none: at most MaxEnrollMany. Errors are those of Enroll; fields that are wrong are named
// with the row, as in "[3].phone".
func (e *Enrollments[T]) EnrollMany(ctx context.Context, rows []*T) error {
	return e.inTx(ctx, func(s *Store, x *extension, tx *tenancy.Tx) error {
		return e.enroll(ctx, s, x, tx, owners(rows), rows, true)
	})
}

// EnrollManyTx is EnrollMany in the caller's transaction: after an error, tx goes on as before
// the call.
func (e *Enrollments[T]) EnrollManyTx(ctx context.Context, tx *tenancy.Tx, rows []*T) error {
	return e.inSavepoint(ctx, tx, func(s *Store, x *extension) error { return e.enroll(ctx, s, x, tx, owners(rows), rows, true) })
}

func owners[T any](rows []*T) []ID {
	ids := make([]ID, len(rows))
	for i, row := range rows {
		if row != nil {
			ids[i] = enrollmentOf(row).RecipientID
		}
	}
	return ids
}

// enrollmentOf is the Enrollment that a model embeds, which Register has seen.
func enrollmentOf[T any](row *T) *Enrollment {
	return any(row).(interface{ enrollment() *Enrollment }).enrollment()
}

func (e *Enrollments[T]) inTx(ctx context.Context, fn func(s *Store, x *extension, tx *tenancy.Tx) error) error {
	s, x, err := e.bound()
	if err != nil {
		return err
	}
	if _, err := tenancy.DomainFrom(ctx); err != nil {
		return err
	}
	return s.db.InTx(ctx, func(tx *tenancy.Tx) error { return fn(s, x, tx) })
}

func (e *Enrollments[T]) inSavepoint(ctx context.Context, tx *tenancy.Tx, fn func(s *Store, x *extension) error) error {
	s, x, err := e.bound()
	if err != nil {
		return err
	}
	return tx.Savepoint(ctx, func(*tenancy.Tx) error { return fn(s, x) })
}

// enroll names the row of what is wrong where there are many, though it be one.
func (e *Enrollments[T]) enroll(ctx context.Context, s *Store, x *extension, tx *tenancy.Tx, ids []ID, rows []*T, many bool) error {
	t, err := tenancy.DomainFrom(ctx)
	if err != nil || len(rows) == 0 {
		return err
	}
	if err := checkMany(ids); err != nil {
		return err
	}
	var wrong []error
	for i, row := range rows {
		if row == nil {
			return errors.New("recipients: a row is nil")
		}
		prefix := ""
		if many {
			prefix = fmt.Sprintf("[%d].", i)
		}
		wrong = append(wrong, tenancy.PrefixFields(prefix, e.checkRow(ctx, x, row)))
	}
	if err := all(wrong...); err != nil {
		return err
	}
	enrolled, err := x.lock(ctx, tx, t, ids)
	if err != nil {
		return err
	}
	if len(enrolled) > 0 {
		return fmt.Errorf("recipient %s: %w", enrolled[0], ErrEnrolled)
	}
	entries := make([]audit.Entry, len(rows))
	for i, row := range rows {
		*enrollmentOf(row) = Enrollment{DomainID: t.DomainID, RecipientID: ids[i], CompanyID: t.CompanyID, WorkspaceID: t.WorkspaceID, Version: 1}
		entries[i] = x.entry("recipient.enrolled", ids[i], nil)
	}
	ordered := slices.Clone(rows)
	slices.SortFunc(ordered, func(a, b *T) int { return compareIDs(enrollmentOf(a).RecipientID, enrollmentOf(b).RecipientID) })
	result, err := tx.Bun().NewInsert().Model(&ordered).ModelTableExpr("? AS ?", bun.Safe(x.table.String()), bun.Safe(x.alias())).
		On("CONFLICT (domain_id, recipient_id) DO NOTHING").Returning("?", bun.Safe(x.columnList())).Exec(ctx)
	if err != nil {
		return x.refused(err)
	}
	if n, err := result.RowsAffected(); err != nil || n != int64(len(rows)) { // somebody did so meanwhile
		return errors.Join(err, ErrEnrolled)
	}
	for _, row := range rows {
		inUTC(x, row)
	}
	return s.audit.RecordTx(ctx, tx, entries...)
}

// checkMany refuses too many recipients, and one that is there twice.
func checkMany(ids []ID) error {
	v := &tenancy.ValidationError{}
	if len(ids) > MaxEnrollMany {
		v.Add("rows", "too_many", fmt.Sprintf("at most %d recipients at once, these are %d", MaxEnrollMany, len(ids)))
		return v
	}
	seen := map[ID]bool{}
	for i, id := range ids {
		if seen[id] {
			v.Add(fmt.Sprintf("[%d]", i), "duplicate", "recipient "+id.String()+" is there twice")
		}
		seen[id] = true
	}
	return v.OrNil()
}

// lockMode says whether what is read is held too.
type lockMode bool

const (
	holding lockMode = true
	looking lockMode = false
)

// lock holds live recipients of the domain, and returns those of them that have a row, or
// ErrNotFound when one of them is not there.
func (x *extension) lock(ctx context.Context, tx *tenancy.Tx, t tenancy.Tenant, ids []ID) (enrolled []ID, err error) {
	there, has, err := x.held(ctx, tx, t, ids, holding)
	if err != nil {
		return nil, err
	}
	found := make(map[ID]bool, len(there))
	for _, id := range there {
		if found[id] = true; has[id] {
			enrolled = append(enrolled, id)
		}
	}
	for _, id := range ids {
		if !found[id] {
			return nil, notFound(ids, id)
		}
	}
	return enrolled, nil
}

// readByKey is tx.Read for looks at rows of a domain, $1, by their ids, $2, each as the first of a
// range of one: with sorting switched off that has one plan, by the key, whichever other indexes begin
// with the domain. What is known of the domain may be that it has no rows.
func readByKey(ctx context.Context, tx *tenancy.Tx, q string, domain tenancy.DomainID, ids []ID, fn func(pgx.Rows) error) error {
	if len(ids) > 1 { // what is very dear would be compiled
		if _, err := tx.Exec(ctx, `SET LOCAL enable_sort = off; SET LOCAL jit = off`); err != nil {
			return err
		}
	}
	if err := tx.Read(ctx, q, []any{domain, ids}, fn); err != nil || len(ids) < 2 {
		return err
	}
	_, err := tx.Exec(ctx, `SET LOCAL enable_sort TO DEFAULT; SET LOCAL jit TO DEFAULT`)
	return err
}

// held holds those of the recipients that are there, so that they stay, in the order of their
// ids, and says which of them have a row. It is the lock that counting takes (countTriggersSQL):
// two who shared a weaker one would then wait for each other. With looking it holds nothing.
//
// Each is looked up by itself: joined, or with ANY, a domain that the planner takes for empty can be
// read as a whole for each of them.
func (x *extension) held(ctx context.Context, tx *tenancy.Tx, t tenancy.Tenant, ids []ID, how lockMode) (there []ID, enrolled map[ID]bool, err error) {
	lock := ``
	if how == holding {
		lock = ` FOR NO KEY UPDATE`
	}
	q := `SELECT r.id, coalesce((SELECT true FROM ` + x.table.String() + ` x WHERE x.domain_id = $1 AND x.recipient_id >= r.id AND x.recipient_id <= r.id ORDER BY x.recipient_id LIMIT 1), false)
		FROM (SELECT DISTINCT id FROM unnest($2::uuid[]) AS u (id) ORDER BY id) w,
			LATERAL (SELECT id FROM strata.recipients WHERE domain_id = $1 AND id >= w.id AND id <= w.id AND deleted_at IS NULL ORDER BY strata.recipients.id LIMIT 1` + lock + `) r ORDER BY w.id`
	enrolled = map[ID]bool{}
	err = readByKey(ctx, tx, q, t.DomainID, ids, func(rows pgx.Rows) error {
		var id ID
		var has bool
		_, err := pgx.ForEachRow(rows, []any{&id, &has}, func() error {
			if there = append(there, id); has {
				enrolled[id] = true
			}
			return nil
		})
		return err
	})
	return there, enrolled, err
}

// notFound names the recipient where there are several.
func notFound(ids []ID, id ID) error {
	if len(ids) == 1 {
		return ErrNotFound
	}
	return fmt.Errorf("recipient %s: %w", id, ErrNotFound)
}

func compareIDs(a, b ID) int { return slices.Compare(a[:], b[:]) }

func (x *extension) entry(action string, id ID, changed []string) audit.Entry {
	e := audit.Entry{Action: action, ResourceType: "recipient", ResourceID: id.String(), Metadata: map[string]any{"extension": x.name}}
	if len(changed) > 0 {
		e.Metadata["fields"] = changed
	}
	return e
}

// checkRow has the product check a row, and checks what PostgreSQL would refuse.
func (e *Enrollments[T]) checkRow(ctx context.Context, x *extension, row *T) error {
	var asked error
	if e.check != nil {
		asked = e.check(ctx, row)
	}
	v := &tenancy.ValidationError{}
	for i := range x.columns {
		c := &x.columns[i]
		text, ok := textOf(c, row)
		misfit := c.misfit(row)
		switch {
		case holdsNUL(c, row):
			v.Add(c.shown(), "invalid_text", "must be without NUL")
		case misfit != nil:
			v.Fields = append(v.Fields, *misfit)
		case !ok || text == "" && c.nullzero:
		case !utf8.ValidString(text) || strings.ContainsRune(text, 0):
			v.Fields = append(v.Fields, tenancy.FieldError{Field: c.shown(), Value: fault.Shown(text), Code: "invalid_text", Message: "must be valid UTF-8 without NUL"})
		case c.Options != nil && !slices.Contains(c.Options, text):
			v.Fields = append(v.Fields, tenancy.FieldError{
				Field: c.shown(), Value: fault.Shown(text), Code: "unknown_option", Message: "must be one of " + suggest.Quoted(c.Options),
				Suggestion: suggest.Closest(text, c.Options),
			})
		}
	}
	return all(asked, v.OrNil())
}

// shown is how errors call the column.
func (c *column) shown() string {
	if c.JSON == "" {
		return c.Name
	}
	return c.JSON
}

// takenError is ErrValueTaken, with the unique index that said so.
type takenError struct{ index string }

func (e *takenError) Error() string { return e.index + ": " + ErrValueTaken.Error() }
func (e *takenError) Unwrap() error { return ErrValueTaken }

// refused says in the words of the caller why PostgreSQL refused a row.
func (x *extension) refused(err error) error {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || pg.TableName != "" && pg.TableName != x.table.Name {
		return err
	}
	field := pg.ColumnName
	if c := x.column(field); c != nil {
		field = c.shown()
	}
	switch pg.Code {
	case "23505":
		return &takenError{pg.ConstraintName}
	case "23502":
		return &tenancy.ValidationError{Fields: []tenancy.FieldError{{Field: field, Code: "required", Message: "must have a value"}}}
	case "23514":
		return &tenancy.ValidationError{Fields: []tenancy.FieldError{{Field: x.name, Code: "invalid_value", Message: "does not meet the condition " + pg.ConstraintName}}}
	case "22001", "22003", "22008":
		return &tenancy.ValidationError{Fields: []tenancy.FieldError{{Field: x.name, Code: "out_of_range", Message: pg.Message}}}
	case "54000": // an index has no room for it
		return &tenancy.ValidationError{Fields: []tenancy.FieldError{{Field: x.name, Code: "too_long", Message: pg.Message}}}
	}
	if strings.HasPrefix(pg.Code, "22") { // data exceptions: what the column cannot hold
		return &tenancy.ValidationError{Fields: []tenancy.FieldError{{Field: x.name, Code: "invalid_value", Message: pg.Message}}}
	}
	return err
}
