package recipients

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/tenancy"
)

// Detach takes from Strata's tables what hangs on them in the tables of products, so that they
// can be dropped: strata.Unmigrate calls it. Tables that Registry.Migrate has created are
// dropped with their rows, whichever product registered them. What a product has made itself
// stays with its rows, and loses its foreign keys to Strata's tables and to those that are
// dropped, and the triggers that count it. It is one transaction, and may be called again.
//
// It refuses, and changes nothing, while an extension has migrations of its own that are
// applied: only a Registry with it can undo them (Registry.Unmigrate). Where the login does not
// own a table, or something else such as a view hangs on one, PostgreSQL refuses; the error has
// the statement.
func Detach(ctx context.Context, db *tenancy.DB) error {
	err := pgx.BeginFunc(ctx, db.Pool(), func(tx pgx.Tx) error {
		var there bool
		if err := tx.QueryRow(ctx, `SELECT to_regclass($1) IS NOT NULL`, db.Schema()+".recipient_extensions").Scan(&there); err != nil || !there {
			return err
		}
		open, err := texts(tx.Query(ctx, db.SQL(`SELECT substr(line, 3) FROM strata.schema_lines WHERE starts_with(line, 'x_') ORDER BY 1`)))
		if err != nil {
			return err
		}
		if len(open) > 0 {
			return fmt.Errorf("extensions have migrations of their own, which only the products that have them can undo: %s: call it with them in MigrateConfig.Extensions, or Registry.Unmigrate there before",
				strings.Join(open, ", "))
		}
		statements, err := texts(tx.Query(ctx, db.SQL(detachSQL), db.Schema()))
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `SELECT set_config('lock_timeout', $1, true)`, lockTimeout); err != nil {
			return err
		}
		for _, s := range statements {
			if _, err := tx.Exec(ctx, s); err != nil {
				return fmt.Errorf("%s: %w", s, err)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("recipients: detach the tables of products: %w", err)
	}
	return nil
}

func texts(rows pgx.Rows, err error) ([]string, error) {
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// detachSQL returns the statements in their order. Triggers and keys of a partition go with
// those of its table.
const detachSQL = `
	WITH registered AS (
		SELECT c.oid, e.generated FROM strata.recipient_extensions e
			JOIN pg_namespace n ON n.nspname = e.schema_name
			JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = e.table_name AND c.relkind IN ('r', 'p')
	), products AS (
		SELECT c.oid, format('%I.%I', n.nspname, c.relname) AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname <> $1 OR c.oid IN (SELECT oid FROM registered)
	)
	SELECT sql FROM (
		SELECT 1 AS step, p.name, format('ALTER TABLE %s DROP CONSTRAINT %I', p.name, f.conname) AS sql
		FROM pg_constraint f JOIN products p ON p.oid = f.conrelid
			JOIN pg_class parent ON parent.oid = f.confrelid JOIN pg_namespace n ON n.oid = parent.relnamespace
		WHERE f.contype = 'f' AND f.conparentid = 0 AND (n.nspname = $1 OR parent.oid IN (SELECT oid FROM registered WHERE generated))
		UNION ALL
		SELECT 2, p.name, format('DROP TRIGGER %I ON %s', t.tgname, p.name)
		FROM pg_trigger t JOIN products p ON p.oid = t.tgrelid JOIN pg_proc f ON f.oid = t.tgfoid JOIN pg_namespace n ON n.oid = f.pronamespace
		WHERE NOT t.tgisinternal AND t.tgparentid = 0 AND n.nspname = $1
		UNION ALL
		SELECT 3, p.name, 'DROP TABLE ' || p.name FROM registered r JOIN products p ON p.oid = r.oid WHERE r.generated
	) steps ORDER BY step, name, sql`
