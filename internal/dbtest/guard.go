package dbtest

import (
	"context"
	_ "embed"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

//go:embed guard.sql
var guardSQL string

// AuditGuard makes COMMIT fail in this database when a table of schema changed in a
// transaction that wrote no audit entry. Call it at the end of a template's Setup; tables
// made later, and the exempt ones, are not guarded.
//
// An audit entry is a row inserted into <schema>.audit_entries whose column xid is
// pg_current_xact_id()::text::bigint. Before or after the change does not matter; an
// entry or a change undone by a savepoint does not count. The error has SQLSTATE 23S01 and
// names the table.
//
// The guard reads no table, only settings of the transaction, so it neither needs nor
// gives a privilege: row-level security works as without it. A statement over many rows
// costs one comparison of settings a row and is checked once.
func AuditGuard(ctx context.Context, pool *pgxpool.Pool, schema string, exempt ...string) error {
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if err := guardTables(ctx, tx, schema, exempt); err != nil {
			return fmt.Errorf("audit guard on schema %s: %w", schema, err)
		}
		return nil
	})
}

func guardTables(ctx context.Context, tx pgx.Tx, schema string, exempt []string) error {
	if _, err := tx.Exec(ctx, guardSQL); err != nil {
		return err
	}
	rows, err := tx.Query(ctx, `
		select c.relname
		from pg_class c join pg_namespace n on n.oid = c.relnamespace
		where n.nspname = $1 and c.relkind in ('r', 'p') and not c.relispartition
		order by c.relname`, schema)
	if err != nil {
		return err
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	if !slices.Contains(tables, "audit_entries") {
		return fmt.Errorf("there is no table audit_entries")
	}
	for _, name := range exempt {
		if !slices.Contains(tables, name) {
			return fmt.Errorf("exempt table %s does not exist", name)
		}
	}
	for _, name := range tables {
		if name == "audit_entries" || slices.Contains(exempt, name) {
			continue
		}
		if _, err := tx.Exec(ctx, changeTrigger(schema, name)); err != nil {
			return fmt.Errorf("table %s: %w", name, err)
		}
	}
	_, err = tx.Exec(ctx, fmt.Sprintf(
		`create trigger dbtest_guard after insert on %s for each row execute function dbtest_guard.entry()`,
		pgx.Identifier{schema, "audit_entries"}.Sanitize()))
	return err
}

// changeTrigger queues one deferred check a transaction: the first row of a table notes
// the transaction in a setting of the table, and later rows find it there.
func changeTrigger(schema, table string) string {
	const current = "pg_current_xact_id()::text"
	setting := "'dbtest_guard." + schema + "_" + table + "'"
	return fmt.Sprintf(`
		create constraint trigger dbtest_guard after insert or update or delete on %s
		deferrable initially deferred for each row
		when (case when current_setting(%[2]s, true) = %[3]s then false
			else set_config(%[2]s, %[3]s, true) is not null end)
		execute function dbtest_guard.change()`,
		pgx.Identifier{schema, table}.Sanitize(), setting, current)
}
