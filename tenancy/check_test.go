package tenancy_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/tenancy"
)

func exec(t *testing.T, pool *pgxpool.Pool, statements ...string) {
	t.Helper()
	for _, q := range statements {
		_, err := pool.Exec(t.Context(), q)
		require.NoError(t, err, q)
	}
}

func TestCheckOfWhatMigrateMakesFindsNothing(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	require.NoError(t, e.DB.Check(t.Context()))
}

// goods is a product's own table as it should be.
const goods = `CREATE SCHEMA shop; GRANT USAGE ON SCHEMA shop TO strata_app;
CREATE TABLE shop.goods (
	company_id uuid NOT NULL, workspace_id uuid NOT NULL, domain_id uuid NOT NULL, id uuid NOT NULL, sku text NOT NULL,
	PRIMARY KEY (domain_id, id), UNIQUE (domain_id, sku), UNIQUE (id)
);
ALTER TABLE shop.goods ENABLE ROW LEVEL SECURITY;
ALTER TABLE shop.goods FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON shop.goods TO strata_app
	USING (domain_id = (SELECT nullif(current_setting('strata.domain_id', true), '')::uuid))
	WITH CHECK (domain_id = (SELECT nullif(current_setting('strata.domain_id', true), '')::uuid));
GRANT SELECT, INSERT, UPDATE, DELETE ON shop.goods TO strata_app`

const scoped = `(domain_id = (SELECT nullif(current_setting('strata.domain_id', true), '')::uuid))`

func TestCheckNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	exec(t, e.Pool, goods)
	require.NoError(t, e.DB.Check(t.Context()))
	parts := `CREATE TABLE shop.parts (domain_id uuid NOT NULL, id uuid PRIMARY KEY, goods_id uuid%s);
		ALTER TABLE shop.parts ENABLE ROW LEVEL SECURITY; ALTER TABLE shop.parts FORCE ROW LEVEL SECURITY;
		CREATE POLICY tenant ON shop.parts TO strata_app USING ` + scoped + `; GRANT SELECT, INSERT ON shop.parts TO strata_app`
	policy := func(expression string) string {
		return `ALTER POLICY tenant ON shop.goods USING (` + expression + `) WITH CHECK (` + expression + `)`
	}
	for _, c := range []struct {
		name, do, undo string
		severity       tenancy.Severity
		subject        string
		says           []string
	}{
		{
			"disabled", `ALTER TABLE shop.goods DISABLE ROW LEVEL SECURITY`, `ALTER TABLE shop.goods ENABLE ROW LEVEL SECURITY`,
			tenancy.Refuse, "shop.goods",
			[]string{"not enabled", "ALTER TABLE shop.goods ENABLE ROW LEVEL SECURITY"},
		},
		{
			"not forced", `ALTER TABLE shop.goods NO FORCE ROW LEVEL SECURITY`, `ALTER TABLE shop.goods FORCE ROW LEVEL SECURITY`,
			tenancy.Refuse, "shop.goods",
			[]string{"not forced"},
		},
		{"true", policy(`true`), policy(scoped), tenancy.Refuse, "shop.goods", []string{"policy tenant", "every row of every tenant", "CREATE POLICY tenant ON shop.goods TO strata_app USING " + scoped}},
		{"or", policy(scoped + ` OR sku = 'public'`), policy(scoped), tenancy.Refuse, "shop.goods", []string{"OR opens it"}},
		{"cast", policy(`domain_id::text = current_setting('strata.domain_id', true)`), policy(scoped), tenancy.Warn, "shop.goods", []string{"cast of the column"}},
		{"cast of another level", policy(`workspace_id::text = current_setting('strata.workspace_id', true)`), policy(scoped), tenancy.Refuse, "shop.goods", []string{"others of the same workspace see them"}},
		{"no nullif", policy(`domain_id = current_setting('strata.domain_id', true)::uuid`), policy(scoped), tenancy.Warn, "shop.goods", []string{"an error instead of no rows"}},
		{
			"level", policy(`workspace_id = (SELECT nullif(current_setting('strata.workspace_id', true), '')::uuid)`), policy(scoped),
			tenancy.Refuse, "shop.goods",
			[]string{"its rows are of a domain: others of the same workspace see them"},
		},
		{
			"crossed", policy(`workspace_id = (SELECT nullif(current_setting('strata.domain_id', true), '')::uuid)`), policy(scoped),
			tenancy.Refuse, "shop.goods",
			[]string{"a setting of another level"},
		},
		{
			"a second policy", `CREATE POLICY more ON shop.goods FOR SELECT TO PUBLIC USING (true)`, `DROP POLICY more ON shop.goods`,
			tenancy.Refuse, "shop.goods",
			[]string{"policy more", "every row"},
		},
		{"for everybody", `ALTER POLICY tenant ON shop.goods TO PUBLIC`, `ALTER POLICY tenant ON shop.goods TO strata_app`, tenancy.Warn, "shop.goods", []string{"is for every role"}},
		{"no policy", `ALTER POLICY tenant ON shop.goods TO strata_query`, `ALTER POLICY tenant ON shop.goods TO strata_app`, tenancy.Warn, "shop.goods", []string{"no policy for strata_app"}},
		{
			"a restrictive policy that lets write", `CREATE POLICY open ON shop.goods TO strata_app USING (true); CREATE POLICY less ON shop.goods AS RESTRICTIVE TO strata_app USING (` + scoped + `) WITH CHECK (true)`,
			`DROP POLICY open ON shop.goods; DROP POLICY less ON shop.goods`,
			tenancy.Refuse, "shop.goods",
			[]string{"policy open", "every row"},
		},
		{
			"columns", `GRANT UPDATE (sku) ON shop.goods TO strata_query; GRANT REFERENCES (id) ON shop.goods TO strata_app`, `REVOKE UPDATE (sku) ON shop.goods FROM strata_query; REVOKE REFERENCES (id) ON shop.goods FROM strata_app`,
			tenancy.Refuse, "shop.goods",
			[]string{"UPDATE is granted to strata_query", "REFERENCES is granted to strata_app"},
		},
		{"truncate", `GRANT TRUNCATE ON shop.goods TO strata_app`, `REVOKE TRUNCATE ON shop.goods FROM strata_app`, tenancy.Refuse, "shop.goods", []string{"REVOKE TRUNCATE ON shop.goods FROM strata_app"}},
		{"query writes", `GRANT DELETE ON shop.goods TO strata_query`, `REVOKE DELETE ON shop.goods FROM strata_query`, tenancy.Refuse, "shop.goods", []string{"DELETE is granted to strata_query"}},
		{"unique", `CREATE UNIQUE INDEX goods_sku ON shop.goods (lower(sku))`, `DROP INDEX shop.goods_sku`, tenancy.Warn, "shop.goods", []string{"goods_sku", "without domain_id"}},
		{"unique in the workspace", `CREATE UNIQUE INDEX goods_sku ON shop.goods (workspace_id, sku)`, `DROP INDEX shop.goods_sku`, tenancy.Warn, "shop.goods", []string{"goods_sku"}},
		{
			"plain foreign key", strings.Replace(parts, "%s", ` REFERENCES shop.goods (id) ON DELETE CASCADE`, 1), `DROP TABLE shop.parts`,
			tenancy.Refuse, "shop.parts",
			[]string{"parts_goods_id_fkey", "shop.goods", "deletes rows of other tenants", "FOREIGN KEY (domain_id, goods_id) REFERENCES shop.goods (domain_id, id)"},
		},
		{
			"view", `CREATE VIEW public.every AS SELECT * FROM shop.goods; GRANT SELECT ON public.every TO strata_app`, `DROP VIEW public.every`,
			tenancy.Refuse, "public.every",
			[]string{"reads shop.goods with the rights of its owner", "ALTER VIEW public.every SET (security_invoker = true)"},
		},
		{
			"view that is only written to", `CREATE VIEW shop.door AS SELECT * FROM shop.goods; GRANT INSERT ON shop.door TO strata_app`, `DROP VIEW shop.door`,
			tenancy.Refuse, "shop.door",
			[]string{"reads shop.goods with the rights of its owner"},
		},
		{
			"view over a table that is not granted", `CREATE TABLE shop.hidden (domain_id uuid NOT NULL); CREATE VIEW shop.shown AS SELECT * FROM shop.hidden; GRANT SELECT ON shop.shown TO strata_app`, `DROP TABLE shop.hidden CASCADE`,
			tenancy.Refuse, "shop.shown",
			[]string{"reads shop.hidden with the rights of its owner", "and the policy and grants on shop.hidden"},
		},
		{
			"a table without a tenant column", `CREATE TABLE shop.comments (id uuid PRIMARY KEY, goods_id uuid REFERENCES shop.goods (id)); GRANT SELECT ON shop.comments TO strata_app`, `DROP TABLE shop.comments`,
			tenancy.Warn, "shop.comments",
			[]string{"comments_goods_id_fkey to shop.goods", "strata_app sees them all"},
		},
		{
			"a table that one with tenants inherits from", `CREATE TABLE shop.base (note text); GRANT SELECT ON shop.base TO strata_app; CREATE TABLE shop.heir (domain_id uuid NOT NULL) INHERITS (shop.base)`, `DROP TABLE shop.base CASCADE`,
			tenancy.Warn, "shop.base",
			[]string{"shop.heir inherits from it"},
		},
		{
			"a column of a domain over uuid", `CREATE DOMAIN shop.tenant AS uuid; CREATE TABLE shop.typed (domain_id shop.tenant NOT NULL); GRANT SELECT ON shop.typed TO strata_app`, `DROP TABLE shop.typed; DROP DOMAIN shop.tenant`,
			tenancy.Refuse, "shop.typed",
			[]string{"not enabled"},
		},
		{
			"a function of somebody who sees everything", `CREATE POLICY owner ON shop.goods TO CURRENT_USER USING (true); CREATE FUNCTION shop.all_goods() RETURNS SETOF shop.goods LANGUAGE sql SECURITY DEFINER AS 'SELECT * FROM shop.goods'`,
			`DROP FUNCTION shop.all_goods; DROP POLICY owner ON shop.goods`,
			tenancy.Warn, "function shop.all_goods()",
			[]string{"which no policy binds"},
		},
		{
			"view over a view", `CREATE VIEW shop.below AS SELECT * FROM shop.goods;
			CREATE VIEW shop.above WITH (security_invoker) AS SELECT * FROM shop.below; GRANT SELECT ON shop.above TO strata_app`, `DROP VIEW shop.above, shop.below`,
			tenancy.Refuse, "shop.above",
			[]string{"view shop.below reads shop.goods"},
		},
		{
			"materialised", `CREATE MATERIALIZED VIEW shop.kept AS SELECT * FROM shop.goods; GRANT SELECT ON shop.kept TO strata_app`, `DROP MATERIALIZED VIEW shop.kept`,
			tenancy.Refuse, "shop.kept",
			[]string{"rows of every tenant of shop.goods"},
		},
		{
			"partition", `CREATE TABLE shop.log (domain_id uuid NOT NULL, at date NOT NULL, PRIMARY KEY (domain_id, at)) PARTITION BY RANGE (at);
			ALTER TABLE shop.log ENABLE ROW LEVEL SECURITY; ALTER TABLE shop.log FORCE ROW LEVEL SECURITY;
			CREATE POLICY tenant ON shop.log TO strata_app USING ` + scoped + `; GRANT SELECT ON shop.log TO strata_app;
			CREATE TABLE shop.log_1 PARTITION OF shop.log DEFAULT; GRANT SELECT ON shop.log_1 TO strata_app`, `DROP TABLE shop.log`,
			tenancy.Refuse, "shop.log_1",
			[]string{"not enabled"},
		},
	} {
		exec(t, e.Pool, c.do)
		err := e.DB.Check(t.Context())
		var found *tenancy.CheckError
		require.ErrorAs(t, err, &found, c.name)
		if c.severity == tenancy.Warn {
			require.Nil(t, found.Of(tenancy.Refuse), "%s: %v", c.name, err)
		}
		of := found.Of(c.severity)
		require.NotNil(t, of, "%s: %v", c.name, err)
		require.Equal(t, c.subject, of.Problems[0].Subject, "%s: %v", c.name, err)
		for _, says := range c.says {
			require.ErrorContains(t, of, says, c.name)
		}
		exec(t, e.Pool, c.undo)
		require.NoError(t, e.DB.Check(t.Context()), c.name)
	}
}

func TestCheckLeavesAloneWhatIsRight(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	exec(t, e.Pool, goods)
	for name, do := range map[string]string{
		"nobody of Strata's may read it": `CREATE TABLE shop.reports (company_id uuid PRIMARY KEY); CREATE VIEW shop.all_goods AS SELECT * FROM shop.goods`,
		"no tenants in it":               `CREATE TABLE shop.countries (code text PRIMARY KEY); GRANT SELECT ON shop.countries TO strata_app`,
		"a comparison and more":          `CREATE POLICY also ON shop.goods FOR SELECT TO strata_app USING (` + scoped + ` AND sku <> 'a AND (b')`,
		"a comparison without SELECT":    `CREATE POLICY bare ON shop.goods FOR DELETE TO strata_app USING (domain_id = nullif(current_setting('strata.domain_id', true), '')::uuid)`,
		"a policy that only takes away":  `CREATE POLICY less ON shop.goods AS RESTRICTIVE TO strata_app USING (sku <> '' OR true)`,
		"rows of nobody":                 `CREATE POLICY everybodys ON shop.goods FOR SELECT TO strata_app USING (domain_id IS NULL)`,
		"rows of the platform":           `CREATE POLICY platform ON shop.goods FOR SELECT TO strata_app USING (domain_id = 'ffffffff-ffff-ffff-ffff-ffffffffffff')`,
		"a column made of tenant columns": `ALTER TABLE shop.goods ADD COLUMN owner_id uuid GENERATED ALWAYS AS (coalesce(domain_id, workspace_id)) STORED;
			CREATE POLICY owner ON shop.goods TO strata_app USING (owner_id = (SELECT nullif(current_setting('strata.domain_id', true), '')::uuid))`,
		"unique everywhere, on purpose":  `CREATE UNIQUE INDEX goods_barcode ON shop.goods (sku); COMMENT ON INDEX shop.goods_barcode IS 'global: a bar code names one thing in the world'`,
		"a foreign key with the tenant":  `ALTER TABLE shop.goods ADD COLUMN instead_of uuid, ADD FOREIGN KEY (domain_id, instead_of) REFERENCES shop.goods (domain_id, id)`,
		"a foreign key to the hierarchy": `ALTER TABLE shop.goods ADD FOREIGN KEY (company_id, domain_id) REFERENCES strata.domains (company_id, id), ADD FOREIGN KEY (company_id) REFERENCES strata.companies (id)`,
		"restrictive policies": `CREATE POLICY open ON shop.goods TO strata_app USING (true);
			CREATE POLICY closed ON shop.goods AS RESTRICTIVE TO strata_app USING (` + scoped + `)`,
		"a comparison the other way round": `CREATE POLICY reversed ON shop.goods TO strata_app USING ((SELECT nullif(current_setting('strata.domain_id', true), '')::uuid) = domain_id)`,
		"a column of a domain over uuid": `CREATE DOMAIN shop.tenant AS uuid; CREATE TABLE shop.typed (domain_id shop.tenant NOT NULL);
			ALTER TABLE shop.typed ENABLE ROW LEVEL SECURITY; ALTER TABLE shop.typed FORCE ROW LEVEL SECURITY;
			CREATE POLICY tenant ON shop.typed TO strata_app USING ` + scoped + `; GRANT SELECT ON shop.typed TO strata_app`,
		"columns of other types":           `CREATE TABLE shop.customers (company_id text PRIMARY KEY, domain_id bigint); GRANT SELECT ON shop.customers TO strata_app`,
		"everybody may see it, on purpose": `CREATE TABLE shop.awards (goods_id uuid REFERENCES shop.goods (id)); GRANT SELECT ON shop.awards TO strata_app; COMMENT ON TABLE shop.awards IS 'global: they are public'`,
		"a view over one with the reader's rights": `CREATE VIEW shop.inner_view WITH (security_invoker) AS SELECT * FROM shop.goods;
			CREATE VIEW shop.outer_view AS SELECT * FROM shop.inner_view; GRANT SELECT ON shop.outer_view TO strata_app`,
		"a view with the reader's rights": `CREATE VIEW shop.mine WITH (security_invoker = on) AS SELECT * FROM shop.goods; GRANT SELECT ON shop.mine TO strata_app`,
	} {
		exec(t, e.Pool, do)
		require.NoError(t, e.DB.Check(t.Context()), name)
	}
}

func TestCheckNamesEverythingAtOnce(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	exec(t, e.Pool, goods, `ALTER TABLE shop.goods NO FORCE ROW LEVEL SECURITY`, `GRANT TRUNCATE ON strata.domains TO strata_app`, `ALTER TABLE strata.companies DISABLE ROW LEVEL SECURITY`)
	err := e.DB.Check(t.Context())
	var found *tenancy.CheckError
	require.True(t, errors.As(err, &found))
	var subjects []string
	for _, p := range found.Problems {
		subjects = append(subjects, p.Subject)
		require.NotEmpty(t, p.Want)
	}
	require.Equal(t, []string{"shop.goods", "strata.companies", "strata.domains"}, subjects)
	require.Nil(t, found.Of(tenancy.Warn))
	require.ErrorContains(t, err, "3 problems")
}

func TestKnownHolesOfPostgreSQL(t *testing.T) {
	t.Parallel()
	for version, want := range map[int]string{
		140018: "refuse security_invoker",
		150002: "warn CVE-2023-2455 CVE-2023-39418 CVE-2024-10976 CVE-2025-8713 15.14", 150003: "warn CVE-2023-39418 15.14",
		150008: "warn CVE-2024-10976 CVE-2025-8713 15.14", 150009: "warn CVE-2025-8713 15.14", 150014: "",
		160000: "warn CVE-2024-10976 16.10", 160009: "warn CVE-2025-8713 16.10", 160010: "",
		170000: "warn CVE-2024-10976 CVE-2025-8713 17.6", 170001: "warn CVE-2025-8713", 170006: "", 180000: "", 190001: "",
	} {
		problems := tenancy.ServerProblems(version)
		if want == "" {
			require.Empty(t, problems, version)
			continue
		}
		require.Len(t, problems, 1, version)
		says := string(problems[0].Severity) + " " + problems[0].String()
		for _, word := range strings.Fields(want) {
			require.Contains(t, says, word, version)
		}
	}
	require.NotContains(t, tenancy.ServerProblems(150009)[0].String(), "CVE-2024-10976")
}
