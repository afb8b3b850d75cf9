package recipients

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/uptrace/bun"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/internal/fault"
	"github.com/stratakit/strata/tenancy"
)

// Put is what is said of the row of one recipient: values by the names of JSON.
type Put struct {
	ID     ID
	Values map[string]json.RawMessage
}

// PutResult is what came of some Puts. Those that are in neither list are of recipients that are
// not there, or change nothing.
type PutResult struct {
	Changed []RowChange
	Failed  []EachFailed
}

// RowChange is a row that was made or changed.
type RowChange struct {
	ID      ID
	Version int64 // of the row, afterwards
	// CreatedAt is that of the row: one made anew, which has such a version too, has another. Where
	// it is zero, LookBackTx goes by the version alone.
	CreatedAt time.Time
	// Was is the row as it was before, as TakeBackEachTx takes it; nil of one that was not there.
	Was json.RawMessage
}

// Normalize returns values in the form in which they would be stored, whoever the recipient is.
// Errors are those of Check.
func (a *AnyEnrollments) Normalize(ctx context.Context, values map[string]json.RawMessage) (map[string]json.RawMessage, error) {
	if err := a.Here(); err != nil {
		return nil, err
	}
	return a.calls.normalizeJSON(ctx, values)
}

// PutEachTx enrolls each of up to MaxEach recipients that are there with values of its own, in the
// caller's transaction, and changes what differs in the row of one that is enrolled; with keep
// that stays as it is. A recipient may be named once. A row that is refused, by the product or by
// PostgreSQL, as one with a value that is taken, is among those that failed, and all others are
// written. After an error, tx goes on as before the call. Errors: ErrElsewhere.
func (a *AnyEnrollments) PutEachTx(ctx context.Context, tx *tenancy.Tx, puts []Put, keep bool) (PutResult, error) {
	return a.putEach(ctx, tx, puts, keep, holding)
}

// LookEachTx says what PutEachTx would do, but for what only PostgreSQL refuses, and does nothing:
// Was of what would be changed is not filled in.
func (a *AnyEnrollments) LookEachTx(ctx context.Context, tx *tenancy.Tx, puts []Put, keep bool) (PutResult, error) {
	return a.putEach(ctx, tx, puts, keep, looking)
}

func (a *AnyEnrollments) putEach(ctx context.Context, tx *tenancy.Tx, puts []Put, keep bool, how lockMode) (PutResult, error) {
	if err := a.Here(); err != nil {
		return PutResult{}, err
	}
	return inSavepoint(ctx, tx, func(tx *tenancy.Tx) (PutResult, error) { return a.calls.putEach(ctx, tx, puts, keep, how) })
}

func (e *Enrollments[T]) normalizeJSON(ctx context.Context, values map[string]json.RawMessage) (map[string]json.RawMessage, error) {
	_, x, err := e.bound()
	if err != nil {
		return nil, err
	}
	row, err := e.rowOf(ctx, x, values)
	if err != nil {
		return nil, err
	}
	inUTC(x, row)
	model, out := reflect.ValueOf(row).Elem(), make(map[string]json.RawMessage, len(values))
	for i := range x.columns {
		c := &x.columns[i]
		if _, named := values[c.JSON]; !named {
			continue
		}
		field := model.FieldByIndex(c.index)
		if c.nullzero && c.def == "" && field.IsZero() { // what is stored is NULL, which nobody takes
			out[c.JSON] = json.RawMessage("null")
			continue
		}
		if out[c.JSON], err = json.Marshal(field.Interface()); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// rowPut is one row on its way.
type rowPut[T any] struct {
	id      ID
	row     *T
	version int64    // before; 0: it is not there
	columns []string // that differ from what is there
	shown   []string // their names for the audit trail
}

func (e *Enrollments[T]) putEach(ctx context.Context, tx *tenancy.Tx, puts []Put, keep bool, how lockMode) (out PutResult, err error) {
	s, x, err := e.bound()
	if err != nil {
		return out, err
	}
	ids := make([]ID, len(puts))
	values := make(map[ID]map[string]json.RawMessage, len(puts))
	for i, p := range puts {
		ids[i], values[p.ID] = p.ID, p.Values
	}
	if _, err := s.beginEach(ctx, tx, ids); err != nil {
		return out, err
	}
	there, enrolled, err := x.held(ctx, tx, tx.Tenant(), ids, how)
	if err != nil {
		return out, err
	}
	var before, rows []*T
	if !keep && len(enrolled) > 0 {
		if before, rows, err = readRows[T](ctx, x, tx, tx.Tenant(), there, how); err != nil {
			return out, err
		}
	}
	var next []rowPut[T]
	refused := func(id ID, err error) error {
		var wrong *tenancy.ValidationError
		if errors.As(err, &wrong) {
			out.Failed = append(out.Failed, EachFailed{id, err})
			return nil
		}
		return err
	}
	for i, row := range rows {
		p := rowPut[T]{id: enrollmentOf(before[i]).RecipientID, row: row, version: enrollmentOf(before[i]).Version}
		err := x.setJSON(row, values[p.id])
		if err == nil && e.checkOver != nil {
			err = e.checkOver(ctx, before[i], row)
		}
		if err == nil {
			p.columns, p.shown, err = e.settle(ctx, x, before[i], row)
		}
		switch {
		case err != nil:
			if err := refused(p.id, err); err != nil {
				return out, err
			}
		case len(p.columns) > 0:
			next = append(next, p)
		}
	}
	t := tx.Tenant()
	for _, id := range there {
		if enrolled[id] {
			continue
		}
		row, err := e.rowOf(ctx, x, values[id])
		if err != nil {
			if err := refused(id, err); err != nil {
				return out, err
			}
			continue
		}
		*enrollmentOf(row) = Enrollment{DomainID: t.DomainID, RecipientID: id, CompanyID: t.CompanyID, WorkspaceID: t.WorkspaceID, Version: 1}
		next = append(next, rowPut[T]{id: id, row: row})
	}
	was := map[ID]json.RawMessage{}
	if how == holding {
		if was, err = x.images(ctx, tx, changing(next)); err != nil {
			return out, err
		}
		failed, err := e.writePuts(ctx, s, x, tx, next)
		if err != nil {
			return out, err
		}
		out.Failed = append(out.Failed, failed...)
		next = slices.DeleteFunc(next, func(p rowPut[T]) bool {
			return slices.ContainsFunc(failed, func(f EachFailed) bool { return f.ID == p.id })
		})
	}
	for _, p := range next {
		out.Changed = append(out.Changed, RowChange{ID: p.id, Version: p.version + 1, CreatedAt: enrollmentOf(p.row).CreatedAt, Was: was[p.id]})
	}
	return out, nil
}

// changing are the recipients that have a row which is to be changed.
func changing[T any](next []rowPut[T]) []ID {
	var ids []ID
	for _, p := range next {
		if p.version > 0 {
			ids = append(ids, p.id)
		}
	}
	return ids
}

// images reads rows as they are, as JSON that jsonb_populate_record reads.
func (x *extension) images(ctx context.Context, tx *tenancy.Tx, ids []ID) (map[ID]json.RawMessage, error) {
	out := make(map[ID]json.RawMessage, len(ids))
	if len(ids) == 0 {
		return out, nil
	}
	key := x.sql("recipient_id")
	err := readByKey(ctx, tx, `SELECT w.id, i.image FROM unnest($2::uuid[]) AS w (id), LATERAL (
			SELECT `+x.whole()+` AS image FROM `+x.table.String()+` `+x.alias()+` WHERE `+x.sql("domain_id")+` = $1 AND `+key+` >= w.id AND `+key+` <= w.id ORDER BY `+key+` LIMIT 1) i`,
		tx.Tenant().DomainID, ids, func(rows pgx.Rows) error {
			var id ID
			var image []byte
			_, err := pgx.ForEachRow(rows, []any{&id, &image}, func() error {
				out[id] = slices.Clone(image)
				return nil
			})
			return err
		})
	return out, err
}

// writePuts writes rows, with their audit entries. Where PostgreSQL refuses some, it finds out by
// halves which these are.
func (e *Enrollments[T]) writePuts(ctx context.Context, s *Store, x *extension, tx *tenancy.Tx, puts []rowPut[T]) ([]EachFailed, error) {
	if len(puts) == 0 {
		return nil, nil
	}
	err := tx.Savepoint(ctx, func(tx *tenancy.Tx) error { return e.writeAll(ctx, s, x, tx, puts) })
	var wrong *tenancy.ValidationError
	if err == nil || !errors.Is(err, ErrValueTaken) && !errors.As(err, &wrong) {
		return nil, err
	}
	if len(puts) == 1 {
		taken, lookErr := x.takenValue(ctx, tx, puts[0].row, err)
		if taken != nil {
			err = fmt.Errorf("%w: %w", err, taken)
		}
		return []EachFailed{{puts[0].id, err}}, lookErr
	}
	half := len(puts) / 2
	first, err := e.writePuts(ctx, s, x, tx, puts[:half])
	if err != nil {
		return nil, err
	}
	second, err := e.writePuts(ctx, s, x, tx, puts[half:])
	return append(first, second...), err
}

// takenValue says which value of a row a takenError is about; nil: it is no such error, or its index
// is not over the domain and one column.
func (x *extension) takenValue(ctx context.Context, tx *tenancy.Tx, row any, why error) (*tenancy.ValidationError, error) {
	var taken *takenError
	if !errors.As(why, &taken) {
		return nil, nil
	}
	var names []string
	err := tx.Read(ctx, `SELECT a.attname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
			JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey) WHERE n.nspname = $1 AND c.relname = $2 AND a.attname <> 'domain_id'`,
		[]any{x.table.Schema, taken.index}, func(rows pgx.Rows) (err error) {
			names, err = pgx.CollectRows(rows, pgx.RowTo[string])
			return err
		})
	if err != nil || len(names) != 1 {
		return nil, err
	}
	c := x.column(names[0])
	if c == nil {
		return nil, nil
	}
	value := reflect.Indirect(reflect.ValueOf(row).Elem().FieldByIndex(c.index))
	return &tenancy.ValidationError{Fields: []tenancy.FieldError{
		{Field: c.shown(), Value: fault.Shown(fmt.Sprint(value)), Code: "value_taken", Message: ErrValueTaken.Error()},
	}}, nil
}

func (e *Enrollments[T]) writeAll(ctx context.Context, s *Store, x *extension, tx *tenancy.Tx, puts []rowPut[T]) error {
	var made, changed []*T
	entries := make([]audit.Entry, 0, len(puts))
	columns := map[string]bool{}
	for _, p := range puts {
		if p.version == 0 {
			made, entries = append(made, p.row), append(entries, x.entry("recipient.enrolled", p.id, nil))
			continue
		}
		changed, entries = append(changed, p.row), append(entries, x.entry("recipient.enrollment_updated", p.id, p.shown))
		for _, c := range p.columns {
			columns[c] = true
		}
	}
	if err := e.insertRows(ctx, x, tx, made); err != nil {
		return err
	}
	if err := e.updateRows(ctx, x, tx, changed, columns); err != nil {
		return err
	}
	return s.audit.RecordTx(ctx, tx, entries...)
}

// insertRows inserts rows of recipients that are held and have none, and reads when they were made.
func (e *Enrollments[T]) insertRows(ctx context.Context, x *extension, tx *tenancy.Tx, rows []*T) error {
	if len(rows) == 0 {
		return nil
	}
	result, err := tx.Bun().NewInsert().Model(&rows).ModelTableExpr("? AS ?", bun.Safe(x.table.String()), bun.Safe(x.alias())).
		On("CONFLICT (domain_id, recipient_id) DO NOTHING").Returning("created_at").Exec(ctx)
	if err != nil {
		return x.refused(err)
	}
	if n, err := result.RowsAffected(); err != nil || n != int64(len(rows)) {
		return errors.Join(err, errors.New("recipients: somebody enrolled recipients that are held"))
	}
	return nil
}

// updateRows writes columns of rows that are there and held: each is a conflict, so that it is one
// statement for any number.
func (e *Enrollments[T]) updateRows(ctx context.Context, x *extension, tx *tenancy.Tx, rows []*T, columns map[string]bool) error {
	if len(rows) == 0 {
		return nil
	}
	sets := []string{"version = " + x.alias() + ".version + 1", "updated_at = now()"}
	for c := range columns {
		sets = append(sets, fmt.Sprintf("%s = EXCLUDED.%[1]s", quoted(c)))
	}
	slices.Sort(sets)
	_, err := tx.Bun().NewInsert().Model(&rows).ModelTableExpr("? AS ?", bun.Safe(x.table.String()), bun.Safe(x.alias())).
		On("CONFLICT (domain_id, recipient_id) DO UPDATE SET ?", bun.Safe(strings.Join(sets, ", "))).Returning("NULL").Exec(ctx)
	return x.refused(err)
}
