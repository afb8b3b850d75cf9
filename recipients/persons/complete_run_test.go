package persons_test

import (
	"context"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/customfields/filter"
	"github.com/stratakit/strata/recipients/persons"
	"github.com/stratakit/strata/tenancy"
)

// completing is a bundle whose runs complete.
type completing struct {
	*bundle
	runner    *bulk.Runner
	completer *persons.Completer
}

func setupCompleting(t *testing.T) *completing {
	t.Helper()
	c := &completing{bundle: setup(t)}
	resolver, err := tenancy.NewResolver(c.DB, nil, nil)
	require.NoError(t, err)
	t.Cleanup(resolver.Close)
	c.runner, err = bulk.NewRunner(c.DB, nil, c.Audit, resolver, shortLease)
	require.NoError(t, err)
	c.completer, err = persons.NewCompleter(c.persons, c.recipients, c.runner, smallPages)
	require.NoError(t, err)
	return c
}

// fill writes n recipients past the store: active ones, and every tenth inactive.
func (c *completing) fill(ctx context.Context, t *testing.T, n int) []persons.Ref {
	t.Helper()
	d, err := tenancy.DomainFrom(ctx)
	require.NoError(t, err)
	require.NoError(t, c.DB.InTx(ctx, func(tx *tenancy.Tx) error {
		_, err := tx.Exec(ctx, tx.SQL(`INSERT INTO strata.recipients (domain_id, id, company_id, workspace_id, email, email_norm, status)
			SELECT $1, gen_random_uuid(), $2, $3, 'f' || i || '@example.com', 'f' || i || '@example.com', CASE WHEN i % 10 = 0 THEN 'inactive' ELSE 'active' END FROM generate_series(1, $4::integer) i`),
			d.DomainID, d.CompanyID, d.WorkspaceID, n)
		require.NoError(t, err)
		return c.Audit.RecordTx(ctx, tx, audit.Entry{Action: "recipients.made"})
	}))
	var out []persons.Ref
	for _, id := range look[persons.CreditID](t, c.bundle, `SELECT id FROM strata.recipients WHERE domain_id = $1 ORDER BY id`, d.DomainID) {
		ref := persons.Ref{DomainID: d.DomainID}
		copy(ref.RecipientID[:], id[:])
		out = append(out, ref)
	}
	return out
}

func (c *completing) all(expr string) persons.CompleteAll {
	return persons.CompleteAll{DomainID: c.A.DomainID, Filter: expr, Topic: fireSafety, OccurredAt: noon}
}

func (c *completing) ended(t *testing.T, id bulk.RunID) (out bulk.Run) {
	t.Helper()
	require.Eventually(t, func() bool {
		var err error
		out, err = c.runner.Get(c.A.Ctx, id)
		require.NoError(t, err)
		return out.State.Final()
	}, 30*within, 10*time.Millisecond)
	require.Equal(t, bulk.StateCompleted, out.State, out.Error)
	return out
}

// Up to a thousand complete at once, of those that match, and a repeat changes nothing.
func TestCompleteAllAtOnce(t *testing.T) {
	t.Parallel()
	c := setupCompleting(t)
	refs := c.fill(c.A.Ctx, t, 40)
	mate := c.add(c.Domain(t, c.A, "mate.example"), t, "mate@example.com", "")
	c.link(c.A.WorkspaceCtx, t, refs[0], mate)
	own := has(refs[1], fireSafety)
	_, err := c.persons.Complete(c.A.WorkspaceCtx, own)
	require.NoError(t, err)
	did, err := c.completer.CompleteAll(c.A.WorkspaceCtx, c.all(""))
	require.NoError(t, err)
	require.Equal(t, persons.CompletedAll{Completed: 39, Differing: 1}, did)
	require.Equal(t, []string{""}, c.reasons(t, mate))
	did, err = c.completer.CompleteAll(c.A.WorkspaceCtx, c.all(""))
	require.NoError(t, err)
	require.Equal(t, persons.CompletedAll{Differing: 1}, did)
	some := c.all(`status == "inactive"`)
	some.Key = "course:other"
	did, err = c.completer.CompleteAll(c.A.CompanyCtx, some)
	require.NoError(t, err)
	require.Equal(t, persons.CompletedAll{Completed: 4}, did)
	c.requireSound(t)

	elsewhere, _ := c.workspace(t, c.A, "elsewhere")
	for _, outsider := range []context.Context{elsewhere, c.B.CompanyCtx, c.B.WorkspaceCtx} {
		_, err = c.completer.CompleteAll(outsider, c.all(""))
		require.ErrorIs(t, err, tenancy.ErrNotFound)
	}
	_, err = c.completer.CompleteAll(c.A.WorkspaceCtx, c.all(`statu == "inactive"`))
	require.ErrorAs(t, err, new(*filter.Error))
	_, err = c.completer.CompleteAll(c.A.WorkspaceCtx, persons.CompleteAll{})
	var v *tenancy.ValidationError
	require.ErrorAs(t, err, &v)
	require.Len(t, v.Fields, 4)
}

// More are a run. One whose process is killed goes on in the next, and each recipient
// completes, and each credit is given, once.
func TestCompletingSurvivesItsProcess(t *testing.T) {
	t.Parallel()
	c := setupCompleting(t)
	refs := c.fill(c.A.Ctx, t, 1_500)
	mates := c.addMany(c.Domain(t, c.A, "mates.example"), t, 30)
	for i, mate := range mates {
		c.link(c.A.WorkspaceCtx, t, refs[i*50], mate)
	}
	_, err := c.persons.Complete(c.A.WorkspaceCtx, has(refs[7], fireSafety))
	require.NoError(t, err)
	did, err := c.completer.CompleteAll(c.A.WorkspaceCtx, c.all(""))
	require.NoError(t, err)
	require.NotNil(t, did.Run)
	require.EqualValues(t, 1_500, did.Run.Total)
	var running *bulk.AlreadyRunningError
	_, err = c.completer.CompleteAll(c.A.WorkspaceCtx, c.all(""))
	require.ErrorAs(t, err, &running)
	require.Equal(t, did.Run.ID, running.RunID)

	for _, begun := range []string{`SELECT count(*) - 1 FROM strata.person_completions`, `SELECT greatest(0, count(*) - 15) FROM strata.person_credits`} {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env, cmd.Stderr = append(os.Environ(), childVariable+"="+c.Pool.Config().ConnString()), os.Stderr
		require.NoError(t, cmd.Start())
		require.Eventually(t, func() bool { return look[int64](t, c.bundle, begun)[0] > 0 }, within, time.Millisecond)
		require.NoError(t, cmd.Process.Kill())
		require.ErrorContains(t, cmd.Wait(), "killed")
	}
	require.NoError(t, c.runner.Start(t.Context()))
	t.Cleanup(func() { require.NoError(t, c.runner.Stop(context.Background())) })
	run := c.ended(t, did.Run.ID)
	require.EqualValues(t, 1_500, run.Processed)
	require.Equal(t, map[string]int64{"completed": 1_499, "differing": 1, "unchanged": 0}, run.Counters)
	require.Equal(t, []int64{1_500}, look[int64](t, c.bundle, `SELECT count(*) FROM strata.person_completions`))
	require.Equal(t, []int64{30}, look[int64](t, c.bundle, `SELECT count(*) FROM strata.person_credits`))
	require.Equal(t, []int64{1_500}, look[int64](t, c.bundle, `SELECT sum(coalesce(jsonb_array_length(metadata -> 'recipients'), 1)) FROM strata.audit_entries WHERE action = 'recipient.completed'`), "each batch once")
	c.requireSound(t)
}
