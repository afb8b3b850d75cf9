package recipients_test

import (
	"bytes"
	"log/slog"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata"
	"github.com/stratakit/strata/recipients"
)

// whatIsLeft are the tables and sequences of Strata's schema, but for the record of migrations.
func (b *bundle) whatIsLeft(t *testing.T) (n int) {
	t.Helper()
	require.NoError(t, b.Pool.QueryRow(t.Context(), `SELECT count(*) FROM pg_class WHERE relnamespace = 'strata'::regnamespace
		AND relkind IN ('r', 'p', 'S') AND relname NOT LIKE 'goose%' AND relname <> 'schema_lines'`).Scan(&n))
	return n
}

func (b *bundle) rowsIn(t *testing.T, from string) (n int) {
	t.Helper()
	require.NoError(t, b.Pool.QueryRow(t.Context(), `SELECT count(*) FROM `+from).Scan(&n))
	return n
}

// Leaving Strata takes the tables that it has made for extensions along, without a Registry that
// knows them. What a product has made stays, with its rows.
func TestUnmigrateWithTablesOfProducts(t *testing.T) {
	t.Parallel()
	b := extend(t)
	ctx, pool := t.Context(), b.Direct(t).Pool()
	quiet := &strata.MigrateConfig{Log: slog.New(slog.DiscardHandler)}
	ada := b.create(b.A.Ctx, t, recipients.New{Email: "ada@example.com"})
	require.NoError(t, b.mail.Enroll(b.A.Ctx, ada.ID, &Mail{}))
	require.NoError(t, b.courses.Enroll(b.A.Ctx, ada.ID, &Course{}))
	_, err := pool.Exec(ctx, `
		CREATE TABLE mailer.openings (id int PRIMARY KEY, domain_id uuid, recipient_id uuid, FOREIGN KEY (domain_id, recipient_id) REFERENCES mailer.mail ON DELETE CASCADE);
		INSERT INTO mailer.openings (id) VALUES (1);
		CREATE TABLE mailer.sites (domain_id uuid REFERENCES strata.domains (id));
		CREATE VIEW mailer.bounced AS SELECT recipient_id FROM mailer.mail WHERE bounces > 0`)
	require.NoError(t, err)

	require.ErrorContains(t, strata.Unmigrate(ctx, pool, quiet), "DROP TABLE mailer.mail: ", "what hangs on it is the product's")
	require.NoError(t, b.registry.Verify(ctx, b.DB), "nothing was changed")
	_, err = pool.Exec(ctx, `DROP VIEW mailer.bounced`)
	require.NoError(t, err)
	for range 2 { // a second time there is nothing to do
		require.NoError(t, strata.Unmigrate(ctx, pool, quiet))
		require.Zero(t, b.whatIsLeft(t))
		require.Zero(t, b.rowsIn(t, `pg_tables WHERE schemaname = 'mailer' AND tablename = 'mail'`))
		require.Equal(t, 1, b.rowsIn(t, `mailer.openings`))
		require.Zero(t, b.rowsIn(t, `pg_constraint WHERE contype = 'f' AND connamespace IN ('mailer'::regnamespace, 'academy'::regnamespace)`))
	}
	// Its rows are there for who owns it: it is guarded as before.
	_, err = pool.Exec(ctx, `ALTER TABLE academy.courses NO FORCE ROW LEVEL SECURITY`)
	require.NoError(t, err)
	require.Equal(t, 1, b.rowsIn(t, `academy.courses`))

	require.NoError(t, strata.Migrate(ctx, pool, quiet))
	var lacks *recipients.ExtensionError
	require.ErrorAs(t, b.registry.Migrate(ctx, b.Direct(t)), &lacks)
	require.Equal(t, "course", lacks.Extension)
	_, err = pool.Exec(ctx, `TRUNCATE academy.courses`)
	require.NoError(t, err)
	for _, p := range lacks.Problems {
		_, err := pool.Exec(ctx, p.SQL)
		require.NoError(t, err, p.Message)
	}
	require.NoError(t, b.registry.Migrate(ctx, b.Direct(t)))
	require.Zero(t, b.rowsIn(t, `mailer.mail`))
	require.NoError(t, strata.Unmigrate(ctx, pool, &strata.MigrateConfig{Extensions: b.registry, Log: quiet.Log}), "with a Registry it is the same")
	require.Zero(t, b.whatIsLeft(t))
}

// A table that was there before the library made anything is the product's, and one that a
// product has taken over too.
func TestUnmigrateLeavesWhatAProductMade(t *testing.T) {
	t.Parallel()
	for name, taken := range map[string]bool{"made before": false, "taken over": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			r, _ := registryOf(t, recipients.Extension[Course]{Name: "course", Product: "academy"})
			if !taken {
				_, err := b.Pool.Exec(t.Context(), academySQL)
				require.NoError(t, err)
			}
			require.NoError(t, r.Migrate(t.Context(), b.Direct(t)))
			if taken {
				r, _ = registryOf(t, recipients.Extension[Course]{Name: "course", Product: "academy", OwnTable: true})
				require.NoError(t, r.Migrate(t.Context(), b.Direct(t)))
			}
			require.NoError(t, strata.Unmigrate(t.Context(), b.Direct(t).Pool(), &strata.MigrateConfig{Log: slog.New(slog.DiscardHandler)}))
			require.Zero(t, b.whatIsLeft(t))
			require.Zero(t, b.rowsIn(t, `academy.courses`))
		})
	}
}

// Migrations of an extension are undone by who has them. Without it Unmigrate says so, and does
// nothing. What they say goes where the caller wants it.
func TestUnmigrateNeedsWhoHasTheMigrations(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var log bytes.Buffer
	cfg := &strata.MigrateConfig{Log: slog.New(slog.NewTextHandler(&log, nil))}
	cfg.Extensions, _ = registryOf(t, recipients.Extension[Course]{Name: "course", Product: "academy", Migrations: fstest.MapFS{
		"migrations/001_courses.up.sql":   {Data: []byte(academySQL)},
		"migrations/001_courses.down.sql": {Data: []byte(`DROP SCHEMA academy CASCADE`)},
	}})
	pool := b.Direct(t).Pool()
	require.NoError(t, strata.Migrate(t.Context(), pool, cfg))
	require.Contains(t, log.String(), "x_course")

	require.ErrorContains(t, strata.Unmigrate(t.Context(), pool, nil), "only the products that have them can undo: course: call it with them in MigrateConfig.Extensions")
	require.NoError(t, cfg.Extensions.Verify(t.Context(), b.DB), "nothing was changed")
	for range 2 {
		require.NoError(t, strata.Unmigrate(t.Context(), pool, cfg))
		require.Zero(t, b.whatIsLeft(t))
	}
	require.NoError(t, strata.Migrate(t.Context(), pool, cfg))
	require.NoError(t, cfg.Extensions.Verify(t.Context(), b.DB))
}
