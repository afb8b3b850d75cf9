package tenancytest

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// refused holds a statement to being refused by the policy. Constraints are checked after
// policies, so an error of one says that no policy stood in the way; an error of anything
// else, such as a trigger, refuses too.
func (p *proof) refused(s subject, cell, in, what string, n int64, err error) error {
	p.t.Helper()
	switch c := code(err); {
	case err == nil && n > 0:
		p.fail(s.table, cell, s.want, "a tenant writes another's rows: %s it %s", in, what)
	case err == nil:
		p.fail(s.table, cell, s.want, "%s nothing is written, and nothing said", in)
	case strings.HasPrefix(c, "23"):
		p.fail(s.table, cell, s.want, "%s no policy refuses it, only a constraint: %v", in, err)
	case strings.HasPrefix(c, "22"):
		p.fail(s.table, cell, s.want, "%s it fails instead of being refused: %v", in, err)
	}
	return broken(err)
}

// proveInserts tries to write rows of the tenant, one that is new and the one that is there.
func (p *proof) proveInserts(ctx context.Context, s subject) error {
	p.t.Helper()
	if !s.CanInsert {
		return nil
	}
	fresh, err := p.values(ctx, s.table, s.a)
	if err != nil {
		return err
	}
	insert, args := s.insertSQL(fresh)
	bulk, bulkArgs := s.bulkSQL(fresh)
	there := row{}
	for name := range fresh {
		there[name] = s.ours[name]
	}
	upsert, upsertArgs := s.insertSQL(there)
	update := ""
	if len(s.Key) > 0 && s.CanUpdate && s.CanSelect {
		column := pgx.Identifier{s.Column}.Sanitize()
		update = fmt.Sprintf(` ON CONFLICT (%s) DO UPDATE SET %s = EXCLUDED.%s`, list(s.Key), column, column)
	}
	if err := s.scopes(func(level int, cell, in string) error {
		n, err := p.try(ctx, s.b, level, insert, args...)
		if err := p.refused(s, "insert"+cell, in, "inserts one", n, err); err != nil {
			return err
		}
		n, err = p.try(ctx, s.b, level, bulk, bulkArgs...)
		if err := p.refused(s, "bulk insert"+cell, in, "inserts some", n, err); err != nil {
			return err
		}
		n, err = p.try(ctx, s.b, level, upsert+` ON CONFLICT DO NOTHING`, upsertArgs...)
		if err := p.refused(s, "upsert (do nothing)"+cell, in, "inserts one", n, err); err != nil || update == "" {
			return err
		}
		n, err = p.try(ctx, s.b, level, upsert+update, upsertArgs...)
		return p.refused(s, "upsert (do update)"+cell, in, "updates one", n, err)
	}); err != nil {
		return err
	}

	// PostgreSQL refuses COPY where policies apply, so that nothing gets past them.
	err = p.attempt(ctx, false, func() error {
		if err := p.enter(ctx, s.b, s.Level); err != nil {
			return err
		}
		_, err := p.tx.Conn().PgConn().CopyFrom(ctx, strings.NewReader(""), `COPY `+s.SQL+` FROM STDIN`)
		return err
	})
	if err == nil {
		p.fail(s.table, "COPY", "ALTER TABLE "+s.SQL+" ENABLE ROW LEVEL SECURITY", "it is not refused, so no policy is applied")
	}
	return broken(err)
}

// bulkSQL returns an INSERT of a row twice, the way that many are written at once.
func (t *table) bulkSQL(values row) (string, []any) {
	var columns, arrays, names, casts []string
	var args []any
	for _, c := range t.Columns {
		if v, ok := values[c.Name]; ok {
			args = append(args, []*string{v, v})
			columns = append(columns, pgx.Identifier{c.Name}.Sanitize())
			name := fmt.Sprintf("c%d", len(args))
			names = append(names, name)
			arrays = append(arrays, fmt.Sprintf("$%d::text[]", len(args)))
			casts = append(casts, name+"::"+c.Type)
		}
	}
	return fmt.Sprintf(`INSERT INTO %s (%s) SELECT %s FROM unnest(%s) AS rows (%s)`, t.SQL, strings.Join(columns, ", "),
		strings.Join(casts, ", "), strings.Join(arrays, ", "), strings.Join(names, ", ")), args
}

func list(names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = pgx.Identifier{n}.Sanitize()
	}
	return strings.Join(quoted, ", ")
}

// proveUpdates tries to change, give away and delete the row of the tenant.
func (p *proof) proveUpdates(ctx context.Context, s subject) error {
	p.t.Helper()
	if !s.CanSelect {
		return nil
	}
	where, args := s.where(s.ours, 1, "")
	column := pgx.Identifier{s.Column}.Sanitize()
	update := fmt.Sprintf(`UPDATE %s SET %s = %s WHERE %s`, s.SQL, column, column, where)
	remove := fmt.Sprintf(`DELETE FROM %s WHERE %s`, s.SQL, where)
	if s.CanUpdate {
		n, err := p.try(ctx, s.a, s.Level, update, args...)
		if code(err) != "42501" && (err != nil || n != 1) { // the right to update this column may be missing
			p.fail(s.table, "update, right scope", s.want, "a tenant updates %d rows instead of its own: %v", n, err)
		}
		move := fmt.Sprintf(`UPDATE %s SET %s = $%d::text::uuid WHERE %s`, s.SQL, column, len(args)+1, where)
		n, err = p.try(ctx, s.a, s.Level, move, append(args, s.b.id(s.Level))...)
		if err := p.refused(s, "update of "+s.Column, "in the scope of the tenant", "gives a row to "+s.b.name, n, err); err != nil {
			return err
		}
	}
	if s.CanDelete {
		n, err := p.try(ctx, s.a, s.Level, remove, args...)
		if err == nil && n != 1 {
			p.fail(s.table, "delete, right scope", s.want, "a tenant deletes %d rows instead of its own", n)
		}
	}
	return s.scopes(func(level int, cell, in string) error {
		if s.CanUpdate {
			n, err := p.try(ctx, s.b, level, update, args...)
			if code(err) != "42501" {
				if err := p.none(s, "update"+cell, in, "are updated", n, err); err != nil {
					return err
				}
			}
		}
		if !s.CanDelete {
			return nil
		}
		n, err := p.try(ctx, s.b, level, remove, args...)
		if strings.HasPrefix(code(err), "23") { // a row that it must not see is not deleted, so nothing refers to it
			n, err = 1, nil
		}
		return p.none(s, "delete"+cell, in, "are deleted", n, err)
	})
}
