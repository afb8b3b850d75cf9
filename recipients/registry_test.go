package recipients_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"golang.org/x/sync/errgroup"

	"github.com/stratakit/strata/internal/dbtest"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
	public "github.com/stratakit/strata/tenancy/tenancytest"
)

// Device is an extension in two adjacent versions of its product.
type Device struct {
	bun.BaseModel `bun:"table:pusher.devices"`
	recipients.Enrollment

	Token string `bun:"token" strata:"unique"`
}

// NewerDevice is what the next version makes of Device.
type NewerDevice struct {
	bun.BaseModel `bun:"table:pusher.devices"`
	recipients.Enrollment

	Token    string     `bun:"token"                             strata:"filterable,unique"`
	Platform string     `bun:"platform,nullzero,default:'ios'"   strata:"filterable,index,options:ios|android"`
	Muted    bool       `bun:"muted"                             strata:"filterable"`
	Seen     *time.Time `bun:"seen_at"                           strata:"filterable"`
}

func registryOf[T any](t *testing.T, e recipients.Extension[T]) (*recipients.Registry, *recipients.Enrollments[T]) {
	t.Helper()
	r := recipients.NewRegistry()
	return r, register(t, r, e)
}

// Two versions of a product run beside each other, whichever starts first and last.
func TestAdjacentVersionsShareAGeneratedTable(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := b.A.Ctx
	ada, bo := b.create(ctx, t, recipients.New{Email: "ada@example.com"}), b.create(ctx, t, recipients.New{Email: "bo@example.com"})

	first, devices := registryOf(t, recipients.Extension[Device]{Name: "push", Product: "pusher"})
	require.ErrorContains(t, first.Verify(t.Context(), b.DB), "it is not stored")
	require.NoError(t, first.Migrate(t.Context(), b.Direct(t)))
	b.storeWith(t, first)
	require.NoError(t, devices.Enroll(ctx, ada.ID, &Device{Token: "a"}))

	second, newer := registryOf(t, recipients.Extension[NewerDevice]{Name: "push", Product: "pusher"})
	require.ErrorContains(t, second.Verify(t.Context(), b.DB), "it has no column platform")
	var g errgroup.Group
	for range 4 {
		g.Go(func() error { return second.Migrate(t.Context(), b.Direct(t)) })
	}
	require.NoError(t, g.Wait(), "all processes at once")
	s := b.storeWith(t, second)
	got, err := newer.Get(ctx, ada.ID)
	require.NoError(t, err)
	require.Equal(t, "ios", got.Platform, "a row of the older version has the default")
	_, err = newer.Update(ctx, ada.ID, 0, func(d *NewerDevice) error { d.Muted = true; return nil })
	require.NoError(t, err)

	// The older goes on, and is started anew: what it does not know stays.
	require.NoError(t, devices.Enroll(ctx, bo.ID, &Device{Token: "b"}))
	_, err = devices.Update(ctx, ada.ID, 0, func(d *Device) error { d.Token = "c"; return nil })
	require.NoError(t, err)
	require.ErrorIs(t, devices.Enroll(ctx, b.create(ctx, t, recipients.New{Email: "cy@example.com"}).ID, &Device{Token: "b"}), recipients.ErrValueTaken)
	again, older := registryOf(t, recipients.Extension[Device]{Name: "push", Product: "pusher"})
	require.NoError(t, again.Verify(t.Context(), b.DB))
	require.NoError(t, again.Migrate(t.Context(), b.Direct(t)))
	old := b.storeWith(t, again)
	row, err := older.Get(ctx, bo.ID)
	require.NoError(t, err)
	require.Equal(t, "b", row.Token)
	n, err := s.Count(ctx, `push.muted && push.platform == "ios" && push.token == "c"`)
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
	require.NoError(t, second.Verify(t.Context(), b.DB))
	n, err = old.Count(ctx, `!push.muted`)
	require.NoError(t, err)
	require.EqualValues(t, 1, n, "it learns of the newer version's columns")

	var version int
	require.NoError(t, b.Pool.QueryRow(t.Context(), `SELECT version FROM strata.recipient_extensions WHERE name = 'push'`).Scan(&version))
	require.Equal(t, 2, version, "stored twice, not at each start")
	var indexes []string
	rows, err := b.Pool.Query(t.Context(), `SELECT indexname::text FROM pg_indexes WHERE schemaname = 'pusher' ORDER BY 1`)
	require.NoError(t, err)
	indexes, err = pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.Equal(t, []string{"devices_domain_id_platform_idx", "devices_domain_id_token_idx", "devices_pkey"}, indexes)
}

// Migrating goes on wherever it was broken off.
func TestMigratingAnExtensionGoesOn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, lost := range []string{
		`DROP POLICY tenant ON pusher.devices`, `DROP POLICY trusted ON pusher.devices`, `ALTER TABLE pusher.devices NO FORCE ROW LEVEL SECURITY`,
		`REVOKE INSERT, DELETE ON pusher.devices FROM strata_app`, `REVOKE SELECT ON pusher.devices FROM strata_query`, `REVOKE USAGE ON SCHEMA pusher FROM strata_query`,
		`DROP TRIGGER count_deleted ON pusher.devices`, `DROP INDEX pusher.devices_domain_id_token_idx`, `UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'pusher.devices_domain_id_token_idx'::regclass`,
		`DELETE FROM strata.recipient_extensions`, `DELETE FROM strata.tenant_tables WHERE schema_name = 'pusher'`,
		`ALTER TABLE pusher.devices DROP CONSTRAINT devices_domain_id_recipient_id_fkey`, `ALTER TABLE pusher.devices DROP COLUMN token`, `DROP TABLE pusher.devices`, `DROP SCHEMA pusher CASCADE`,
	} {
		r, _ := registryOf(t, recipients.Extension[Device]{Name: "push", Product: "pusher"})
		require.NoError(t, r.Migrate(t.Context(), b.Direct(t)), lost)
		require.NoError(t, r.Verify(t.Context(), b.DB), lost)
		tables, err := b.DB.DomainTables(t.Context())
		require.NoError(t, err)
		require.True(t, containsTable(tables, "pusher.devices"), "before: %s", lost)
		_, err = b.Pool.Exec(t.Context(), lost)
		if lost[:6] == "UPDATE" && err != nil {
			continue // only a superuser may
		}
		require.NoError(t, err, lost)
	}
	r, _ := registryOf(t, recipients.Extension[Device]{Name: "push", Product: "pusher"})
	require.Error(t, r.Verify(t.Context(), b.DB))
	require.NoError(t, r.Migrate(t.Context(), b.Direct(t)))
	require.NoError(t, r.Verify(t.Context(), b.DB))
}

func containsTable(tables []tenancy.DomainTable, name string) bool {
	for _, t := range tables {
		if t.Schema+"."+t.Name == name && len(t.Missing) == 0 {
			return true
		}
	}
	return false
}

// What a table lacks is said all at once, with the SQL that mends it: that SQL is run here.
func TestAProductsOwnTableIsOnlyVerified(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r, _ := registryOf(t, recipients.Extension[Course]{Name: "course", Product: "academy", OwnTable: true})
	problems := func() []recipients.ExtensionProblem {
		t.Helper()
		var e *recipients.ExtensionError
		require.ErrorAs(t, r.Migrate(t.Context(), b.Direct(t)), &e)
		return e.Problems
	}
	require.Contains(t, problems()[0].Message, `schema "academy" does not exist`)
	_, err := b.Pool.Exec(t.Context(), `CREATE SCHEMA academy; CREATE TABLE academy.courses (
		domain_id uuid NOT NULL, recipient_id uuid NOT NULL, company_id uuid NOT NULL, workspace_id uuid NOT NULL, must integer NOT NULL, PRIMARY KEY (domain_id, recipient_id))`)
	require.NoError(t, err)
	found := problems()
	require.Len(t, found, 15)
	for _, p := range found {
		require.NotEmpty(t, p.SQL, p.Message)
		_, err := b.Pool.Exec(t.Context(), p.SQL)
		require.NoError(t, err, p.Message)
	}
	require.NoError(t, r.Migrate(t.Context(), b.Direct(t)))

	_, err = b.Pool.Exec(t.Context(), `ALTER TABLE academy.courses DROP COLUMN score, ADD COLUMN score text; ALTER TABLE academy.courses DROP CONSTRAINT courses_pkey`)
	require.NoError(t, err)
	err = r.Verify(t.Context(), b.DB)
	require.ErrorContains(t, err, "column score is text, and double precision to academy")
	require.ErrorContains(t, err, "its primary key is ()")
}

func TestTwoProductsCannotHaveOneName(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r, _ := registryOf(t, recipients.Extension[Device]{Name: "push", Product: "pusher"})
	require.NoError(t, r.Migrate(t.Context(), b.Direct(t)))

	other, _ := registryOf(t, recipients.Extension[Mail]{Name: "push", Product: "mailer"})
	err := other.Migrate(t.Context(), b.Direct(t))
	require.ErrorContains(t, err, `the name is that of table "pusher"."devices" of pusher, and this is table "mailer"."mail" of mailer`)
	same, _ := registryOf(t, recipients.Extension[Device]{Name: "phones", Product: "mailer"})
	require.ErrorContains(t, same.Migrate(t.Context(), b.Direct(t)), `table "pusher"."devices" is that of extension "push" of pusher`)
	var there bool
	require.NoError(t, b.Pool.QueryRow(t.Context(), `SELECT to_regclass('mailer.mail') IS NOT NULL`).Scan(&there))
	require.False(t, there, "nothing was changed")

	type Changed struct {
		bun.BaseModel `bun:"table:pusher.devices"`
		recipients.Enrollment

		Token int64 `bun:"token"`
	}
	changed, _ := registryOf(t, recipients.Extension[Changed]{Name: "push", Product: "pusher"})
	require.ErrorContains(t, changed.Migrate(t.Context(), b.Direct(t)), "column token was registered as text (version 1 of pusher), and is bigint now")
}

func TestTablesOfExtensionsKeepTenantsApart(t *testing.T) {
	t.Parallel()
	b := extend(t)
	public.Prove(t, b.Pool, &public.Config{Schemas: []string{"mailer", "academy"}})
	require.NoError(t, b.DB.Check(t.Context()))
}

// A process filters, joins and exports what only another product's process has registered, and
// leaves changing it to that.
func TestExtensionsOfOtherProducts(t *testing.T) {
	t.Parallel()
	b := extend(t)
	ctx := b.A.Ctx
	ada := b.create(ctx, t, recipients.New{Email: "ada@example.com"})
	require.NoError(t, b.mail.Enroll(ctx, ada.ID, &Mail{Bounces: 2, Secret: "s"}))
	foreign := b.storeWith(t, nil)
	page, err := foreign.List(ctx, recipients.Query{Filter: `email.bounces == 2`, With: []string{"email", "course"}})
	require.NoError(t, err)
	require.Len(t, page.Items, 1)
	data, err := json.Marshal(page.Items[0].Extensions)
	require.NoError(t, err)
	var rows map[string]map[string]any
	require.NoError(t, json.Unmarshal(data, &rows))
	require.Nil(t, rows["course"])
	require.Contains(t, rows, "course")
	require.Equal(t, 2.0, rows["email"]["bounces"])
	require.Equal(t, "subscribed", rows["email"]["subscriptionStatus"])
	require.NotContains(t, rows["email"], "secret", "what its product keeps out of JSON")

	other, err := foreign.Extension(ctx, "email")
	require.NoError(t, err)
	row, err := other.Get(ctx, ada.ID)
	require.NoError(t, err)
	require.Equal(t, rows["email"]["subscriptionStatus"], row.Values()["subscriptionStatus"])
	require.ErrorIs(t, other.Withdraw(ctx, ada.ID), recipients.ErrElsewhere)
	require.ErrorIs(t, other.Withdraw(b.B.Ctx, ada.ID), recipients.ErrNotFound)
	_, err = foreign.Extension(ctx, "nothing")
	require.ErrorIs(t, err, recipients.ErrUnknownExtension)

	require.NoError(t, foreign.Delete(ctx, ada.ID))
	all, err := foreign.Export(ctx, ada.ID)
	require.NoError(t, err)
	require.NotNil(t, all.DeletedAt, "what is deleted is still known")
	require.Equal(t, json.Number("2"), all.Products["email"]["bounces"])
	require.Equal(t, "s", all.Products["email"]["secret"], "a person is told everything")
	require.NotContains(t, all.Products["email"], "domain_id")
	require.NotContains(t, all.Products, "course")

	// A product that has left takes nothing else with it.
	_, err = b.Pool.Exec(t.Context(), `DROP TABLE mailer.mail`)
	require.NoError(t, err)
	all, err = foreign.Export(ctx, ada.ID)
	require.NoError(t, err)
	require.Empty(t, all.Products)
}

// counter counts statements.
type counter struct{ n atomic.Int64 }

func (c *counter) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	c.n.Add(1)
	return ctx
}
func (c *counter) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}
func (c *counter) TraceBatchStart(ctx context.Context, _ *pgx.Conn, d pgx.TraceBatchStartData) context.Context {
	c.n.Add(int64(d.Batch.Len()))
	return ctx
}
func (c *counter) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}
func (c *counter) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData)     {}

// However many rows and extensions, a list is the same number of statements, and so is
// enrolling many.
func TestStatementsDoNotGrowWithRows(t *testing.T) {
	t.Parallel()
	cfg := dbtest.Database(t, tenancytest.Template()).Config().Copy()
	statements := &counter{}
	cfg.ConnConfig.Tracer = statements
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	b := (&bundle{Env: tenancytest.OpenOn(t, pool, dbtest.Redis(t))}).extend(t)
	ctx, s, mail := b.A.Ctx, b.store, b.mail
	var ids []recipients.ID
	for i := range 200 {
		ids = append(ids, b.create(ctx, t, recipients.New{Email: fmt.Sprintf("r%d@example.com", i)}).ID)
	}
	count := func(do func()) int64 {
		before := statements.n.Load()
		do()
		return statements.n.Load() - before
	}
	enroll := func(ids []recipients.ID) func() {
		return func() {
			rows := make([]*Mail, len(ids))
			for i, id := range ids {
				rows[i] = &Mail{Bounces: i}
				rows[i].RecipientID = id
			}
			require.NoError(t, mail.EnrollMany(ctx, rows))
		}
	}
	require.Equal(t, count(enroll(ids[:2])), count(enroll(ids[2:200])))
	for _, id := range ids[:150] {
		require.NoError(t, b.courses.Enroll(ctx, id, &Course{Level: "two"}))
	}
	list := func(size int) func() {
		return func() {
			page, err := s.List(ctx, recipients.Query{
				PageRequest: tenancy.PageRequest{PageSize: size}, With: []string{"email", "course"}, Filter: `email.bounces >= 0 && !course.passed`, Sort: "email",
			})
			require.NoError(t, err)
			require.Len(t, page.Items, min(size, 150))
			for _, r := range page.Items {
				_, ok := mail.From(r)
				require.True(t, ok)
			}
		}
	}
	least := func(do func()) int64 { // the memory of custom fields is filled anew now and then
		return min(count(do), count(do), count(do))
	}
	require.Equal(t, least(list(1)), least(list(200)))
	require.Equal(t, least(func() { _, _ = s.List(ctx, recipients.Query{}) }), least(func() {
		_, err := s.List(ctx, recipients.Query{With: []string{"email", "course"}})
		require.NoError(t, err)
	}), "the joins are part of the statement")
	var all []recipients.Export
	require.LessOrEqual(t, count(func() {
		all, err = s.ExportPage(ctx, recipients.ID{})
		require.NoError(t, err)
	}), int64(8))
	require.Len(t, all, 200)
	require.Len(t, all[0].Products, 2)
	rest, err := s.ExportPage(ctx, all[199].ID)
	require.NoError(t, err)
	require.Empty(t, rest)
}

// Whoever enrolls and withdraws the same recipients at once, nobody waits for ever, and there is
// one row or none.
func TestEnrollingAtOnce(t *testing.T) {
	t.Parallel()
	b := extend(t)
	ctx := b.A.Ctx
	var ids []recipients.ID
	for i := range 8 {
		ids = append(ids, b.create(ctx, t, recipients.New{Email: fmt.Sprintf("r%d@example.com", i)}).ID)
	}
	var g errgroup.Group
	var enrolled, withdrawn atomic.Int64
	for w := range 8 {
		g.Go(func() error {
			for i := range 8 {
				mine := []recipients.ID{ids[(i+w)%8], ids[(3*i+w)%8]}
				if mine[0] == mine[1] {
					mine = mine[:1]
				}
				rows := make([]*Mail, len(mine))
				for j, id := range mine {
					rows[j] = &Mail{}
					rows[j].RecipientID = id
				}
				switch err := b.mail.EnrollMany(ctx, rows); {
				case err == nil:
					enrolled.Add(int64(len(mine)))
				case !errors.Is(err, recipients.ErrEnrolled):
					return err
				}
				n, err := b.mail.WithdrawMany(ctx, mine)
				if err != nil {
					return err
				}
				withdrawn.Add(int64(n))
			}
			return nil
		})
	}
	require.NoError(t, g.Wait())
	left, err := b.store.Count(ctx, "email.enrolled")
	require.NoError(t, err)
	require.Equal(t, enrolled.Load(), withdrawn.Load()+left)
}
