package operations_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/internal/dbtest"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/recipients/operations"
	"github.com/stratakit/strata/tenancy"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

const within = time.Minute

// Course is an extension of a product.
type Course struct {
	bun.BaseModel `bun:"table:academy.courses"`
	recipients.Enrollment

	Level string `bun:"level" strata:"filterable,options:one|two"`
	Badge string `bun:"badge,nullzero" strata:"unique"`
}

type world struct {
	*tenancytest.Env
	fields *customfields.Registry
	store  *recipients.Store
	runner *bulk.Runner
	ops    *bulk.Operations
}

func open(t *testing.T, cfg *bulk.OperationsConfig) *world {
	t.Helper()
	w := &world{Env: tenancytest.Open(t)}
	registry := recipients.NewRegistry()
	_, err := recipients.Register(registry, recipients.Extension[Course]{Name: "course", Product: "academy"})
	require.NoError(t, err)
	require.NoError(t, registry.Migrate(t.Context(), w.Direct(t)))
	w.fields, err = customfields.NewRegistry(w.DB, w.Redis, w.Limits, w.Audit, nil)
	require.NoError(t, err)
	w.store, err = recipients.NewStore(w.DB, w.fields, w.Limits, w.Audit, &recipients.Config{Extensions: registry})
	require.NoError(t, err)
	resolver, err := tenancy.NewResolver(w.DB, w.Redis, nil)
	require.NoError(t, err)
	t.Cleanup(resolver.Close)
	w.runner, err = bulk.NewRunner(w.DB, w.Redis, w.Audit, resolver, &bulk.Config{Poll: 200 * time.Millisecond, Backoff: 20 * time.Millisecond, MaxFailures: 3, Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	w.ops, err = operations.New(w.store, w.runner, cfg)
	require.NoError(t, err)
	for _, c := range []*tenancytest.Company{w.A, w.B} {
		for _, f := range []customfields.Field{
			{Key: "tier", Type: customfields.Select, Options: []string{"gold", "silver"}, Filterable: true},
			{Key: "tags", Type: customfields.MultiSelect, Options: []string{"new", "trial", "vip"}, Filterable: true},
			{Key: "visits", Type: customfields.Number, Filterable: true},
			{Key: "note", Type: customfields.Text},
			{Key: "badge", Type: customfields.Text, Unique: true},
		} {
			_, err := w.fields.Create(c.WorkspaceCtx, f)
			require.NoError(t, err)
		}
	}
	return w
}

func (w *world) start(t *testing.T) {
	t.Helper()
	require.NoError(t, w.runner.Start(t.Context()))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), within)
		defer cancel()
		require.NoError(t, w.runner.Stop(ctx))
	})
}

// create adds n recipients, of which each is as like says with its own address.
func (w *world) create(t *testing.T, ctx context.Context, n int, like recipients.New) []recipients.ID {
	t.Helper()
	var ids []recipients.ID
	for at := 0; at < n; at += recipients.MaxBatch {
		var rows []recipients.New
		for i := at; i < min(n, at+recipients.MaxBatch); i++ {
			r := like
			r.Email = fmt.Sprintf("%s%d@example.com", like.Email, i)
			rows = append(rows, r)
		}
		made, err := w.store.CreateMany(ctx, rows)
		require.NoError(t, err)
		for _, r := range made {
			ids = append(ids, r.ID)
		}
	}
	return ids
}

func some(ids ...recipients.ID) bulk.Selection {
	sel := bulk.Selection{IDs: []uuid.UUID{}}
	for _, id := range ids {
		sel.IDs = append(sel.IDs, uuid.UUID(id))
	}
	return sel
}

// do submits what is done at once.
func (w *world) do(t *testing.T, ctx context.Context, op string, args any, sel bulk.Selection) bulk.Result {
	t.Helper()
	res, err := w.ops.Submit(ctx, bulk.Request{Op: op, Args: args, Selection: sel})
	require.NoError(t, err)
	require.Equal(t, bulk.StateCompleted, res.Status)
	return res
}

// numbers are those of a result.
func numbers(res bulk.Result) map[string]int64 {
	out := map[string]int64{}
	for name, n := range map[string]int64{"changed": res.Changed, "unchanged": res.Unchanged, "missing": res.Missing, "failed": int64(len(res.Failures))} {
		if n > 0 {
			out[name] = n
		}
	}
	return out
}

func codes(res bulk.Result) map[recipients.ID]string {
	out := map[recipients.ID]string{}
	for _, f := range res.Failures {
		out[recipients.ID(f.ID)] = f.Code
	}
	return out
}

// finish waits for a run and returns it.
func (w *world) finish(t *testing.T, ctx context.Context, id bulk.RunID) bulk.Run {
	t.Helper()
	var run bulk.Run
	require.Eventually(t, func() bool {
		var err error
		run, err = w.runner.Get(ctx, id)
		require.NoError(t, err)
		return run.State.Final()
	}, within, 10*time.Millisecond)
	require.Equal(t, bulk.StateCompleted, run.State, run.Error)
	return run
}

func (w *world) count(t *testing.T, ctx context.Context, sql string, args ...any) (n int64) {
	t.Helper()
	require.NoError(t, w.DB.Read(ctx, sql, args, func(rows pgx.Rows) error {
		if !rows.Next() {
			return errors.New("no row")
		}
		return rows.Scan(&n)
	}))
	return n
}

// entries counts those of an action in the audit trail.
func (w *world) entries(t *testing.T, ctx context.Context, action string) int64 {
	t.Helper()
	return w.count(t, ctx, `SELECT count(*) FROM strata.audit_entries WHERE action = $1`, action)
}

// live is what is counted: recipients in the plan, and in the list.
func (w *world) live(t *testing.T, ctx context.Context, want int64) {
	t.Helper()
	usage, err := w.Limits.Usage(ctx)
	require.NoError(t, err)
	for _, r := range usage.Resources {
		if r.Resource == "recipients" {
			require.Equal(t, want, r.Used, "in the plan")
		}
	}
	page, err := w.store.List(ctx, recipients.Query{})
	require.NoError(t, err)
	require.Equal(t, want, page.Total)
	require.Equal(t, want, w.count(t, ctx, `SELECT count(*) FROM strata.recipients WHERE deleted_at IS NULL`))
}

func (w *world) get(t *testing.T, ctx context.Context, id recipients.ID) recipients.Recipient {
	t.Helper()
	r, err := w.store.Get(ctx, id, "course")
	require.NoError(t, err)
	return r
}
