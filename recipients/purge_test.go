package recipients_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
)

// later is a Store whose clock is ahead.
func (b *bundle) later(t *testing.T, by time.Duration) *recipients.Store {
	t.Helper()
	s, err := recipients.NewStore(b.DB, b.fields, b.Limits, b.Audit, &recipients.Config{Now: func() time.Time { return time.Now().Add(by) }})
	require.NoError(t, err)
	return s
}

// rows is how many recipients there are of a domain, deleted ones too.
func (b *bundle) rows(ctx context.Context, t *testing.T) (n int) {
	t.Helper()
	in, err := tenancy.DomainFrom(ctx)
	require.NoError(t, err)
	require.NoError(t, b.DB.ReadTrusted(t.Context(), `SELECT count(*) FROM strata.recipients WHERE domain_id = $1`, []any{in.DomainID}, func(rows pgx.Rows) (err error) {
		n, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[int])
		return err
	}))
	return n
}

const month = 30*24*time.Hour + time.Hour

func TestPurgeAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := b.A.Ctx
	made, err := b.store.CreateMany(ctx, someNew(3))
	require.NoError(t, err)
	_, err = b.Pool.Exec(t.Context(), `CREATE TABLE extension (domain_id uuid, recipient_id uuid, PRIMARY KEY (domain_id, recipient_id),
			FOREIGN KEY (domain_id, recipient_id) REFERENCES strata.recipients (domain_id, id) ON DELETE CASCADE)`)
	require.NoError(t, err)
	_, err = b.Pool.Exec(t.Context(), `INSERT INTO extension SELECT $1, unnest($2::uuid[])`, b.A.DomainID, ids(made))
	require.NoError(t, err)
	require.NoError(t, b.store.Delete(ctx, made[0].ID))
	require.NoError(t, b.store.Purge(ctx, ids(made[:2])), "a deleted one and another")
	require.Equal(t, 1, b.rows(ctx, t))
	require.EqualValues(t, 1, b.used(ctx, t))
	var extended int
	require.NoError(t, b.Pool.QueryRow(t.Context(), `SELECT count(*) FROM extension`).Scan(&extended))
	require.Equal(t, 1, extended)
	require.ErrorIs(t, b.store.Purge(ctx, ids(made[:1])), recipients.ErrNotFound)
	require.Equal(t, "recipient.purged", b.trail(t, made[1].ID)[0][0])
	b.create(ctx, t, recipients.New{Email: made[1].Email})
}

func TestPurgeOfWhatWasDeletedLongAgo(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := b.A.Ctx
	made, err := b.store.CreateMany(ctx, someNew(recipients.MaxBatch))
	require.NoError(t, err)
	require.NoError(t, b.store.DeleteMany(ctx, ids(made)))
	few, err := b.store.CreateMany(ctx, someNew(5))
	require.NoError(t, err)
	require.NoError(t, b.store.DeleteMany(ctx, ids(few[:2])))
	theirs := b.create(b.B.Ctx, t, recipients.New{Email: "theirs@example.com"})

	n, err := b.store.PurgeDeleted(t.Context())
	require.NoError(t, err)
	require.Zero(t, n, "it can still be restored")
	n, err = b.later(t, month).PurgeDeleted(t.Context())
	require.NoError(t, err)
	require.Equal(t, recipients.MaxBatch+2, n)
	require.Equal(t, 3, b.rows(ctx, t))
	require.EqualValues(t, 3, b.used(ctx, t))
	_, err = b.store.Get(b.B.Ctx, theirs.ID)
	require.NoError(t, err)
	trail, err := b.Audit.List(b.A.CompanyCtx, audit.Query{Action: "recipients.purged"})
	require.NoError(t, err)
	named := map[any]bool{}
	for _, e := range trail.Items {
		require.Equal(t, tenancy.ActorSystem, e.ActorType)
		require.Equal(t, b.A.DomainID.String(), e.ResourceID)
		for _, id := range e.Metadata["recipients"].([]any) {
			named[id] = true
		}
	}
	require.Len(t, named, recipients.MaxBatch+2, "every one is named")
}

// What is left of domains, workspaces and companies goes after the same time, and gives back
// its place in the plan.
func TestPurgeOfWhatIsGone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	domain := b.Domain(t, b.A, "gone.example")
	other, err := b.Store.CreateWorkspace(b.A.CompanyCtx, tenancy.NewWorkspace{Name: "Other"})
	require.NoError(t, err)
	otherDomain, err := b.Store.CreateDomain(b.A.CompanyCtx, other.ID, tenancy.NewDomain{DomainName: "other.example"})
	require.NoError(t, err)
	inOther := tenancy.WithTenant(b.A.Ctx, tenancy.Tenant{CompanyID: b.A.CompanyID, WorkspaceID: other.ID, DomainID: otherDomain.ID})
	for _, ctx := range []context.Context{b.A.Ctx, domain, inOther, b.B.Ctx} {
		_, err := b.store.CreateMany(ctx, []recipients.New{{Email: "ada@example.com"}, {Email: "bo@example.com"}})
		require.NoError(t, err)
	}
	in, err := tenancy.DomainFrom(domain)
	require.NoError(t, err)
	require.NoError(t, b.Store.DeleteDomain(b.A.CompanyCtx, in.DomainID))
	require.NoError(t, b.Store.DeleteWorkspace(b.A.CompanyCtx, other.ID))
	require.NoError(t, b.Store.DeleteCompany(b.B.CompanyCtx))
	require.EqualValues(t, 6, b.used(b.A.CompanyCtx, t))
	n, err := b.store.PurgeDeleted(t.Context())
	require.NoError(t, err)
	require.Zero(t, n)
	n, err = b.later(t, month).PurgeDeleted(t.Context())
	require.NoError(t, err)
	require.Equal(t, 6, n)
	require.EqualValues(t, 2, b.used(b.A.CompanyCtx, t))
	require.EqualValues(t, 0, b.used(b.B.CompanyCtx, t))
	require.Equal(t, []int{2, 0, 0, 0}, []int{b.rows(b.A.Ctx, t), b.rows(domain, t), b.rows(inOther, t), b.rows(b.B.Ctx, t)})
}

// Four processes purge at once while others restore: what was restored stays, the rest goes
// once.
func TestPurgeBesideOthers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := b.A.Ctx
	made, err := b.store.CreateMany(ctx, someNew(300))
	require.NoError(t, err)
	require.NoError(t, b.store.DeleteMany(ctx, ids(made)))
	later := b.later(t, month)
	var g errgroup.Group
	restored := make([]bool, len(made))
	g.Go(func() error {
		for i := range made {
			_, err := b.store.Restore(ctx, made[i].ID)
			restored[i] = err == nil
		}
		return nil
	})
	var total [4]int
	for i := range total {
		g.Go(func() (err error) {
			total[i], err = later.PurgeDeleted(t.Context())
			return err
		})
	}
	require.NoError(t, g.Wait())
	left := 0
	for i := range made {
		_, err := b.store.Get(ctx, made[i].ID)
		require.Equal(t, restored[i], err == nil, fmt.Sprint(err))
		if restored[i] {
			left++
		}
	}
	require.EqualValues(t, left, b.used(ctx, t))
	n, err := later.PurgeDeleted(t.Context())
	require.NoError(t, err)
	require.Equal(t, len(made), left+n+total[0]+total[1]+total[2]+total[3])
}
