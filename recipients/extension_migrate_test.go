package recipients_test

import (
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/recipients"
)

// An extension's own migrations are applied after it is clear that the name is free, once each,
// and a table that they make wrongly is said to be wrong.
func TestMigrationsOfAnExtension(t *testing.T) {
	t.Parallel()
	b := setup(t)
	files := fstest.MapFS{
		"migrations/001_courses.up.sql":   {Data: []byte(academySQL)},
		"migrations/001_courses.down.sql": {Data: []byte(`DROP SCHEMA academy CASCADE`)},
	}
	of := func(name string, tables ...string) *recipients.Registry {
		r, _ := registryOf(t, recipients.Extension[Course]{Name: name, Product: "academy", Migrations: files, Tables: tables})
		return r
	}
	direct := b.Direct(t)
	there := func() (is bool) {
		require.NoError(t, b.Pool.QueryRow(t.Context(), `SELECT to_regclass('academy.courses') IS NOT NULL`).Scan(&is))
		return is
	}
	mailer, _ := registryOf(t, recipients.Extension[Mail]{Name: "email", Product: "mailer"})
	require.NoError(t, mailer.Migrate(t.Context(), direct))
	require.ErrorContains(t, of("email").Migrate(t.Context(), direct), `of mailer, and this is table "academy"."courses" of academy`)
	require.False(t, there(), "nothing was changed")

	r := of("course")
	require.ErrorContains(t, r.Verify(t.Context(), b.DB), "run strata.Migrate")
	for range 2 {
		require.NoError(t, r.Migrate(t.Context(), direct))
		require.NoError(t, r.Migrate(t.Context(), direct))
		require.NoError(t, r.Verify(t.Context(), b.DB))
		require.NoError(t, r.Unmigrate(t.Context(), direct))
		require.False(t, there())
		require.Error(t, r.Verify(t.Context(), b.DB))
	}
	require.NoError(t, mailer.Verify(t.Context(), b.DB))

	require.ErrorContains(t, of("course", "academy.none").Migrate(t.Context(), direct), `table "academy"."none" has no foreign key (domain_id, recipient_id) to table "academy"."courses"`)
	_, err := recipients.Register(recipients.NewRegistry(), recipients.Extension[Course]{Name: "course", Tables: []string{"none"}})
	require.ErrorContains(t, err, `table "none": want schema.name`)

	delete(files, "migrations/001_courses.down.sql")
	require.ErrorContains(t, of("course").Migrate(t.Context(), direct), "version 1 needs both an up and a down file")
}
