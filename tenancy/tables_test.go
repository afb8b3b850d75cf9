package tenancy_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/tenancy"
)

func TestRegisterTable(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	exec := func(q string) {
		t.Helper()
		_, err := e.Pool.Exec(t.Context(), q)
		require.NoError(t, err)
	}
	table := tenancy.Table{Schema: "academy", Name: "Progress", Product: "academy"}
	missing := func() []string {
		t.Helper()
		var bad *tenancy.TableError
		require.ErrorAs(t, e.DB.RegisterTable(t.Context(), table), &bad)
		return bad.Missing
	}
	require.Equal(t, []string{"it does not exist"}, missing())
	exec(`CREATE SCHEMA academy; CREATE TABLE academy."Progress" (domain_id text, company_id uuid, id integer)`)
	require.Equal(t, []string{
		"it has no column company_id uuid NOT NULL",
		"it has no column domain_id uuid NOT NULL",
		"it has no primary key or unique index that begins with domain_id",
		"row-level security is not enabled and forced",
		"it has no policy for strata_app that goes by the setting strata.domain_id alone",
		"strata_app may not SELECT from it",
		"strata_app may not UPDATE it",
		"it has no column workspace_id uuid NOT NULL",
	}, missing(), "all at once")

	exec(`DROP TABLE academy."Progress"; GRANT USAGE ON SCHEMA academy TO strata_app;
		CREATE TABLE academy."Progress" (company_id uuid NOT NULL, workspace_id uuid NOT NULL, domain_id uuid NOT NULL, id integer, "When" timestamptz NOT NULL, other integer,
			PRIMARY KEY (id, domain_id));
		ALTER TABLE academy."Progress" ENABLE ROW LEVEL SECURITY; ALTER TABLE academy."Progress" FORCE ROW LEVEL SECURITY;
		CREATE POLICY tenant ON academy."Progress" TO strata_app USING (company_id = (SELECT nullif(current_setting('strata.company_id', true), '')::uuid));
		GRANT SELECT, UPDATE ON academy."Progress" TO strata_app;
		CREATE UNIQUE INDEX partial ON academy."Progress" (domain_id, id) WHERE id > 0;
		CREATE UNIQUE INDEX nullable ON academy."Progress" (domain_id, other)`)
	require.Equal(t, []string{
		"it has no primary key or unique index that begins with domain_id",
		"it has no policy for strata_app that goes by the setting strata.domain_id alone",
	}, missing(), "the rows of a domain could be neither walked nor rewritten")

	unknown, err := e.DB.UnregisteredTables(t.Context())
	require.NoError(t, err)
	require.Equal(t, []tenancy.Table{{Schema: "academy", Name: "Progress"}}, unknown)
	exec(`DROP POLICY tenant ON academy."Progress"; CREATE UNIQUE INDEX key ON academy."Progress" (domain_id, "When", id);
		CREATE POLICY tenant ON academy."Progress" TO strata_app USING (domain_id = (SELECT nullif(current_setting('strata.domain_id', true), '')::uuid))`)
	for range 2 {
		require.NoError(t, e.DB.RegisterTable(t.Context(), table))
	}
	unknown, err = e.DB.UnregisteredTables(t.Context())
	require.NoError(t, err)
	require.Empty(t, unknown)
	all, err := e.DB.DomainTables(t.Context())
	require.NoError(t, err)
	require.Equal(t, tenancy.DomainTable{
		Table: table, Workspace: true, Key: []tenancy.KeyColumn{{Name: "When", Type: "timestamp with time zone"}, {Name: "id", Type: "integer"}},
	}, all[0])
	var own []string
	for _, table := range all[1:] {
		require.Equal(t, []string{"strata", "strata"}, []string{table.Schema, table.Product})
		require.Empty(t, table.Missing, table.Name)
		require.NotEmpty(t, table.Key)
		own = append(own, table.Name)
	}
	require.Equal(t, []string{"custom_field_uniques", "import_changes", "import_rows", "imports", "person_completions", "person_credits", "person_keys", "recipient_counts", "recipient_exports", "recipients", "run_attempts", "run_batches", "run_failures", "run_targets", "runs"}, own)
}
