package recipients_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/stratakit/strata/internal/fault"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
)

// Sixteen writers create, upsert, delete, restore and purge the same addresses, alone and in
// batches whose rows come in any order. At the end no address has two live recipients, what
// the plan counts is what is there, every change has its entry, and nobody has met a deadlock.
func TestTheSameAddressesByManyWriters(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := b.A.Ctx
	const writers, steps, addresses = 16, 25, 8
	var created, updated, deleted, restored, purged atomic.Int64
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	var g errgroup.Group
	for w := range writers {
		g.Go(func() error {
			r := rand.New(rand.NewPCG(seed, uint64(w))) //nolint:gosec // a test's choices
			rows := func() []recipients.New {
				in := make([]recipients.New, 0, addresses)
				for _, i := range r.Perm(addresses)[:1+r.IntN(addresses)] {
					in = append(in, recipients.New{Email: fmt.Sprintf("r%d@example.com", i), CustomFields: map[string]any{"seats": r.IntN(1_000)}})
				}
				return in
			}
			some := func(trash bool) ([]recipients.ID, error) {
				page, err := b.store.List(ctx, recipients.Query{Deleted: trash, Sort: "-updatedAt", PageRequest: tenancy.PageRequest{PageSize: 10}})
				found := ids(page.Items)
				r.Shuffle(len(found), func(i, j int) { found[i], found[j] = found[j], found[i] })
				return found[:min(len(found), 1+r.IntN(3))], err
			}
			for range steps {
				if err := func() error {
					switch r.IntN(10) {
					case 0:
						_, err := b.store.Create(ctx, rows()[0])
						return did(&created, 1, err)
					case 1:
						made, err := b.store.CreateMany(ctx, rows())
						return did(&created, len(made), err)
					case 2:
						_, fresh, err := b.store.Upsert(ctx, recipients.New{Email: "r0@example.com", CustomFields: map[string]any{"seats": 1_000 + r.IntN(1e9)}})
						if fresh {
							return did(&created, 1, err)
						}
						return did(&updated, 1, err)
					case 3, 4:
						up, err := b.store.UpsertMany(ctx, rows())
						for _, u := range up {
							switch u.Outcome {
							case recipients.Created:
								created.Add(1)
							case recipients.Updated:
								updated.Add(1)
							case recipients.Unchanged:
							}
						}
						return did(&updated, 0, err)
					case 5, 6:
						found, err := some(false)
						if err != nil {
							return err
						}
						return did(&deleted, len(found), b.store.DeleteMany(ctx, found))
					case 7, 8:
						found, err := some(true)
						if err != nil {
							return err
						}
						back, err := b.store.RestoreMany(ctx, found)
						return did(&restored, len(back), err)
					default:
						found, err := some(true)
						if err != nil || len(found) == 0 {
							return err
						}
						if r.IntN(5) > 0 {
							_, err := b.store.Restore(ctx, found[0])
							return did(&restored, 1, err)
						}
						return did(&purged, 1, b.store.Purge(ctx, found[:1]))
					}
				}(); err != nil {
					return err
				}
			}
			return nil
		})
	}
	require.NoError(t, g.Wait())

	var live, distinct int64
	require.NoError(t, b.DB.Read(ctx, `SELECT count(*), count(DISTINCT email_norm) FROM strata.recipients WHERE domain_id = $1 AND deleted_at IS NULL`,
		[]any{b.A.DomainID}, func(rows pgx.Rows) error {
			rows.Next()
			return rows.Scan(&live, &distinct)
		}))
	require.Equal(t, distinct, live, "live recipients of one address")
	require.Equal(t, live, b.used(ctx, t), "what the plan counts")
	t.Logf("created %d, updated %d, deleted %d, restored %d, purged %d", created.Load(), updated.Load(), deleted.Load(), restored.Load(), purged.Load())
	for action, n := range map[string]*atomic.Int64{
		"recipient.created": &created, "recipient.updated": &updated, "recipient.deleted": &deleted, "recipient.restored": &restored, "recipient.purged": &purged,
	} {
		require.Equal(t, n.Load(), b.count(t, action), action)
	}
}

// did counts what was done, and lets pass what writers who race for one address must expect.
func did(counter *atomic.Int64, n int, err error) error {
	var wrong *tenancy.ValidationError
	switch {
	case err == nil:
		counter.Add(int64(n))
		return nil
	case errors.Is(err, recipients.ErrEmailTaken), errors.Is(err, recipients.ErrNotFound):
		return nil
	case errors.As(err, &wrong):
		for _, f := range wrong.Fields {
			if f.Code != "email_taken" && f.Code != "recipient_not_found" && f.Code != "duplicate" {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("%s: %w", fault.CodeOf(err), err)
}
