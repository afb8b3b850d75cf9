package tenancy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Table names a table with rows of domains, and whose it is.
type Table struct {
	// Schema and Name are those of PostgreSQL, unquoted.
	Schema string `json:"schema"`
	Name   string `json:"table"`
	// Product says who to ask about it, such as "training".
	Product string `json:"product"`
}

// String returns schema and name as SQL, quoted.
func (t Table) String() string { return pgx.Identifier{t.Schema, t.Name}.Sanitize() }

// KeyColumn is one column of the key that the rows of a domain are walked by.
type KeyColumn struct{ Name, Type string }

// DomainTable is what there is to know of a registered table for going through the rows
// of one domain in it.
type DomainTable struct {
	Table

	// Key are the columns of its primary key, or of another unique index, behind
	// domain_id. None: a domain has one row at most.
	Key []KeyColumn
	// Workspace tells whether its rows name their workspace.
	Workspace bool
	// Missing says what the table lacks, so that its rows can be walked and rewritten.
	Missing []string
}

// TableError is returned by RegisterTable for a table that lacks something.
type TableError struct {
	Table   Table
	Missing []string
}

// Error says everything that is missing.
func (e *TableError) Error() string {
	return fmt.Sprintf("table %s of %s cannot be registered: %s", e.Table, e.Table.Product, strings.Join(e.Missing, "; "))
}

// RegisterTable makes a product's own table known in the database, so that whatever goes
// through all rows of a domain, such as its move to another workspace, reaches them too,
// whichever product's process does it. Call it at every start, after the product's own
// migrations: a table that is registered already is only checked.
//
// The table must have the columns company_id, workspace_id and domain_id (uuid NOT NULL), a
// primary key or another unique index that begins with domain_id, row-level security that is
// enabled, forced and goes by the domain alone, and grants of SELECT and UPDATE to RoleApp.
// A *TableError says everything that is missing. The first call for a table writes as the
// pool's login, which must be the one that runs Migrate.
func (db *DB) RegisterTable(ctx context.Context, t Table) error {
	if t.Schema == "" || t.Name == "" || t.Product == "" {
		return errors.New("tenancy: RegisterTable needs a schema, a table and a product")
	}
	found, err := db.tables(ctx, `SELECT $1::text AS schema_name, $2::text AS table_name, $3::text AS product`, t.Schema, t.Name, t.Product)
	if err != nil {
		return err
	}
	missing := found[0].Missing
	if !found[0].Workspace && found[0].Exists() {
		missing = append(missing, "it has no column workspace_id uuid NOT NULL")
	}
	if len(missing) > 0 {
		return &TableError{t, missing}
	}
	known, err := db.DomainTables(ctx)
	if err != nil || slices.ContainsFunc(known, func(k DomainTable) bool { return k.Table == t }) {
		return err
	}
	_, err = db.pool.Exec(ctx, db.SQL(`INSERT INTO strata.tenant_tables (schema_name, table_name, product) VALUES ($1, $2, $3)
		ON CONFLICT (schema_name, table_name) DO UPDATE SET product = excluded.product`), t.Schema, t.Name, t.Product)
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "42501" {
		return fmt.Errorf("tenancy: register table %s: do it once with the login that runs Migrate: %w", t, err)
	}
	if err != nil {
		return fmt.Errorf("tenancy: register table %s: %w", t, err)
	}
	return nil
}

// DomainTables returns every registered table, sorted by schema and name.
func (db *DB) DomainTables(ctx context.Context) ([]DomainTable, error) {
	return db.tables(ctx, `SELECT schema_name, table_name, product FROM strata.tenant_tables`)
}

const notThere = "it does not exist"

// Exists reports whether the table is there: one that was registered may have been dropped.
func (t DomainTable) Exists() bool { return !slices.Contains(t.Missing, notThere) }

// tablesSQL looks up in the catalog what the rows of %s name. It asks for the table by the
// names in pg_class, because a cast to regclass fails without a right to use the schema.
const tablesSQL = `
	WITH t AS (%s)
	SELECT t.schema_name, t.table_name, t.product, c.oid IS NOT NULL,
		coalesce(ids.names, '{}'), coalesce(key.found, false), coalesce(key.names, '{}'), coalesce(key.types, '{}'),
		coalesce(c.relrowsecurity AND c.relforcerowsecurity, false),
		coalesce(has_schema_privilege('strata_app', n.oid, 'USAGE') AND has_table_privilege('strata_app', c.oid, 'SELECT'), false),
		coalesce(has_schema_privilege('strata_app', n.oid, 'USAGE') AND has_table_privilege('strata_app', c.oid, 'UPDATE'), false),
		coalesce(policies.texts, '{}')
	FROM t
	LEFT JOIN pg_namespace n ON n.nspname = t.schema_name
	LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.table_name AND c.relkind IN ('r', 'p')
	LEFT JOIN LATERAL (SELECT array_agg(a.attname::text) AS names FROM pg_attribute a
		WHERE a.attrelid = c.oid AND a.attname IN ('company_id', 'workspace_id', 'domain_id') AND a.atttypid = 'uuid'::regtype AND a.attnotnull) ids ON true
	LEFT JOIN LATERAL (SELECT true AS found,
			array_agg(a.attname::text ORDER BY k.n) FILTER (WHERE k.n > 1) AS names,
			array_agg(format_type(a.atttypid, a.atttypmod) ORDER BY k.n) FILTER (WHERE k.n > 1) AS types
		FROM pg_index i, unnest(i.indkey) WITH ORDINALITY AS k (attnum, n), pg_attribute a
		WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
			AND k.n <= i.indnkeyatts AND a.attrelid = i.indrelid AND a.attnum = k.attnum
		GROUP BY i.indexrelid, i.indisprimary
		HAVING bool_and(a.attnotnull) AND min(a.attname::text) FILTER (WHERE k.n = 1) = 'domain_id'
		ORDER BY i.indisprimary DESC, count(*) LIMIT 1) key ON true
	LEFT JOIN LATERAL (SELECT array_agg(coalesce(pg_get_expr(p.polqual, p.polrelid), '') || ' ' || coalesce(pg_get_expr(p.polwithcheck, p.polrelid), '')) AS texts
		FROM pg_policy p WHERE p.polrelid = c.oid AND p.polcmd IN ('*', 'r', 'w') AND ('strata_app'::regrole = ANY (p.polroles) OR 0 = ANY (p.polroles))) policies ON true
	ORDER BY 1, 2`

func (db *DB) tables(ctx context.Context, which string, args ...any) ([]DomainTable, error) {
	var out []DomainTable
	err := db.ReadTrusted(ctx, fmt.Sprintf(tablesSQL, which), args, func(rows pgx.Rows) (err error) {
		out, err = pgx.CollectRows(rows, scanDomainTable)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("tenancy: look at the registered tables: %w", err)
	}
	return out, nil
}

func scanDomainTable(row pgx.CollectableRow) (t DomainTable, err error) {
	var there, key, forced, mayRead, mayUpdate bool
	var ids, names, types, policies []string
	err = row.Scan(&t.Schema, &t.Name, &t.Product, &there, &ids, &key, &names, &types, &forced, &mayRead, &mayUpdate, &policies)
	if err != nil {
		return t, err
	}
	if !there {
		t.Missing = []string{notThere}
		return t, nil
	}
	need := func(ok bool, what string) {
		if !ok {
			t.Missing = append(t.Missing, what)
		}
	}
	need(slices.Contains(ids, "company_id"), "it has no column company_id uuid NOT NULL")
	need(slices.Contains(ids, "domain_id"), "it has no column domain_id uuid NOT NULL")
	need(key, "it has no primary key or unique index that begins with domain_id")
	need(forced, "row-level security is not enabled and forced")
	byDomain := slices.ContainsFunc(policies, func(p string) bool { return strings.Contains(p, "'strata.domain_id'") })
	byOther := slices.ContainsFunc(policies, func(p string) bool {
		return strings.Contains(p, "'strata.company_id'") || strings.Contains(p, "'strata.workspace_id'")
	})
	need(byDomain && !byOther, "it has no policy for strata_app that goes by the setting strata.domain_id alone")
	need(mayRead, "strata_app may not SELECT from it")
	need(mayUpdate, "strata_app may not UPDATE it")
	t.Workspace = slices.Contains(ids, "workspace_id")
	for i, name := range names {
		t.Key = append(t.Key, KeyColumn{name, types[i]})
	}
	return t, nil
}

// UnregisteredTables returns the tables that RoleApp works with, that have a domain_id beside
// a company_id or workspace_id, and that nobody has registered: what goes through all rows of a domain would
// leave theirs behind. What is in the schema of Strata, or of another installation of it in
// the same database, is not among them: the library knows its own tables, and that audit
// entries and moves stay with the company in which they happened.
func (db *DB) UnregisteredTables(ctx context.Context) ([]Table, error) {
	var out []Table
	err := db.ReadTrusted(ctx, `
		SELECT n.nspname::text, c.relname::text, '' FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind IN ('r', 'p') AND has_table_privilege('strata_app', c.oid, 'SELECT, INSERT, UPDATE, DELETE')
			AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'domain_id' AND NOT a.attisdropped)
			AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname IN ('company_id', 'workspace_id') AND NOT a.attisdropped)
			AND NOT EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = c.oid)
			AND NOT EXISTS (SELECT FROM strata.tenant_tables t WHERE t.schema_name = n.nspname AND t.table_name = c.relname)
			AND NOT EXISTS (SELECT FROM pg_class l WHERE l.relnamespace = n.oid AND l.relname = 'schema_lines')
		ORDER BY 1, 2`, nil, func(rows pgx.Rows) (err error) {
		out, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Table])
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("tenancy: look for tables that are not registered: %w", err)
	}
	return out, nil
}
