package recipients_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata"
	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
)

// childVariable makes this test binary a process that makes the field code of a workspace
// unique, or purges. It holds a childTask as JSON.
const childVariable = "STRATA_RECIPIENTS_CHILD"

type childTask struct {
	URL       string
	Company   tenancy.CompanyID
	Workspace tenancy.WorkspaceID
	Actor     tenancy.Actor
	Purge     bool
}

func child() int {
	if err := work(os.Getenv(childVariable)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func work(task string) error {
	var t childTask
	if err := json.Unmarshal([]byte(task), &t); err != nil {
		return err
	}
	ctx := tenancy.WithActor(tenancy.WithTenant(context.Background(), tenancy.Tenant{CompanyID: t.Company, WorkspaceID: t.Workspace}), t.Actor)
	pool, err := pgxpool.New(ctx, t.URL)
	if err != nil {
		return err
	}
	s, err := strata.New(ctx, pool, nil, &strata.Config{
		Log: slog.New(slog.DiscardHandler), Recipients: recipients.Config{Now: func() time.Time { return time.Now().Add(month) }},
	})
	if err != nil {
		return err
	}
	if t.Purge {
		_, err := s.Recipients.PurgeDeleted(ctx)
		return err
	}
	on := true
	_, err = s.Fields.Update(ctx, "code", customfields.Change{Unique: &on})
	return err
}

// start starts a process that does the task.
func start(t *testing.T, task childTask) *exec.Cmd {
	t.Helper()
	text, err := json.Marshal(task)
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"="+string(text))
	cmd.Stderr = os.Stderr
	require.NoError(t, cmd.Start())
	return cmd
}

// A process that is killed while it makes a field unique leaves it to the next one.
func TestAFieldBecomesUniqueAlthoughItsProcessIsKilled(t *testing.T) {
	t.Parallel()
	b := setupUnique(t)
	ctx := b.A.Ctx
	b.define(ctx, t, customfields.Field{Key: "code", Type: customfields.Text})
	const rows = 4_100
	b.exec(ctx, t, `INSERT INTO strata.recipients (domain_id, id, company_id, workspace_id, email, email_norm, custom_fields)
		SELECT $1, gen_random_uuid(), $2, $3, n || '@example.com', n || '@example.com', jsonb_build_object('code', 'c' || n) FROM generate_series(1, $4::int) n`,
		b.A.DomainID, b.A.CompanyID, b.A.WorkspaceID, rows)
	_, err := b.Pool.Exec(t.Context(), `CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.0005); RETURN new; END $$;
		CREATE TRIGGER slowly BEFORE INSERT ON strata.custom_field_uniques FOR EACH ROW EXECUTE FUNCTION slowly()`)
	require.NoError(t, err)

	task := childTask{URL: b.Pool.Config().ConnString(), Company: b.A.CompanyID, Workspace: b.A.WorkspaceID, Actor: b.A.Actor}
	cmd := start(t, task)
	require.Eventually(t, func() bool { // the first of three batches is there
		var n int
		require.NoError(t, b.DB.ReadTrusted(t.Context(), `SELECT count(*) FROM strata.custom_field_uniques`, nil, func(found pgx.Rows) error {
			found.Next()
			return found.Scan(&n)
		}))
		return n > 0
	}, time.Minute, time.Millisecond)
	require.NoError(t, cmd.Process.Kill())
	require.ErrorContains(t, cmd.Wait(), "killed")
	f, err := b.fields.Get(b.A.WorkspaceCtx, "code")
	require.NoError(t, err)
	require.Equal(t, []any{true, customfields.Building}, []any{f.Unique, f.UniqueState})
	_, err = b.Pool.Exec(t.Context(), `DROP TRIGGER slowly ON strata.custom_field_uniques`)
	require.NoError(t, err)

	settled, err := b.fields.SettleUniques(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, settled)
	n, wrong := b.entered(t)
	require.Equal(t, []int{rows, 0}, []int{n, wrong})
	_, err = b.create(ctx, "new", "c4100")
	requireTaken(t, err, "code", "c4100")
}

// A process that is killed while it purges has purged whole batches, each with its entry and
// its places in the plan given back; the next one does the rest.
func TestPurgeAlthoughItsProcessIsKilled(t *testing.T) {
	t.Parallel()
	b := setup(t)
	domain := b.Domain(t, b.A, "gone.example")
	const batches = 3
	for i := range batches {
		in := someNew(recipients.MaxBatch)
		for j := range in {
			in[j].Email = fmt.Sprintf("b%d.%s", i, in[j].Email)
		}
		_, err := b.store.CreateMany(domain, in)
		require.NoError(t, err)
	}
	in, err := tenancy.DomainFrom(domain)
	require.NoError(t, err)
	require.NoError(t, b.Store.DeleteDomain(b.A.CompanyCtx, in.DomainID))
	_, err = b.Pool.Exec(t.Context(), `CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.001); RETURN old; END $$;
		CREATE TRIGGER slowly BEFORE DELETE ON strata.recipients FOR EACH ROW EXECUTE FUNCTION slowly()`)
	require.NoError(t, err)

	cmd := start(t, childTask{URL: b.Pool.Config().ConnString(), Company: b.A.CompanyID, Workspace: b.A.WorkspaceID, Actor: b.A.Actor, Purge: true})
	require.Eventually(t, func() bool { return b.rows(domain, t) < batches*recipients.MaxBatch }, time.Minute, time.Millisecond)
	require.NoError(t, cmd.Process.Kill())
	require.ErrorContains(t, cmd.Wait(), "killed")
	_, err = b.Pool.Exec(t.Context(), `DROP TRIGGER slowly ON strata.recipients`) // waits for what its connection still does
	require.NoError(t, err)
	left := b.rows(domain, t)
	require.Positive(t, left)
	require.Zero(t, left%recipients.MaxBatch)
	require.EqualValues(t, left, b.used(b.A.CompanyCtx, t))
	require.EqualValues(t, batches-left/recipients.MaxBatch, b.count(t, "recipients.purged"))

	n, err := b.later(t, month).PurgeDeleted(t.Context())
	require.NoError(t, err)
	require.Equal(t, left, n)
	require.EqualValues(t, 0, b.used(b.A.CompanyCtx, t))
	require.EqualValues(t, batches, b.count(t, "recipients.purged"))
}
