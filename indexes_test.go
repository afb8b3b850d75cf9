package strata_test

import (
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata"
	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/customfields/filter"
	"github.com/stratakit/strata/customfields/indexes"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/tenancy"
)

// A login that may only run notes what filters do and cannot build; it says who can, and with
// a pool of the owner the same process does.
func TestIndexesAreBuiltByTheOwner(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	quiet := slog.New(slog.DiscardHandler)
	c.exec(t, c.admin, `CREATE DATABASE product`,
		`CREATE ROLE strata_query NOLOGIN NOINHERIT`, `CREATE ROLE strata_app NOLOGIN NOINHERIT`, `GRANT strata_query TO strata_app`,
		`CREATE ROLE owner LOGIN PASSWORD 'weak'`, `GRANT strata_app TO owner`, `CREATE ROLE member LOGIN PASSWORD 'weak'`, `GRANT strata_app TO member`)
	c.exec(t, c.as(t, "", "product"), `CREATE SCHEMA acme AUTHORIZATION owner`, `CREATE SCHEMA strata_river AUTHORIZATION owner`)
	owner, member := c.as(t, "owner", "product"), c.as(t, "member", "product")
	require.NoError(t, strata.Migrate(t.Context(), owner, &strata.MigrateConfig{Schema: "acme", Log: quiet}))
	open := func(cfg indexes.Config) *strata.Strata {
		cfg.MinRows, cfg.MinUses, cfg.Refresh, cfg.Slow = 1, 1, time.Nanosecond, time.Nanosecond
		s, err := strata.New(t.Context(), member, nil, &strata.Config{Schema: "acme", Log: quiet, Indexes: cfg})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, s.Stop(t.Context())) })
		return s
	}
	s := open(indexes.Config{})
	done, err := s.Indexes.Step(t.Context())
	require.NoError(t, err, "there is nothing to do")
	require.Zero(t, done)

	c.exec(t, owner, `INSERT INTO acme.field_uses (table_schema, table_name, slot, form, purpose, uses, slow) VALUES ('acme', 'recipients', 'seats', 'number', 'range', 5, 5)`)
	c.exec(t, c.as(t, "", "product"), `INSERT INTO acme.recipients (domain_id, id, company_id, workspace_id, email, email_norm) VALUES (gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'a@example.com', 'a@example.com')`, `ANALYZE acme.recipients`)
	s.Indexes.Recipients().Ran(t.Context(), []filter.Use{{Slot: "city", Type: customfields.Text, Form: filter.UsePrefix}}, time.Second)
	plan, err := s.Indexes.Plan(t.Context())
	require.NoError(t, err)
	require.Len(t, plan, 2)
	_, err = s.Indexes.Step(t.Context())
	require.ErrorIs(t, err, indexes.ErrNotOwner)
	require.ErrorContains(t, err, `GRANT "owner" TO "member"`)
	require.ErrorContains(t, err, "CREATE INDEX CONCURRENTLY")
	require.ErrorIs(t, s.Indexes.Create(t.Context(), "acme", "recipients", "seats", customfields.Number), indexes.ErrNotOwner)

	s = open(indexes.Config{Owner: owner})
	done, err = s.Indexes.Step(t.Context())
	require.NoError(t, err)
	require.Equal(t, 2, done)
	require.True(t, s.Indexes.Recipients().Ready(t.Context())("city", customfields.Text))
	weak := open(indexes.Config{})
	require.True(t, weak.Indexes.Recipients().Ready(t.Context())("seats", customfields.Number))
	_, err = weak.Indexes.Step(t.Context())
	require.NoError(t, err)
}

// The names of fields are tenants' own: nobody learns in the scope of one what others filter by.
func TestUsesOfFieldsAreReadInNoScope(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	a, err := indexes.New(e.DB, &indexes.Config{Refresh: time.Nanosecond})
	require.NoError(t, err)
	a.Recipients().Ran(e.A.Ctx, []filter.Use{{Slot: "secret_of_a", Type: customfields.Text, Form: filter.UseRange}}, time.Second)
	for _, q := range []string{
		`SELECT slot FROM strata.field_uses`, `SELECT * FROM strata.field_uses`, `SELECT slot FROM strata.field_indexes`, `UPDATE strata.field_uses SET uses = 0`,
		`INSERT INTO strata.field_uses (table_schema, table_name, slot, form, purpose, uses, slow) VALUES ('', '', '', '', '', 0, 0) RETURNING slot`,
		`DELETE FROM strata.field_uses WHERE slot = 'secret_of_a'`, `DELETE FROM strata.field_indexes`,
	} {
		err := e.DB.InTx(e.B.Ctx, func(tx *tenancy.Tx) error {
			_, err := tx.Exec(e.B.Ctx, q)
			return err
		})
		require.ErrorContains(t, err, "permission denied", q)
	}
	var noted string
	require.NoError(t, e.Pool.QueryRow(t.Context(), `SELECT slot FROM strata.field_uses`).Scan(&noted))
	require.Equal(t, "secret_of_a", noted)
}
