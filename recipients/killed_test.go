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
	"github.com/stratakit/strata/tenancy"
)

// childVariable makes this test binary a process that makes the field code of a workspace
// unique. It holds a childTask as JSON.
const childVariable = "STRATA_RECIPIENTS_CHILD"

type childTask struct {
	URL       string
	Company   tenancy.CompanyID
	Workspace tenancy.WorkspaceID
	Actor     tenancy.Actor
}

func child() int {
	if err := makeUnique(os.Getenv(childVariable)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func makeUnique(task string) error {
	var t childTask
	if err := json.Unmarshal([]byte(task), &t); err != nil {
		return err
	}
	ctx := tenancy.WithActor(tenancy.WithTenant(context.Background(), tenancy.Tenant{CompanyID: t.Company, WorkspaceID: t.Workspace}), t.Actor)
	pool, err := pgxpool.New(ctx, t.URL)
	if err != nil {
		return err
	}
	s, err := strata.New(ctx, pool, nil, &strata.Config{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	on := true
	_, err = s.Fields.Update(ctx, "code", customfields.Change{Unique: &on})
	return err
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

	task, err := json.Marshal(childTask{b.Pool.Config().ConnString(), b.A.CompanyID, b.A.WorkspaceID, b.A.Actor})
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"="+string(task))
	cmd.Stderr = os.Stderr
	require.NoError(t, cmd.Start())
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
