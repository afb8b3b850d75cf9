package tenancytest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stratakit/strata/internal/catalog"
)

// proveUnique inserts for the other tenant what is unique in the tenant's row. If that is
// refused, the other learns that the value is there, and can take values from the tenant.
func (p *proof) proveUnique(ctx context.Context, s subject) error {
	p.t.Helper()
	if !s.CanInsert || !s.CanSelect {
		return nil
	}
	for _, x := range s.Indexes {
		if x.UUID || strings.HasPrefix(x.Comment, "global:") || slices.Contains(x.Columns, "") || s.Root(p.Schema) > 0 {
			continue
		}
		values, err := p.values(ctx, s.table, s.b)
		if err != nil {
			return err
		}
		free := 0 // columns whose values say something of the tenant
		for _, name := range x.Columns {
			if c := s.column(name); catalog.LevelOf(name) == 0 && !c.Made && c.Insertable {
				values[name] = s.ours[name]
				free++
			}
		}
		if free == 0 {
			continue
		}
		q, args := s.insertSQL(values)
		err = p.attempt(ctx, false, func() error {
			if err := p.enter(ctx, s.b, s.Level); err != nil {
				return err
			}
			if s.CanDelete { // its own row may have the same values, which would prove nothing
				where, own := s.where(s.other, 1, "")
				if _, err := p.tx.Exec(ctx, `DELETE FROM `+s.SQL+` WHERE `+where, own...); err != nil {
					return fmt.Errorf("%w: %w", errInconclusive, err)
				}
			}
			_, err := p.tx.Exec(ctx, q, args...)
			return err
		})
		var pg *pgconn.PgError
		if errors.As(err, &pg) && pg.Code == "23505" && pg.ConstraintName == x.Name && (s.CanDelete || !shared(s, x.Columns)) {
			p.fail(s.table, "unique index "+x.Name, fmt.Sprintf("UNIQUE (%s)", strings.Join(append([]string{s.Column}, x.Columns...), ", ")),
				"%s cannot have the values of the tenant's row, and so learns of them: %v", s.b.name, err)
		}
		if err := broken(err); err != nil {
			return err
		}
	}
	return nil
}

// shared reports whether the two rows have the same values in columns.
func shared(s subject, columns []string) bool {
	return !slices.ContainsFunc(columns, func(name string) bool { return catalog.LevelOf(name) == 0 && !same(s.ours[name], s.other[name]) })
}

var errInconclusive = errors.New("inconclusive")

// proveForeignKeys points a row of the other tenant to a row of this one, and deletes what
// rows of the tenant point to.
func (p *proof) proveForeignKeys(ctx context.Context, s subject) error {
	p.t.Helper()
	for _, f := range s.ForeignKeys {
		parentTable, err := p.table(ctx, f.Parent)
		if err != nil {
			return err
		}
		if !parentTable.CanSelect || s.a.id(parentTable.Level) == s.b.id(parentTable.Level) {
			continue // they share the row
		}
		level := 0
		for _, name := range f.Columns {
			level = max(level, catalog.LevelOf(name))
		}
		theirs := s.ours
		if f.Parent != s.OID {
			if theirs, err = p.own(ctx, parentTable, s.a, level); err != nil {
				return err
			}
		}
		want := fmt.Sprintf("FOREIGN KEY (%s) REFERENCES %s (%s)", strings.Join(with(parentTable.Column, f.Columns), ", "),
			parentTable, strings.Join(with(parentTable.Column, f.ParentColumns), ", "))
		if err := p.proveReference(ctx, s, f, parentTable, theirs, want); err != nil {
			return err
		}
		if err := p.proveCascade(ctx, s, f, parentTable, theirs, want); err != nil {
			return err
		}
	}
	return nil
}

// with puts a tenant column before those of a key, unless it is there.
func with(column string, key []string) []string {
	if slices.Contains(key, column) {
		return key
	}
	return append([]string{column}, key...)
}

func (p *proof) proveReference(ctx context.Context, s subject, f catalog.ForeignKey, parentTable *table, theirs row, want string) error {
	p.t.Helper()
	if !s.CanInsert || !s.CanSelect {
		return nil
	}
	values, err := p.values(ctx, s.table, s.b)
	if err != nil {
		return err
	}
	free := 0
	for i, name := range f.Columns {
		if catalog.LevelOf(name) == 0 {
			values[name] = theirs[f.ParentColumns[i]]
			free++
		}
	}
	if free == 0 {
		return nil // the policy holds all of its columns
	}
	q, args := s.insertSQL(values)
	cascades := ""
	err = p.attempt(ctx, false, func() error {
		if err := p.enter(ctx, s.b, s.Level); err != nil {
			return err
		}
		if f.Deferrable {
			if _, err := p.tx.Exec(ctx, `SET CONSTRAINTS `+pgx.Identifier{s.Schema, f.Name}.Sanitize()+` IMMEDIATE`); err != nil {
				return err
			}
		}
		child, err := p.scan(ctx, s.table, q+` RETURNING `+s.texts(), args...)
		if err != nil {
			return err
		}
		cascades = p.reached(ctx, s, parentTable, theirs, child)
		return nil
	})
	if err == nil {
		p.fail(s.table, "foreign key "+f.Name, want, "a row of %s can refer to the tenant's row in %s%s", s.b.name, parentTable, cascades)
	}
	return broken(err)
}

// reached deletes the tenant's row of a parent and tells what that did to another's child.
func (p *proof) reached(ctx context.Context, s subject, parentTable *table, theirs, child row) string {
	if !parentTable.CanDelete {
		return ""
	}
	where, args := parentTable.where(theirs, 1, "")
	if n, err := p.try(ctx, s.a, parentTable.Level, `DELETE FROM `+parentTable.SQL+` WHERE `+where, args...); err != nil || n == 0 {
		return ", which then cannot be deleted"
	}
	changed := ""
	_ = p.attempt(ctx, false, func() error { // it worked a moment ago
		changed = p.afterDelete(ctx, s, parentTable, where, args, child)
		return nil
	})
	return changed
}

// afterDelete deletes a row of the tenant and tells what became of another's.
func (p *proof) afterDelete(ctx context.Context, s subject, parentTable *table, where string, args []any, child row) string {
	if err := p.enter(ctx, s.a, parentTable.Level); err != nil {
		return ""
	}
	if _, err := p.tx.Exec(ctx, `DELETE FROM `+parentTable.SQL+` WHERE `+where, args...); err != nil {
		return ""
	}
	if err := p.enter(ctx, s.b, s.Level); err != nil {
		return ""
	}
	find, key := s.where(child, 1, "")
	now, err := p.scan(ctx, s.table, `SELECT `+s.texts()+` FROM `+s.SQL+` WHERE `+find, key...)
	if errors.Is(err, pgx.ErrNoRows) {
		return ", and deleting that deletes it"
	}
	for _, c := range s.Columns {
		if err == nil && !same(now[c.Name], child[c.Name]) {
			return ", and deleting that changes its " + c.Name
		}
	}
	return ""
}

func same(a, b *string) bool { return a == b || a != nil && b != nil && *a == *b }

// proveCascade deletes the tenant's parent: the other tenant's row must stay as it is.
func (p *proof) proveCascade(ctx context.Context, s subject, f catalog.ForeignKey, parentTable *table, theirs row, want string) error {
	p.t.Helper()
	if !strings.Contains("cnd", f.OnDelete) || !parentTable.CanDelete || !s.CanSelect {
		return nil
	}
	where, args := parentTable.where(theirs, 1, "")
	changed := ""
	err := p.attempt(ctx, false, func() error {
		changed = p.afterDelete(ctx, s, parentTable, where, args, s.other)
		return nil
	})
	if changed != "" {
		p.fail(s.table, "cascade of "+f.Name, want, "a row of %s does not survive that the tenant deletes its row in %s%s", s.b.name, parentTable, changed)
	}
	return err
}
