package recipients_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
)

// extensionTable makes a table as extensions have it, and has it counted.
func (b *bundle) extensionTable(t *testing.T, name string) {
	t.Helper()
	_, err := b.Pool.Exec(t.Context(), fmt.Sprintf(`CREATE SCHEMA IF NOT EXISTS shop; GRANT USAGE ON SCHEMA shop TO strata_app;
		CREATE TABLE shop.%[1]s (domain_id uuid NOT NULL, recipient_id uuid NOT NULL, company_id uuid NOT NULL, workspace_id uuid NOT NULL,
			PRIMARY KEY (domain_id, recipient_id),
			FOREIGN KEY (domain_id, recipient_id) REFERENCES strata.recipients (domain_id, id) ON DELETE CASCADE);
		ALTER TABLE shop.%[1]s ENABLE ROW LEVEL SECURITY; ALTER TABLE shop.%[1]s FORCE ROW LEVEL SECURITY;
		CREATE POLICY tenant ON shop.%[1]s TO strata_app
			USING (domain_id = (SELECT nullif(current_setting('strata.domain_id', true), '')::uuid))
			WITH CHECK (domain_id = (SELECT nullif(current_setting('strata.domain_id', true), '')::uuid));
		GRANT SELECT, INSERT, UPDATE, DELETE ON shop.%[1]s TO strata_app;`, name)+
		recipients.CountTriggersSQL(tenancy.Table{Schema: "shop", Name: name, Product: "shop"}, name))
	require.NoError(t, err)
}

// in runs a statement in the scope of ctx's domain with an audit entry.
func (b *bundle) in(ctx context.Context, q string, args ...any) error {
	return b.DB.InTx(ctx, func(tx *tenancy.Tx) error {
		if _, err := tx.Exec(ctx, q, args...); err != nil {
			return err
		}
		return b.Audit.RecordTx(ctx, tx, audit.Entry{Action: "test"})
	})
}

const (
	enrolSQL    = `INSERT INTO shop.%s SELECT domain_id, id, company_id, workspace_id FROM strata.recipients WHERE domain_id = $1 AND id = ANY($2) ON CONFLICT DO NOTHING`
	withdrawSQL = `DELETE FROM shop.%s WHERE domain_id = $1 AND recipient_id = ANY($2)`
)

// counted is what the tables of a domain hold, as Stats says it.
func (b *bundle) counted(ctx context.Context, t *testing.T, extensions ...string) recipients.Stats {
	t.Helper()
	tenant, err := tenancy.DomainFrom(ctx)
	require.NoError(t, err)
	want := recipients.Stats{ByStatus: map[recipients.Status]int64{}, ByProduct: map[string]int64{}}
	for _, s := range recipients.Statuses() {
		want.ByStatus[recipients.Status(s)] = 0
	}
	read := func(q string, args ...any) {
		require.NoError(t, b.DB.Read(ctx, q, args, func(rows pgx.Rows) error {
			var key string
			var n int64
			_, err := pgx.ForEachRow(rows, []any{&key, &n}, func() error {
				switch {
				case key == "persons":
					want.Persons = n
				case len(args) > 1:
					if n > 0 {
						want.ByProduct[key] = n
					}
				default:
					want.ByStatus[recipients.Status(key)] = n
					want.Total += n
				}
				return nil
			})
			return err
		}))
	}
	read(`SELECT status, count(*) FROM strata.recipients WHERE domain_id = $1 AND deleted_at IS NULL GROUP BY 1`, tenant.DomainID)
	read(`SELECT 'persons', count(DISTINCT coalesce(person_id, id)) FROM strata.recipients WHERE domain_id = $1 AND deleted_at IS NULL`, tenant.DomainID)
	for _, e := range extensions {
		read(`SELECT $2::text, count(*) FROM shop.`+e+` x JOIN strata.recipients r ON r.domain_id = x.domain_id AND r.id = x.recipient_id
			WHERE x.domain_id = $1 AND r.deleted_at IS NULL`, tenant.DomainID, e)
	}
	return want
}

// requireCounts holds Stats of a domain to its tables.
func (b *bundle) requireCounts(ctx context.Context, t *testing.T, extensions ...string) {
	t.Helper()
	got, err := b.store.Stats(ctx)
	require.NoError(t, err)
	want := b.counted(ctx, t, extensions...)
	require.Len(t, got.ByDomain, 1)
	require.Equal(t, want.Total, got.ByDomain[0].Count)
	got.ByDomain = nil
	require.Equal(t, want, got)
}

// Whatever is done to recipients and enrolments, one at a time and many at once, committed or
// not, the counts are those of the tables.
func TestCountsAreThoseOfTheTables(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := b.A.Ctx
	b.extensionTable(t, "email")
	b.extensionTable(t, "sms")
	other := b.create(b.B.Ctx, t, recipients.New{Email: "other@example.com"})
	require.NoError(t, b.in(b.B.Ctx, fmt.Sprintf(enrolSQL, "email"), b.B.DomainID, []string{other.ID.String()}))

	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // a test's choices
	var ids []string
	for i := range 12 {
		ids = append(ids, b.create(ctx, t, recipients.New{Email: fmt.Sprintf("r%d@example.com", i)}).ID.String())
	}
	some := func() []string {
		from := random.IntN(len(ids))
		return ids[from : from+1+random.IntN(len(ids)-from)]
	}
	status := func() string { return recipients.Statuses()[random.IntN(5)] }
	extension := func() string { return []string{"email", "sms"}[random.IntN(2)] }
	steps := []func() error{
		func() error {
			return b.in(ctx, `UPDATE strata.recipients SET status = $3 WHERE domain_id = $1 AND id = ANY($2)`, b.A.DomainID, some(), status())
		},
		func() error { // some go and some come back in one statement
			return b.in(ctx, `UPDATE strata.recipients SET deleted_at = CASE WHEN deleted_at IS NULL THEN now() END WHERE domain_id = $1 AND id = ANY($2)`, b.A.DomainID, some())
		},
		func() error {
			return b.in(ctx, `UPDATE strata.recipients SET deleted_at = now(), status = $3 WHERE domain_id = $1 AND id = ANY($2)`, b.A.DomainID, some(), status())
		},
		func() error {
			return b.in(ctx, `UPDATE strata.recipients SET deleted_at = NULL WHERE domain_id = $1 AND id = ANY($2)`, b.A.DomainID, some())
		},
		func() error { return b.in(ctx, fmt.Sprintf(enrolSQL, extension()), b.A.DomainID, some()) },
		func() error { return b.in(ctx, fmt.Sprintf(enrolSQL, extension()), b.A.DomainID, some()) },
		func() error { return b.in(ctx, fmt.Sprintf(withdrawSQL, extension()), b.A.DomainID, some()) },
		func() error { // for good, deleted or not, with what they are enrolled in
			gone := ids[random.IntN(len(ids))]
			_, _, err := b.store.Upsert(ctx, recipients.New{Email: fmt.Sprintf("new%d@example.com", random.IntN(100)), Status: recipients.Status(status())})
			if err == nil {
				err = b.in(ctx, `DELETE FROM strata.recipients WHERE domain_id = $1 AND id = $2`, b.A.DomainID, gone)
			}
			if err == nil {
				err = b.in(ctx, `INSERT INTO strata.recipients (domain_id, id, company_id, workspace_id, email, email_norm, status)
					SELECT $1, $2::uuid, $3, $4, $2::text, $2::text, $5 WHERE NOT EXISTS (SELECT FROM strata.recipients WHERE domain_id = $1 AND id = $2::uuid)`,
					b.A.DomainID, gone, b.A.CompanyID, b.A.WorkspaceID, status())
			}
			return err
		},
		func() error { // linked and not
			return b.in(ctx, `UPDATE strata.recipients SET person_id = CASE WHEN $3 THEN $1::uuid END WHERE domain_id = $1 AND id = ANY($2)`, b.A.DomainID, some(), random.IntN(2) == 0)
		},
		func() error { // rolled back, in whole and to a savepoint
			err := b.DB.InTx(ctx, func(tx *tenancy.Tx) error {
				_ = tx.Savepoint(ctx, func(tx *tenancy.Tx) error {
					_, err := tx.Exec(ctx, `DELETE FROM strata.recipients WHERE domain_id = $1 AND id = ANY($2)`, b.A.DomainID, some())
					require.NoError(t, err)
					return context.Canceled
				})
				_, err := tx.Exec(ctx, `UPDATE strata.recipients SET status = $2 WHERE domain_id = $1`, b.A.DomainID, status())
				require.NoError(t, err)
				return context.Canceled
			})
			require.ErrorIs(t, err, context.Canceled)
			return nil
		},
		func() error { _, err := b.store.FoldCounts(t.Context()); return err },
	}
	for range 150 {
		n := random.IntN(len(steps))
		require.NoError(t, steps[n](), "step %d", n)
		b.requireCounts(ctx, t, "email", "sms")
	}
	b.requireCounts(b.B.Ctx, t, "email", "sms")
	drift, err := b.store.Reconcile(ctx)
	require.NoError(t, err)
	require.Empty(t, drift)
}

// Sixteen writers enrol, withdraw, delete and restore the same recipients, folded and
// reconciled all the time: what they see at the end is what is there, and a reader in between
// never sees a count that the tables of the same moment do not have.
func TestCountsUnderConcurrency(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := b.A.Ctx
	b.extensionTable(t, "email")
	var ids []string
	for i := range 6 {
		ids = append(ids, b.create(ctx, t, recipients.New{Email: fmt.Sprintf("r%d@example.com", i)}).ID.String())
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	var writers errgroup.Group
	for w := range 16 {
		writers.Go(func() error {
			random := rand.New(rand.NewPCG(seed, uint64(w))) //nolint:gosec // a test's choices
			for range 25 {
				one := []string{ids[random.IntN(len(ids))]}
				var err error
				switch random.IntN(5) {
				case 0:
					err = b.in(ctx, fmt.Sprintf(enrolSQL, "email"), b.A.DomainID, one)
				case 1:
					err = b.in(ctx, fmt.Sprintf(withdrawSQL, "email"), b.A.DomainID, one)
				case 2:
					err = b.in(ctx, `UPDATE strata.recipients SET deleted_at = CASE WHEN deleted_at IS NULL THEN now() END WHERE domain_id = $1 AND id = ANY($2)`, b.A.DomainID, one)
				case 3:
					_, err = b.store.Create(ctx, recipients.New{Email: fmt.Sprintf("w%d-%d@example.com", w, random.Uint64())})
				case 4:
					err = b.in(ctx, `UPDATE strata.recipients SET status = $3 WHERE domain_id = $1 AND id = ANY($2)`, b.A.DomainID, one, recipients.Statuses()[random.IntN(5)])
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	ended := make(chan error, 1)
	go func() { ended <- writers.Wait() }()
	for working := true; working; {
		select {
		case err := <-ended:
			require.NoError(t, err)
			working = false
		default:
		}
		_, err := b.store.FoldCounts(t.Context())
		require.NoError(t, err)
		drift, err := b.store.Reconcile(ctx)
		require.NoError(t, err)
		require.Empty(t, drift, "a snapshot has rows and counts of different moments")
	}
	b.requireCounts(ctx, t, "email")
}

// What somebody did behind the triggers is found and mended, once, whatever is written
// meanwhile, and the audit log says so.
func TestReconcile(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := b.A.Ctx
	b.extensionTable(t, "email")
	ada := b.create(ctx, t, recipients.New{Email: "ada@example.com"})
	b.create(ctx, t, recipients.New{Email: "bo@example.com"})
	b.create(b.B.Ctx, t, recipients.New{Email: "bo@example.com"})
	b.behind(t, `strata.recipients`, func() {
		require.NoError(t, b.in(ctx, `UPDATE strata.recipients SET status = 'bounced' WHERE domain_id = $1 AND id = $2`, b.A.DomainID, ada.ID))
	})
	b.behind(t, `shop.email`, func() {
		require.NoError(t, b.in(ctx, fmt.Sprintf(enrolSQL, "email"), b.A.DomainID, []string{ada.ID.String()}))
	})
	want := []recipients.Drift{{Kind: "extension", Key: "email", Missing: 1}, {Kind: "status", Key: "active", Missing: -1}, {Kind: "status", Key: "bounced", Missing: 1}}
	found := make([][]recipients.Drift, 4)
	var g errgroup.Group
	for i := range found {
		g.Go(func() (err error) { found[i], err = b.store.Reconcile(ctx); return err })
	}
	require.NoError(t, g.Wait())
	var all []recipients.Drift
	for _, drift := range found {
		all = append(all, drift...)
	}
	require.Equal(t, want, all, "one of them found it")
	b.requireCounts(ctx, t, "email")
	var said int
	require.NoError(t, b.DB.Read(ctx, `SELECT count(*) FROM strata.audit_entries WHERE company_id = $1 AND action = 'recipient_counts.mended'`, []any{b.A.CompanyID}, func(rows pgx.Rows) error {
		rows.Next()
		return rows.Scan(&said)
	}))
	require.Equal(t, 1, said)

	// A product that is gone has nobody enrolled.
	_, err := b.Pool.Exec(t.Context(), `DROP TABLE shop.email`)
	require.NoError(t, err)
	drift, err := b.store.Reconcile(ctx)
	require.NoError(t, err)
	require.Equal(t, []recipients.Drift{{Kind: "extension", Key: "email", Missing: -1}}, drift)
	drift, err = b.store.Reconcile(b.B.Ctx)
	require.NoError(t, err)
	require.Empty(t, drift)
	_, err = b.store.Reconcile(b.A.WorkspaceCtx)
	require.Error(t, err)
}

// behind does something while the triggers of a table that count are off.
func (b *bundle) behind(t *testing.T, table string, do func()) {
	t.Helper()
	for _, turn := range []string{"DISABLE", "ENABLE"} {
		q := `ALTER TABLE ` + table
		for i, name := range []string{"count_inserted", "count_updated", "count_deleted"} {
			if name == "count_updated" && table != `strata.recipients` {
				continue
			}
			if i > 0 {
				q += ","
			}
			q += ` ` + turn + ` TRIGGER ` + name
		}
		_, err := b.Pool.Exec(t.Context(), q)
		require.NoError(t, err)
		if turn == "DISABLE" {
			do()
		}
	}
}

// Every domain has its turn once a day, also when a chore before it has taken hours.
func TestReconcileInTurns(t *testing.T) {
	t.Parallel()
	b := setup(t)
	domains := []*tenancytest.Company{b.A, b.B}
	now := time.Now()
	store, err := recipients.NewStore(b.DB, b.fields, b.Limits, b.Audit, &recipients.Config{Now: func() time.Time { return now }})
	require.NoError(t, err)
	drift := func() {
		b.behind(t, `strata.recipients`, func() {
			for _, c := range domains {
				b.create(c.Ctx, t, recipients.New{Email: tenancy.NewID[recipients.Recipient]().String() + "@example.com"})
			}
		})
	}
	day := func(calls int) (mended int) {
		for range calls {
			now = now.Add(24 * time.Hour / time.Duration(calls))
			n, err := store.ReconcileCounts(t.Context())
			require.NoError(t, err)
			mended += n
		}
		return mended
	}
	_, err = store.ReconcileCounts(t.Context())
	require.NoError(t, err)
	for _, calls := range []int{288, 12, 1} {
		drift()
		require.Equal(t, len(domains), day(calls), "%d calls", calls)
		require.Zero(t, day(calls))
		for _, c := range domains {
			b.requireCounts(c.Ctx, t)
		}
	}
}

// Whatever was added to a domain's counts is put together, and says what it said.
func TestFoldedToFewRows(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := b.A.Ctx
	for i := range 70 {
		b.create(ctx, t, recipients.New{Email: fmt.Sprintf("r%d@example.com", i)})
	}
	b.create(b.B.Ctx, t, recipients.New{Email: "r@example.com"})
	rows := func(c *tenancytest.Company) (n int) {
		require.NoError(t, b.DB.Read(c.Ctx, `SELECT count(*) FROM strata.recipient_counts WHERE domain_id = $1`, []any{c.DomainID}, func(rows pgx.Rows) error {
			rows.Next()
			return rows.Scan(&n)
		}))
		return n
	}
	require.Equal(t, 70, rows(b.A))
	n, err := b.store.FoldCounts(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.Equal(t, []int{1, 1}, []int{rows(b.A), rows(b.B)})
	b.requireCounts(ctx, t)
	n, err = b.store.FoldCounts(t.Context())
	require.NoError(t, err)
	require.Zero(t, n)
}
