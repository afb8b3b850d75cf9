package lifecycle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/tenancy"
)

// How many records a batch looks at: its size goes by how long the one before took.
const (
	firstRows = 200
	minRows   = 10
	maxRows   = 500
)

// pass is what is done to every record.
type pass struct {
	touched []string // the slots whose records are looked at
	holding []byte   // and, unless nil, only those that contain this document
	reads   string   // the slot of the value that convert gets
	into    string   // the slot of what it returns
	drop    []string // the slots that are emptied before
	fresh   bool     // whether a record that has the result already is left alone
	// convert returns the new value, nil for none, and whether that is a loss. Nil: there is
	// no new value.
	convert func(value any) (converted any, lost bool)
}

// passOf returns what the step of a run does to records.
func passOf(f customfields.Field, rec *record) (pass, error) {
	t := f.Transition
	switch {
	case rec.State == Running && rec.Kind == customfields.KindConvert && rec.Step == Fill && t.Next != nil:
		return pass{
			touched: []string{f.Slot, t.Next.Slot}, reads: f.Slot, into: t.Next.Slot, drop: []string{t.Next.Slot}, fresh: true,
			convert: converter(f.Type, f.At(*t.Next)),
		}, nil
	case rec.State == Running && rec.Kind == customfields.KindConvert && rec.Step == Clean && t.Retired != nil:
		return pass{
			touched: []string{t.Retired.Slot}, reads: t.Retired.Slot, into: f.Slot, drop: []string{t.Retired.Slot, f.Slot},
			convert: converter(t.Retired.Type, &f),
		}, nil
	case rec.State == Cancelling && rec.Step == Clean && t.Retired != nil:
		return pass{touched: []string{t.Retired.Slot}, reads: t.Retired.Slot, into: t.Retired.Slot, drop: []string{t.Retired.Slot}}, nil
	case rec.Kind == customfields.KindPurge && rec.Step == Clean:
		return pass{touched: []string{f.Slot}, reads: f.Slot, into: f.Slot, drop: []string{f.Slot}}, nil
	case rec.Kind == customfields.KindRemoveOption && rec.Step == Clean:
		var value any = t.Option
		if f.Type == customfields.MultiSelect {
			value = []string{t.Option}
		}
		return pass{
			touched: []string{f.Slot}, holding: customfields.AppendJSON(nil, map[string]any{f.Slot: value}), reads: f.Slot, into: f.Slot, drop: []string{f.Slot},
			convert: replacer(t.Option, t.Replacement),
		}, nil
	}
	return pass{}, fmt.Errorf("lifecycle: the definition of %s does not fit step %s of run %s", f.Key, rec.Step, rec.ID)
}

func converter(from customfields.Type, to *customfields.Field) func(value any) (any, bool) {
	return func(value any) (any, bool) {
		converted, problem := customfields.Convert(from, value, to)
		if problem != nil {
			return nil, true
		}
		return converted, false
	}
}

// replacer takes an option out of the value of a select or multi_select.
func replacer(option, replacement string) func(value any) (any, bool) {
	return func(value any) (any, bool) {
		list, ok := value.([]any)
		if !ok {
			if replacement == "" {
				return nil, false
			}
			return replacement, false
		}
		var out []string
		for _, item := range list {
			s, _ := item.(string)
			if s == option {
				s = replacement
			}
			if s != "" {
				out = append(out, s)
			}
		}
		if len(out) == 0 {
			return nil, false
		}
		slices.Sort(out)
		return slices.Compact(out), false
	}
}

// batch goes through the next records, in the order of their ids.
func (m *Manager) batch(ctx context.Context, tx *tenancy.Tx, rec *record) error {
	c := &rec.cursor
	table, ok := m.table(c)
	if !ok {
		rec.goOn()
		return nil
	}
	domain := tx.Tenant().DomainID
	if domain.IsZero() {
		return m.nextDomain(ctx, tx, rec, table, domain)
	}
	f, err := m.fields.FindTx(ctx, tx, customfields.ByID(rec.FieldID))
	if err == nil {
		err = ours(f, *rec)
	}
	if err != nil {
		return err
	}
	p, err := passOf(f, rec)
	if err != nil {
		return err
	}
	began := time.Now()
	rows := c.Rows
	if rows == 0 {
		rows = firstRows
	}
	last, n, err := m.bound(ctx, tx, table, c.After, rows)
	if err != nil {
		return err
	}
	if n > 0 {
		changed, lost, err := p.apply(ctx, tx, table, c.After, last)
		if err != nil {
			return err
		}
		rec.Processed, rec.Changed, rec.Lost = rec.Processed+int64(n), rec.Changed+changed, rec.Lost+lost
		if changed > 0 {
			if err := m.record(ctx, tx, *rec, "custom_field.values_changed", map[string]any{"table": table.Name, "step": rec.Step, "changed": changed, "lost": lost}); err != nil {
				return err
			}
		}
	}
	if n < rows {
		return m.nextDomain(ctx, tx, rec, table, domain)
	}
	c.Table, c.After, c.Rows = table.key(), last, m.resize(rows, time.Since(began))
	return nil
}

// resize returns how many records the next batch looks at.
func (m *Manager) resize(rows int, took time.Duration) int {
	switch {
	case took > m.cfg.BatchTime:
		rows = int(float64(rows) * float64(m.cfg.BatchTime) / float64(took))
	case took < m.cfg.BatchTime/2:
		rows *= 2
	}
	return min(max(rows, minRows), maxRows)
}

// key names a table in a cursor.
func (t Table) key() string { return t.Schema + "." + t.Name }

// table returns the table of the next batch, or false behind the last.
func (m *Manager) table(c *cursor) (Table, bool) {
	if c.Table == "" && len(m.cfg.Tables) > 0 {
		return m.cfg.Tables[0], true
	}
	i := slices.IndexFunc(m.cfg.Tables, func(t Table) bool { return t.key() == c.Table })
	if i < 0 {
		return Table{}, false
	}
	return m.cfg.Tables[i], true
}

// behind is where a cursor stands behind the last table.
const behind = "."

// nextDomain moves the cursor to the domain after one, or to the first of the next table.
func (m *Manager) nextDomain(ctx context.Context, tx *tenancy.Tx, rec *record, table Table, after tenancy.DomainID) error {
	t := tx.Tenant()
	c := cursor{Table: table.key(), Rows: rec.cursor.Rows}
	var next tenancy.DomainID
	err := tx.QueryRow(ctx, tx.SQL(`SELECT id FROM strata.domains WHERE company_id = $1 AND workspace_id = $2 AND ($3::uuid IS NULL OR id > $3) ORDER BY id LIMIT 1`),
		t.CompanyID, t.WorkspaceID, after).Scan(&next)
	switch {
	case err == nil:
		c.Domain = next
	case !errors.Is(err, pgx.ErrNoRows):
		return wrap("find the next domain", err)
	default:
		i := slices.Index(m.cfg.Tables, table)
		c.Table = behind
		if i+1 < len(m.cfg.Tables) {
			c.Table = m.cfg.Tables[i+1].key()
		}
	}
	if rec.cursor = c; c.Table == behind {
		rec.goOn()
	}
	return nil
}

// bound returns the id of the last record of a batch behind after, and how many those are.
func (m *Manager) bound(ctx context.Context, tx *tenancy.Tx, table Table, after recordID, rows int) (last recordID, n int, err error) {
	where, args := `t.domain_id = $1`, []any{tx.Tenant().DomainID}
	if !after.IsZero() {
		where, args = where+` AND t.id > $2`, append(args, after)
	}
	found, err := tx.Query(ctx, fmt.Sprintf(`SELECT t.id FROM %s t WHERE %s ORDER BY t.id LIMIT %d`, table.sql(), where, rows), args...)
	if err != nil {
		return last, 0, wrap("find the end of a batch", err)
	}
	_, err = pgx.ForEachRow(found, []any{&last}, func() error {
		n++
		return nil
	})
	return last, n, wrap("find the end of a batch", err)
}

// apply does the pass to the records of a batch. They are locked first, in the order of
// their ids: what is read is then the newest value, whoever wrote it.
func (p pass) apply(ctx context.Context, tx *tenancy.Tx, table Table, after, last recordID) (changed, lost int64, err error) {
	domain := tx.Tenant().DomainID
	where, args := `t.domain_id = $1 AND t.id <= $2 AND jsonb_exists_any(t.custom_fields, $3::text[])`, []any{domain, last, p.touched, p.reads, p.into}
	if !after.IsZero() {
		args = append(args, after)
		where += fmt.Sprintf(` AND t.id > $%d`, len(args))
	}
	if p.holding != nil {
		args = append(args, p.holding)
		where += fmt.Sprintf(` AND t.custom_fields @> $%d::jsonb`, len(args))
	}
	rows, err := tx.Query(ctx, `SELECT t.id, t.custom_fields -> $4::text, t.custom_fields -> $5::text FROM `+table.sql()+` t WHERE `+where+` ORDER BY t.id FOR NO KEY UPDATE`, args...)
	if err != nil {
		return 0, 0, wrap("lock records", err)
	}
	var ids []recordID
	var patches []string
	var id recordID
	var read, there []byte
	_, err = pgx.ForEachRow(rows, []any{&id, &read, &there}, func() error {
		patch, loss, keep, err := p.patch(read, there)
		if loss {
			lost++
		}
		if err != nil || keep {
			return err
		}
		ids, patches = append(ids, id), append(patches, string(patch))
		return nil
	})
	if err != nil || len(ids) == 0 {
		return 0, lost, wrap("lock records", err)
	}
	tag, err := tx.Exec(ctx, `UPDATE `+table.sql()+` AS t SET custom_fields = (t.custom_fields - $4::text[]) || v.patch::jsonb
		FROM (SELECT unnest($2::uuid[]) AS id, unnest($3::text[]) AS patch) v WHERE t.domain_id = $1 AND t.id = v.id`, domain, ids, patches, p.drop)
	return tag.RowsAffected(), lost, wrap("write records", err)
}

// patch returns what is added to a record once the slots to drop are empty.
func (p pass) patch(read, there []byte) (patch []byte, lost, keep bool, err error) {
	values := map[string]any{}
	if p.convert != nil && read != nil {
		value, err := decode(read)
		if err != nil {
			return nil, false, false, err
		}
		var converted any
		if converted, lost = p.convert(value); converted != nil {
			values[p.into] = converted
		}
	}
	if p.fresh {
		was, err := decode(there)
		if err != nil {
			return nil, false, false, err
		}
		keep = was == nil && len(values) == 0 || was != nil && bytes.Equal(customfields.AppendJSON(nil, values), customfields.AppendJSON(nil, map[string]any{p.into: stored(was)}))
	}
	return customfields.AppendJSON(nil, values), lost, keep, nil
}

// stored is a decoded value in the form in which customfields has it.
func stored(value any) any {
	list, ok := value.([]any)
	if !ok {
		return value
	}
	out := make([]string, len(list))
	for i, item := range list {
		out[i], _ = item.(string)
	}
	return out
}
