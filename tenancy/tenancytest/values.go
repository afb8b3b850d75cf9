package tenancytest

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/stratakit/strata/internal/catalog"
)

// values finds values for a new row of a party: its ids, the keys of its parents' rows,
// what Config.Rows gives, and for the rest the candidates that were taken last.
func (p *proof) values(ctx context.Context, t *table, of party) (row, error) {
	values := row{}
	given, err := p.given(ctx, t, of)
	if err != nil {
		return nil, err
	}
	if t.Table != nil && t.Root(p.Schema) > 0 {
		values["id"] = text(of.id(t.Root(p.Schema)))
	}
	for _, c := range t.Columns {
		if v, ok := given[c.Name]; ok {
			values[c.Name] = v
		} else if level := catalog.LevelOf(c.Name); level > 0 && c.Base == "uuid" && !c.Made && c.Insertable {
			values[c.Name] = text(of.id(level))
		}
	}
	for _, f := range t.Parents {
		if !slices.ContainsFunc(f.Columns, func(name string) bool { _, ok := given[name]; return !ok }) {
			continue
		}
		if err := p.refer(ctx, t, f, of, values); err != nil {
			return nil, err
		}
	}
	for _, c := range t.Columns {
		if _, ok := values[c.Name]; ok || c.Made || t.CanInsert && !c.Insertable {
			continue
		}
		if len(c.candidates) == 0 {
			return nil, fmt.Errorf("column %s (%s): %w", c.Name, c.Type, errNoValue)
		}
		if v := c.candidates[c.pick].value; v != nil {
			values[c.Name] = text(v())
		}
	}
	for _, f := range t.Parents { // a row that must refer to its own table refers to itself
		for i, name := range f.Columns {
			if f.OID == t.OID && t.column(name).NotNull && values[f.ParentColumns[i]] != nil {
				values[name] = values[f.ParentColumns[i]]
			}
		}
	}
	return values, nil
}

// refer fills the columns of a foreign key with the key of the party's row of the parent.
func (p *proof) refer(ctx context.Context, t *table, f parent, of party, values row) error {
	if f.OID == t.OID {
		return nil
	}
	open, optional, level := false, true, 0
	for _, name := range f.Columns {
		_, set := values[name]
		open = open || !set
		optional = optional && (set || !t.column(name).NotNull)
		level = max(level, catalog.LevelOf(name))
	}
	// The hierarchy's rows have to be there although their ids are known.
	facts, err := p.table(ctx, f.OID)
	if err != nil {
		return err
	}
	if open && optional && slices.Contains(p.making, f.OID) {
		return nil // a circle that NULL opens
	}
	r, err := p.own(ctx, facts, of, level)
	if err != nil {
		return fmt.Errorf("a row of %s, which %s refers to: %w", facts, f.Name, err)
	}
	for i, name := range f.Columns {
		if _, set := values[name]; !set {
			values[name] = r[f.ParentColumns[i]]
		}
	}
	return nil
}

// given returns what Config.Rows says of a row, as text.
func (p *proof) given(ctx context.Context, t *table, of party) (row, error) {
	hook := p.Rows[t.Name]
	if hook == nil {
		return nil, nil
	}
	var casts []string
	var args []any
	var names []string
	for name, v := range hook(of.Tenant) {
		c := t.column(name)
		if c == nil {
			return nil, fmt.Errorf("Config.Rows[%q] gives a column %q that the table has not", t.Name, name)
		}
		args, names = append(args, v), append(names, name)
		casts = append(casts, fmt.Sprintf("$%d::%s::text", len(args), c.Type))
	}
	if len(names) == 0 {
		return nil, nil
	}
	values := make([]*string, len(names))
	dest := make([]any, len(names))
	for i := range values {
		dest[i] = &values[i]
	}
	if err := p.tx.QueryRow(ctx, `SELECT `+strings.Join(casts, ", "), args...).Scan(dest...); err != nil {
		return nil, fmt.Errorf("Config.Rows[%q]: %w", t.Name, err)
	}
	r := row{}
	for i, name := range names {
		r[name] = values[i]
	}
	return r, nil
}
