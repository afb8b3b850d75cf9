package billing_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/billing"
	"github.com/stratakit/strata/internal/dbtest"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/tenancy"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// within runs fn in an audited transaction.
func within(ctx context.Context, e *tenancytest.Env, fn func(tx *tenancy.Tx) error) error {
	return e.DB.InTx(ctx, func(tx *tenancy.Tx) error {
		return errors.Join(e.Audit.RecordTx(ctx, tx, audit.Entry{Action: "test.done"}), fn(tx))
	})
}

func consume(ctx context.Context, e *tenancytest.Env, n int64) error {
	return within(ctx, e, func(tx *tenancy.Tx) error { return e.Limits.Consume(ctx, tx, billing.ResourceRecipients, n) })
}

func recipientsOf(ctx context.Context, t *testing.T, e *tenancytest.Env) billing.ResourceUsage {
	t.Helper()
	u, err := e.Limits.Usage(ctx)
	require.NoError(t, err)
	return u.Resource(billing.ResourceRecipients)
}

func TestNoRaceOvershoots(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	c := e.Company(t, "free") // 1,000 recipients
	var taken, refused atomic.Int64
	var g errgroup.Group
	for range 8 {
		g.Go(func() error {
			for range 25 {
				err := consume(c.Ctx, e, 7)
				var limit *billing.LimitError
				switch {
				case err == nil:
					taken.Add(7)
				case errors.As(err, &limit):
					refused.Add(1)
				default:
					return err
				}
			}
			return nil
		})
	}
	require.NoError(t, g.Wait())
	require.EqualValues(t, 994, taken.Load())
	require.EqualValues(t, 200-142, refused.Load())
	r := recipientsOf(c.Ctx, t, e)
	require.EqualValues(t, 994, r.Used)
	require.EqualValues(t, 1000, *r.Limit)

	err := consume(c.Ctx, e, 7)
	var limit *billing.LimitError
	require.ErrorAs(t, err, &limit)
	require.ErrorIs(t, err, billing.ErrLimit)
	require.Equal(t, billing.LimitError{Resource: "recipients", Existing: 994, Incoming: 7, Limit: 1000, Plan: "free"}, *limit)
	require.EqualValues(t, 6, limit.Remaining())
	require.NoError(t, consume(c.Ctx, e, 6), "up to the limit is allowed")
	require.ErrorIs(t, e.Limits.Peek(c.Ctx, billing.ResourceRecipients, 1), billing.ErrLimit)
	require.NoError(t, e.Limits.Peek(c.Ctx, billing.ResourceRecipients, 0))
}

func TestRollbackGivesBack(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	boom := errors.New("boom")
	require.ErrorIs(t, within(e.A.Ctx, e, func(tx *tenancy.Tx) error {
		return errors.Join(e.Limits.Consume(e.A.Ctx, tx, billing.ResourceRecipients, 5), boom)
	}), boom)
	require.Zero(t, recipientsOf(e.A.Ctx, t, e).Used)
}

func TestReleaseNeverGoesBelowZero(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	release := func(n int64) error {
		return within(e.A.Ctx, e, func(tx *tenancy.Tx) error { return e.Limits.Release(e.A.Ctx, tx, billing.ResourceRecipients, n) })
	}
	require.NoError(t, consume(e.A.Ctx, e, 3))
	require.Error(t, release(4))
	require.Error(t, release(-1))
	require.NoError(t, release(3))
	require.Zero(t, recipientsOf(e.A.Ctx, t, e).Used)
	require.Error(t, consume(e.A.Ctx, e, -1))
}

func TestHierarchyConsumesItsLimits(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	c := e.Company(t, "free") // one workspace, one domain: Bootstrap has made them
	_, err := e.Store.CreateWorkspace(c.CompanyCtx, tenancy.NewWorkspace{Name: "Second"})
	require.ErrorIs(t, err, billing.ErrLimit)
	_, err = e.Store.CreateDomain(c.CompanyCtx, c.WorkspaceID, tenancy.NewDomain{DomainName: "second.example"})
	require.ErrorIs(t, err, billing.ErrLimit)
	page, err := e.Store.Workspaces(c.CompanyCtx, tenancy.PageRequest{})
	require.NoError(t, err)
	require.Len(t, page.Items, 1, "nothing of what was refused is left")
}

func TestNothingIsAlwaysAllowed(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	c := e.Company(t, "pro")
	require.NoError(t, consume(c.Ctx, e, 1500))
	require.NoError(t, e.Limits.ChangePlan(c.CompanyCtx, "free", e.Store))
	require.NoError(t, consume(c.Ctx, e, 0))
	require.NoError(t, e.Limits.Peek(c.Ctx, billing.ResourceRecipients, 0))
	require.ErrorIs(t, e.Limits.Peek(c.Ctx, billing.ResourceRecipients, 1), billing.ErrLimit)
	// An import that only changes what is there.
	require.NoError(t, within(c.Ctx, e, func(tx *tenancy.Tx) error {
		r, err := e.Limits.Reserve(c.Ctx, tx, billing.ResourceRecipients, 0, time.Hour)
		return errors.Join(err, e.Limits.Settle(c.Ctx, tx, r.ID, 0), e.Limits.CloseReservation(c.Ctx, tx, r.ID))
	}))
	require.NoError(t, within(c.Ctx, e, func(tx *tenancy.Tx) error {
		return e.Limits.Release(c.Ctx, tx, billing.ResourceRecipients, 1)
	}), "what is over the limit can be deleted")
}

func TestHugeNumbersAreRefusedNotOverflowed(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	c := e.Company(t, "free")
	require.NoError(t, consume(c.Ctx, e, 1))
	require.ErrorIs(t, consume(c.Ctx, e, math.MaxInt64), billing.ErrLimit)
	require.ErrorIs(t, e.Limits.Peek(c.Ctx, billing.ResourceRecipients, math.MaxInt64), billing.ErrLimit)
	require.EqualValues(t, 1, recipientsOf(c.Ctx, t, e).Used)
}

// The numbers of a refusal are those that refused, whoever gives back meanwhile.
func TestRefusalsAreTrue(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	c := e.Company(t, "free")
	var g errgroup.Group
	for range 6 {
		g.Go(func() error {
			for range 100 {
				err := consume(c.Ctx, e, 600)
				var limit *billing.LimitError
				switch {
				case errors.As(err, &limit):
					if limit.Existing+limit.Incoming <= limit.Limit || limit.Remaining() != limit.Limit-limit.Existing {
						return fmt.Errorf("refused for no reason: %w", err)
					}
				case err != nil:
					return err
				default:
					err := within(c.Ctx, e, func(tx *tenancy.Tx) error { return e.Limits.Release(c.Ctx, tx, billing.ResourceRecipients, 600) })
					if err != nil {
						return err
					}
				}
			}
			return nil
		})
	}
	require.NoError(t, g.Wait())
	require.Zero(t, recipientsOf(c.Ctx, t, e).Used)
}

func TestUsageNeverCrossesCompanies(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	require.NoError(t, consume(e.A.Ctx, e, 42))
	require.NoError(t, within(e.A.Ctx, e, func(tx *tenancy.Tx) error {
		_, err := e.Limits.Reserve(e.A.Ctx, tx, billing.ResourceRecipients, 5, time.Hour)
		return err
	}))
	require.Zero(t, recipientsOf(e.B.Ctx, t, e).Used)
	require.NoError(t, e.DB.InTx(e.B.Ctx, func(tx *tenancy.Tx) error {
		tag, err := tx.Exec(e.B.Ctx, `UPDATE strata.usage SET used = 0 WHERE company_id = $1`, e.A.CompanyID)
		require.NoError(t, err)
		require.Zero(t, tag.RowsAffected())
		for _, table := range []string{"subscriptions", "usage", "reservations"} {
			var others int
			require.NoError(t, tx.QueryRow(e.B.Ctx, `SELECT count(*) FROM strata.`+table+` WHERE company_id <> $1`, e.B.CompanyID).Scan(&others))
			require.Zero(t, others, table)
		}
		// Whatever a context claims inside: what is counted is the transaction's company.
		return errors.Join(e.Limits.Consume(e.A.Ctx, tx, billing.ResourceRecipients, 3), e.Audit.RecordTx(e.B.Ctx, tx, audit.Entry{Action: "test.done"}))
	}))
	require.EqualValues(t, 3, recipientsOf(e.B.Ctx, t, e).Used)
	for _, q := range []string{
		`INSERT INTO strata.usage (company_id, resource) VALUES ($1, 'planted')`,
		`INSERT INTO strata.subscriptions (company_id, plan) VALUES ($1, 'enterprise')`,
		`INSERT INTO strata.reservations (company_id, id, resource, amount, remaining, expires_at) VALUES ($1, $1, 'recipients', 1, 1, now())`,
		`UPDATE strata.usage SET company_id = $1`,
	} {
		err := e.DB.InTx(e.B.Ctx, func(tx *tenancy.Tx) error { _, err := tx.Exec(e.B.Ctx, q, e.A.CompanyID); return err })
		require.ErrorContains(t, err, "row-level security", q)
	}
	require.EqualValues(t, 42, recipientsOf(e.A.Ctx, t, e).Used)
	_, err := e.Limits.Usage(t.Context())
	require.ErrorIs(t, err, tenancy.ErrNoTenant)
	_, err = e.Limits.Usage(tenancy.WithTenant(t.Context(), tenancy.Tenant{CompanyID: tenancy.NewID[tenancy.Company]()}))
	require.ErrorIs(t, err, billing.ErrNotSubscribed)
}
