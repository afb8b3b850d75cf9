package tenancytest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stratakit/strata/internal/catalog"
	"github.com/stratakit/strata/tenancy"
)

// Config configures Prove. The zero value is legal.
type Config struct {
	// Schema is Strata's. Default tenancy.DefaultSchema.
	Schema string
	// Schemas are those whose tables are proven. Default: every schema but Strata's, also of
	// other installations of it, with a table that has a column company_id, workspace_id or domain_id and is granted to
	// tenancy.RoleApp.
	Schemas []string
	// Rows gives columns of a row of the table "schema.table" for a tenant, where Prove
	// cannot find values that the table accepts; the columns it leaves out are found. The
	// tenant has all three ids. It is called for each row that is made, and what has to be
	// unique must differ each time.
	Rows map[string]func(tenant tenancy.Tenant) map[string]any
}

// Prove fails the test for every way in which a tenant reaches another's rows in a table of
// cfg.Schemas, and for everything tenancy.DB.Check finds in them, or in the roles.
//
// For each table it makes a row for a tenant and for others that are ever farther away (a
// domain of the same workspace, of another one, of another company), and does everything
// that a statement can do without a scope, in the right one and in the wrong ones: select,
// count, join, insert, bulk insert, upsert, update, move to another tenant, delete, COPY, a
// prepared statement that serves tenants in turn, unique values, foreign keys, cascades, and
// the views over the table. A table whose rows are made by nobody but other roles, or whose
// row cannot be made, fails the test too: it has not been proven.
//
// Everything happens in one transaction on one connection of pool, which is rolled back:
// but for sequences, the database is as it was. The transaction ends before Prove returns.
// pool's login needs what tenancy.NewDB says.
func Prove(t testing.TB, pool *pgxpool.Pool, cfg *Config) {
	t.Helper()
	var c Config
	if cfg != nil {
		c = *cfg
	}
	if c.Schema == "" {
		c.Schema = tenancy.DefaultSchema
	}
	p := &proof{Config: c, t: t, rows: map[rowKey]row{}, facts: map[uint32]*table{}, reported: map[string]bool{}}
	ctx := t.Context()
	rows, err := pool.Query(ctx, installationsSQL)
	if err == nil {
		p.stratas, err = pgx.CollectRows(rows, pgx.RowTo[string])
	}
	may := false
	if err == nil {
		may, err = p.check(ctx, pool)
	}
	if err == nil && may {
		err = p.run(ctx, pool)
	}
	if err != nil {
		t.Errorf("tenancytest: the proof broke off: %v", err)
	}
}

// installationsSQL lists the schemas of Strata: each has a list of what was migrated.
const installationsSQL = `SELECT n.nspname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
	WHERE c.relname = 'schema_lines' AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'compatible_from')`

// proof is one run of Prove.
type proof struct {
	Config
	t testing.TB

	session
	stratas  []string // schemas of Strata
	catalog  *catalog.Catalog
	facts    map[uint32]*table
	rows     map[rowKey]row
	making   []uint32 // the tables whose rows are being made, outermost first
	serial   int
	reported map[string]bool
}

// wanted reports whether a schema's tables are to be proven.
func (p *proof) wanted(schema string) bool {
	if len(p.Schemas) == 0 {
		return schema != p.Schema && !slices.Contains(p.stratas, schema)
	}
	return slices.Contains(p.Schemas, schema)
}

// check reports what tenancy.DB.Check finds, and returns whether the roles allow for more.
func (p *proof) check(ctx context.Context, pool *pgxpool.Pool) (bool, error) {
	p.t.Helper()
	db, err := tenancy.NewDB(pool, &tenancy.DBConfig{Schema: p.Schema})
	if err != nil {
		return false, err
	}
	defer func() { _ = db.Close() }()
	err = db.Check(ctx)
	var found *tenancy.CheckError
	if err != nil && !errors.As(err, &found) {
		return false, err
	}
	may := true
	for i := 0; found != nil && i < len(found.Problems); i++ {
		problem := found.Problems[i]
		role := problem.Schema == "" && problem.Severity == tenancy.Refuse
		if role || problem.Schema != "" && p.wanted(problem.Schema) {
			p.t.Errorf("%s", problem)
		}
		may = may && !role
	}
	return may, nil
}

func (p *proof) run(ctx context.Context, pool *pgxpool.Pool) error {
	p.t.Helper()
	end, err := p.begin(ctx, pool)
	if err != nil {
		return err
	}
	defer end()
	if p.catalog, err = catalog.Read(ctx, p.tx, p.Schema); err != nil {
		return err
	}
	var proven []*catalog.Table
	for _, t := range p.catalog.Tables {
		if p.wanted(t.Schema) && !t.Foreign { // what is done elsewhere may not be undone
			proven = append(proven, t)
		}
	}
	if len(proven) == 0 {
		p.t.Errorf("tenancytest: there is no table with company_id, workspace_id or domain_id (uuid) that is granted to %s%s: nothing was proven", tenancy.RoleApp, p.where())
	}
	for name := range p.Rows {
		if !slices.ContainsFunc(p.catalog.Tables, func(t *catalog.Table) bool { return t.String() == name }) {
			p.t.Errorf("tenancytest: Config.Rows has %q, which is no table with rows of tenants", name)
		}
	}
	names := make([]string, len(proven))
	for i, t := range proven {
		names[i] = t.String()
		facts, err := p.table(ctx, t.OID)
		if err != nil {
			return err
		}
		if err := p.prove(ctx, facts); err != nil {
			return fmt.Errorf("%s: %w", t, err)
		}
	}
	p.t.Logf("tenancytest: tried %s", strings.Join(names, ", "))
	return nil
}

func (p *proof) where() string {
	if len(p.Schemas) == 0 {
		return ""
	}
	return " in " + strings.Join(p.Schemas, ", ")
}

// fail reports what was found, once for each cell of the matrix.
func (p *proof) fail(t *table, cell, want, format string, args ...any) {
	p.t.Helper()
	key := t.Name + ": " + cell
	if p.reported[key] {
		return
	}
	p.reported[key] = true
	p.t.Errorf("%s: %s: want %s", key, fmt.Sprintf(format, args...), want)
}
