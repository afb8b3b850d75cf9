package lifecycle_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/customfields/filter"
	"github.com/stratakit/strata/customfields/lifecycle"
	"github.com/stratakit/strata/internal/dbtest"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
)

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		os.Exit(child())
	}
	dbtest.Main(m)
}

// within is how long a test waits for what must happen: a measurement may take its time.
func within() time.Duration {
	if os.Getenv(measureVariable) != "" {
		return time.Hour
	}
	return 2 * time.Minute
}

// The lifetime of a set in these tests, and how long runs wait for it to be over.
const (
	lifetime = 100 * time.Millisecond
	settle   = 250 * time.Millisecond
)

type world struct {
	*tenancytest.Env

	fields     *customfields.Registry
	recipients *recipients.Store
	manager    *lifecycle.Manager
}

func managerConfig() *lifecycle.Config {
	return &lifecycle.Config{
		Tables: recipients.FieldTables(), Schema: filter.Schema{Columns: recipients.Columns()},
		Settle: settle, Poll: 20 * time.Millisecond, Log: slog.New(slog.DiscardHandler),
	}
}

func open(t *testing.T, change ...func(*lifecycle.Config)) *world {
	t.Helper()
	w := &world{Env: tenancytest.Open(t)}
	w.fields = w.registry(t)
	w.recipients = w.store(t, w.fields)
	cfg := managerConfig()
	for _, c := range change {
		c(cfg)
	}
	var err error
	w.manager, err = lifecycle.NewManager(w.DB, w.fields, w.Audit, cfg)
	require.NoError(t, err)
	return w
}

// registry is that of a process of its own.
func (w *world) registry(t *testing.T) *customfields.Registry {
	t.Helper()
	r, err := customfields.NewRegistry(w.DB, w.Redis, w.Limits, w.Audit, &customfields.Config{Lifetime: lifetime})
	require.NoError(t, err)
	return r
}

func (w *world) store(t *testing.T, r *customfields.Registry) *recipients.Store {
	t.Helper()
	s, err := recipients.NewStore(w.DB, r, w.Limits, w.Audit, nil)
	require.NoError(t, err)
	return s
}

// work works on runs until the test ends.
func (w *world) work(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = w.manager.Work(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
}

func (w *world) define(t *testing.T, f customfields.Field) {
	t.Helper()
	f.Filterable = true
	_, err := w.fields.Create(w.A.WorkspaceCtx, f)
	require.NoError(t, err)
}

// fill makes n recipients in a domain, with custom_fields as SQL over i.
func (w *world) fill(t *testing.T, ctx context.Context, n int, customFields string) []recipients.ID {
	t.Helper()
	var ids []recipients.ID
	require.NoError(t, w.DB.InTx(ctx, func(tx *tenancy.Tx) error {
		in := tx.Tenant()
		rows, err := tx.Query(ctx, fmt.Sprintf(`INSERT INTO strata.recipients (domain_id, id, company_id, workspace_id, email, email_norm, custom_fields)
			SELECT $1, gen_random_uuid(), $2, $3, e, e, %s FROM generate_series(1, $4::int) i, LATERAL (SELECT 'r' || i || '@example.com' AS e) x RETURNING id`, customFields),
			in.DomainID, in.CompanyID, in.WorkspaceID, n)
		if err != nil {
			return err
		}
		if ids, err = pgx.CollectRows(rows, pgx.RowTo[recipients.ID]); err != nil {
			return err
		}
		if err := w.Audit.RecordChange(ctx, tx, tenancy.Change{Action: "recipients.made"}); err != nil {
			return err
		}
		return w.Limits.Consume(ctx, tx, "recipients", int64(n))
	}))
	return ids
}

// await waits until a run has ended, or failed.
func (w *world) await(t *testing.T, ctx context.Context, id lifecycle.RunID) lifecycle.Run {
	t.Helper()
	return w.until(t, ctx, id, func(r lifecycle.Run) bool { return r.State.Final() || r.State == lifecycle.Failed })
}

func (w *world) until(t *testing.T, ctx context.Context, id lifecycle.RunID, reached func(lifecycle.Run) bool) (r lifecycle.Run) {
	t.Helper()
	require.Eventually(t, func() bool {
		var err error
		r, err = w.manager.Run(ctx, id)
		return err == nil && reached(r)
	}, within(), 10*time.Millisecond)
	return r
}

// stored are the custom fields of the recipients of a domain as they are in the table.
func (w *world) stored(t *testing.T, domain tenancy.DomainID) map[recipients.ID]map[string]any {
	t.Helper()
	out := map[recipients.ID]map[string]any{}
	require.NoError(t, w.DB.ReadTrusted(t.Context(), `SELECT id, custom_fields FROM strata.recipients WHERE domain_id = $1`, []any{domain}, func(rows pgx.Rows) error {
		var id recipients.ID
		var fields map[string]any
		_, err := pgx.ForEachRow(rows, []any{&id, &fields}, func() error {
			out[id], fields = fields, nil
			return nil
		})
		return err
	}))
	return out
}

// actions are those of the audit trail of company A, once each.
func (w *world) actions(t *testing.T) []string {
	t.Helper()
	var out []string
	require.NoError(t, w.DB.ReadTrusted(t.Context(), `SELECT DISTINCT action FROM strata.audit_entries WHERE company_id = $1 AND resource_type = 'custom_field'`, []any{w.A.CompanyID}, func(rows pgx.Rows) (err error) {
		out, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	}))
	return out
}
