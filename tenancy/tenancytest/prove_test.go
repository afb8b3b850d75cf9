package tenancytest_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/internal/dbtest"
	internal "github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/tenancytest"
)

// recorder is a testing.TB that keeps what a proof reports.
type recorder struct {
	testing.TB
	ctx      context.Context
	failures []string
}

func (r *recorder) Helper()                  {}
func (r *recorder) Context() context.Context { return r.ctx }
func (r *recorder) Errorf(format string, args ...any) {
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}

// about returns the failures of one table or view.
func (r *recorder) about(subject string) (list []string) {
	for _, f := range r.failures {
		if strings.HasPrefix(f, subject+": ") {
			list = append(list, f)
		}
	}
	return list
}

// shop returns a database with the tables of a product as they should be, changed by statements.
func shop(t *testing.T, statements ...string) *pgxpool.Pool {
	t.Helper()
	pool := dbtest.Database(t, internal.Template())
	script, err := os.ReadFile("testdata/shop.sql")
	require.NoError(t, err)
	for _, q := range append([]string{string(script)}, statements...) {
		_, err := pool.Exec(t.Context(), q)
		require.NoError(t, err, q)
	}
	return pool
}

func prove(t *testing.T, pool *pgxpool.Pool, cfg *tenancytest.Config) *recorder {
	t.Helper()
	r := &recorder{TB: t, ctx: t.Context()}
	tenancytest.Prove(r, pool, cfg)
	require.Zero(t, pool.Stat().AcquiredConns(), "the connection has to be given back")
	return r
}

func TestRightTablesAreProven(t *testing.T) {
	t.Parallel()
	pool := shop(t)
	require.Empty(t, prove(t, pool, nil).failures)
	for _, table := range []string{"shop.orders", "shop.order_lines", "shop.contracts", "shop.carriers", "strata.companies", "strata.domains"} {
		var n int
		require.NoError(t, pool.QueryRow(t.Context(), `SELECT (xpath('/row/c/text()', query_to_xml('SELECT count(*) AS c FROM `+table+`', false, true, '')))[1]::text::int`).Scan(&n))
		require.Zero(t, n, "%s is as it was", table)
	}
}

const scoped = `(domain_id = (SELECT nullif(current_setting('strata.domain_id', true), '')::uuid))`

// Whatever is taken away from what is right is found, in the catalog and in what happens.
func TestWhatIsWrongIsNamed(t *testing.T) {
	t.Parallel()
	policy := func(expression string) string {
		return `ALTER POLICY tenant ON shop.orders USING (` + expression + `) WITH CHECK (` + expression + `)`
	}
	const replaceKey = `ALTER TABLE shop.order_lines DROP CONSTRAINT order_lines_domain_id_order_id_fkey, ADD CONSTRAINT plain FOREIGN KEY (order_id) REFERENCES shop.orders (id)`
	for _, c := range []struct {
		name, do, subject string
		says              []string
	}{
		{"a policy that is true", policy(`true`), "shop.orders", []string{
			"policy tenant lets through true", "shop.orders: select, no scope: a tenant reaches another's rows", "select, wrong scope", "count, wrong scope", "join, wrong scope", "insert, wrong scope",
			"bulk insert, wrong scope", "upsert (do nothing), wrong scope", "upsert (do update), wrong scope", "update, wrong scope", "update of domain_id", "delete, wrong scope",
			"prepared statement, tenants in turn", "want CREATE POLICY tenant ON shop.orders TO strata_app USING " + scoped,
		}},
		{"a policy that writes only are held to", `ALTER POLICY tenant ON shop.orders USING (true)`, "shop.orders", []string{"select, wrong scope", "delete, wrong scope"}},
		{"a policy that reads only are held to", `ALTER POLICY tenant ON shop.orders WITH CHECK (true)`, "shop.orders", []string{"insert, wrong scope", "upsert (do nothing), wrong scope"}},
		{"not enabled", `ALTER TABLE shop.orders DISABLE ROW LEVEL SECURITY`, "shop.orders", []string{"not enabled", "select, wrong scope", "COPY: it is not refused"}},
		{"not forced", `ALTER TABLE shop.orders NO FORCE ROW LEVEL SECURITY`, "shop.orders", []string{"not forced"}},
		{"no policy", `DROP POLICY tenant ON shop.orders`, "shop.orders", []string{"no policy for strata_app", "insert, right scope: a tenant cannot insert its own row"}},
		{
			"a policy by workspace", policy(`workspace_id = (SELECT nullif(current_setting('strata.workspace_id', true), '')::uuid)`), "shop.orders",
			[]string{"its rows are of a domain", "select, wrong scope", "in the scope of another domain of its workspace"},
		},
		{"an error without a scope", policy(`domain_id = current_setting('strata.domain_id', true)::uuid`), "shop.orders", []string{"select, no scope: without a scope it fails"}},
		{"another policy", `CREATE POLICY support ON shop.orders FOR SELECT TO strata_app USING (status = 'draft')`, "shop.orders", []string{"policy support", "select, wrong scope"}},
		{"a view with the rights of its owner", `ALTER VIEW shop.placed RESET (security_invoker)`, "shop.placed", []string{"reads shop.orders with the rights of its owner", "reads shop.order_lines"}},
		{"a materialised view", `CREATE MATERIALIZED VIEW shop.kept AS SELECT domain_id, sum(total) FROM shop.orders GROUP BY 1; GRANT SELECT ON shop.kept TO strata_app`, "shop.kept", []string{"rows of every tenant of shop.orders"}},
		{"a plain foreign key", replaceKey, "shop.order_lines", []string{
			"foreign key plain (order_id) to shop.orders is without domain_id", "foreign key plain: a row of another domain of its workspace can refer to the tenant's row in shop.orders, which then cannot be deleted",
		}},
		{"a plain foreign key that cascades", replaceKey + ` ON DELETE CASCADE`, "shop.order_lines", []string{
			"ON DELETE CASCADE deletes rows of other tenants", "foreign key plain: a row of another domain of its workspace can refer to the tenant's row in shop.orders, and deleting that deletes it",
		}},
		{"a plain foreign key that sets null", `ALTER TABLE shop.orders DROP CONSTRAINT orders_domain_id_replaces_fkey, ADD CONSTRAINT plain FOREIGN KEY (replaces) REFERENCES shop.orders (id) ON DELETE SET NULL`, "shop.orders", []string{
			"ON DELETE SET changes rows", "and deleting that changes its replaces",
		}},
		{"a unique index without the tenant", `CREATE UNIQUE INDEX orders_email ON shop.orders (email)`, "shop.orders", []string{
			"unique index orders_email (email) is without domain_id", "unique index orders_email: another domain of its workspace cannot have the values of the tenant's row",
		}},
		{"TRUNCATE", `GRANT ALL ON shop.orders TO strata_app`, "shop.orders", []string{"TRUNCATE is granted to strata_app", "TRIGGER is granted", "REFERENCES is granted"}},
		{"a partition", `GRANT SELECT ON shop.events_all TO strata_app`, "shop.events_all", []string{"not enabled", "select, wrong scope"}},
		{"a CHECK that no value is known for", `ALTER TABLE shop.orders ADD CONSTRAINT odd CHECK (email ~ '^order [0-9]+$')`, "shop.orders", []string{
			`not proven: no row could be made`, `"odd"`, `want Config.Rows["shop.orders"] = func(tenant tenancy.Tenant) map[string]any { return map[string]any{"email": ...} }`,
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := prove(t, shop(t, c.do), nil)
			about := strings.Join(r.about(c.subject), "\n")
			for _, says := range c.says {
				require.Contains(t, about, says)
			}
			if c.subject == "shop.order_lines" || c.name == "TRUNCATE" || c.name == "a unique index without the tenant" {
				require.Len(t, r.failures, len(r.about(c.subject)), "nothing else is wrong: %s", strings.Join(r.failures, "\n"))
			}
		})
	}
}

// No table is passed over: with the walls down, what crosses is found in each.
func TestEveryTableIsTried(t *testing.T) {
	t.Parallel()
	pool := shop(t, `DO $$
		DECLARE
			t text;
		BEGIN
			FOR t IN SELECT polrelid::regclass FROM pg_policy WHERE polname = 'tenant' LOOP
				EXECUTE format('ALTER POLICY tenant ON %s USING (true) WITH CHECK (true)', t);
			END LOOP;
		END $$`)
	rows, err := pool.Query(t.Context(), `SELECT polrelid::regclass::text FROM pg_policy WHERE polname = 'tenant'`)
	require.NoError(t, err)
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.Greater(t, len(tables), 15)
	r := prove(t, pool, &tenancytest.Config{Schemas: []string{"strata", "shop"}})
	for _, table := range tables {
		about := strings.Join(r.about(table), "\n")
		for _, cell := range []string{"select, no scope", "select, wrong scope", "count, right scope", "join, wrong scope", "prepared statement", "insert, no scope", "insert, wrong scope", "bulk insert, wrong scope", "upsert (do nothing), wrong scope"} {
			require.Contains(t, about, table+": "+cell)
		}
	}
}

func TestRowsThatOnlyTheProductCanMake(t *testing.T) {
	t.Parallel()
	pool := shop(t,
		`ALTER TABLE shop.orders ADD CONSTRAINT odd CHECK (email ~ '^order [0-9]+$')`,
		`ALTER TABLE shop.templates ADD COLUMN shape path NOT NULL`,
		`CREATE FUNCTION shop.picky() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			IF NEW.starts_on < '2031-01-01' THEN RAISE 'too early'; END IF; RETURN NEW;
		END $$`,
		`CREATE TRIGGER picky BEFORE INSERT ON shop.contracts FOR EACH ROW EXECUTE FUNCTION shop.picky()`)
	r := prove(t, pool, nil)
	require.Contains(t, strings.Join(r.about("shop.templates"), ""), `column shape (path): no value is known`)
	require.Contains(t, strings.Join(r.about("shop.contracts"), ""), `too early`)
	require.Contains(t, strings.Join(r.about("shop.orders"), ""), `a row of shop.contracts, which orders_company_id_contract_id_fkey refers to`)
	require.Contains(t, strings.Join(r.about("shop.orders"), ""), `Config.Rows["shop.contracts"]`)

	serial := 0
	cfg := &tenancytest.Config{Rows: map[string]func(tenancy.Tenant) map[string]any{
		"shop.orders": func(tenant tenancy.Tenant) map[string]any {
			require.Equal(t, tenancy.LevelDomain, tenant.Level())
			serial++
			return map[string]any{"email": fmt.Sprintf("order %d", serial), "tags": []string{"a", "b"}, "status": "placed", "total": 9.5, "replaces": nil}
		},
		"shop.templates": func(tenancy.Tenant) map[string]any { return map[string]any{"shape": "((0,0),(1,1))"} },
		"shop.contracts": func(tenancy.Tenant) map[string]any {
			return map[string]any{"starts_on": time.Date(2031, 1, 1, 0, 0, 0, 0, time.UTC)}
		},
	}}
	require.Empty(t, prove(t, pool, cfg).failures)

	cfg.Rows = map[string]func(tenancy.Tenant) map[string]any{
		"shop.order":  func(tenancy.Tenant) map[string]any { return nil },
		"shop.orders": func(tenancy.Tenant) map[string]any { return map[string]any{"mail": "x"} },
	}
	all := strings.Join(prove(t, pool, cfg).failures, "\n")
	require.Contains(t, all, `Config.Rows has "shop.order", which is no table with rows of tenants`)
	require.Contains(t, all, `gives a column "mail" that the table has not`)
}

// What stands in a view is read with the rights of that view, not of the one above it.
func TestAViewOverOneWithTheReadersRights(t *testing.T) {
	t.Parallel()
	everything := `CREATE POLICY owner ON shop.orders TO CURRENT_USER USING (true); CREATE POLICY owner ON shop.order_lines TO CURRENT_USER USING (true)`
	above := `CREATE VIEW shop.above AS SELECT * FROM shop.placed; GRANT SELECT ON shop.above TO strata_app`
	require.Empty(t, prove(t, shop(t, everything, above), nil).failures)
	r := prove(t, shop(t, everything, above, `ALTER VIEW shop.placed RESET (security_invoker)`), nil)
	require.Contains(t, strings.Join(r.failures, "\n"), "view shop.above, wrong scope: a tenant reaches another's rows")
}

func TestNothingToProveIsNoProof(t *testing.T) {
	t.Parallel()
	pool := dbtest.Database(t, internal.Template())
	for _, cfg := range []*tenancytest.Config{nil, {Schemas: []string{"nowhere"}}} {
		require.Contains(t, strings.Join(prove(t, pool, cfg).failures, "\n"), "nothing was proven")
	}
	empty := dbtest.Database(t, dbtest.Template{})
	require.NotEmpty(t, prove(t, empty, nil).failures, "a database without Strata")
}

// A proof that could not be finished is none, and gives its connection back.
func TestTheProofBreaksOff(t *testing.T) {
	t.Parallel()
	pool := shop(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := &recorder{TB: t, ctx: ctx}
	tenancytest.Prove(r, pool, nil)
	require.Contains(t, strings.Join(r.failures, ""), "the proof broke off")
	require.Zero(t, pool.Stat().AcquiredConns())
}
