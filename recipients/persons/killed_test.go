package persons_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/billing"
	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/recipients/persons"
	"github.com/stratakit/strata/tenancy"
)

// childVariable makes this test binary a process that works on the runs of the database
// whose URL it holds, until it is killed.
const childVariable = "STRATA_PERSONS_CHILD"

// smallBatches have many ends at which a process can die.
var (
	smallBatches = &persons.MatcherConfig{BatchRows: 40, BatchGroups: 4}
	smallPages   = &persons.CompleterConfig{BatchRows: 20}
	shortLease   = &bulk.Config{Poll: 50 * time.Millisecond, Lease: 2 * time.Second}
)

func child() int {
	if err := work(os.Getenv(childVariable)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	select {}
}

func work(url string) error {
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return err
	}
	db, err := tenancy.NewDB(pool, nil)
	if err != nil {
		return err
	}
	recorder, err := audit.NewRecorder(db, nil)
	if err != nil {
		return err
	}
	catalog, err := billing.NewCatalog()
	if err != nil {
		return err
	}
	limits, err := billing.NewLimits(db, catalog, recorder, nil)
	if err != nil {
		return err
	}
	fields, err := customfields.NewRegistry(db, nil, limits, recorder, nil)
	if err != nil {
		return err
	}
	resolver, err := tenancy.NewResolver(db, nil, nil)
	if err != nil {
		return err
	}
	runner, err := bulk.NewRunner(db, nil, recorder, resolver, shortLease)
	if err != nil {
		return err
	}
	store, err := persons.NewStore(db, recorder)
	if err != nil {
		return err
	}
	if _, err := persons.NewMatcher(store, fields, runner, smallBatches); err != nil {
		return err
	}
	of, err := recipients.NewStore(db, fields, limits, recorder, nil)
	if err != nil {
		return err
	}
	if _, err := persons.NewCompleter(store, of, runner, smallPages); err != nil {
		return err
	}
	return runner.Start(ctx)
}

// A matching whose process is killed, while it makes keys and while it links, goes on in the
// next one and ends as if nothing had happened.
func TestMatchingSurvivesItsProcess(t *testing.T) {
	t.Parallel()
	m := &matching{bundle: setup(t)}
	m.openMatcherOn(t, shortLease, smallBatches)
	m.defineFields(m.A.WorkspaceCtx, t)
	domains := []context.Context{m.A.Ctx}
	for i := range 5 {
		domains = append(domains, m.Domain(t, m.A, fmt.Sprintf("d%d.example", i)))
	}
	all := generate(3_000, 5)
	refs := m.fill(t, domains, all)
	run, err := m.matcher.Match(m.A.WorkspaceCtx)
	require.NoError(t, err)

	for _, begun := range []string{`SELECT count(*) FROM strata.person_keys`, `SELECT count(*) FROM strata.person_links`} {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env, cmd.Stderr = append(os.Environ(), childVariable+"="+m.Pool.Config().ConnString()), os.Stderr
		require.NoError(t, cmd.Start())
		require.Eventually(t, func() bool { return look[int64](t, m.bundle, begun)[0] > 0 }, within, time.Millisecond)
		require.NoError(t, cmd.Process.Kill())
		require.ErrorContains(t, cmd.Wait(), "killed")
	}
	now, err := m.matcher.Matching(m.A.WorkspaceCtx, run.ID)
	require.NoError(t, err)
	require.Equal(t, "running", now.State)

	m.start(t)
	out := m.ended(m.A.WorkspaceCtx, t, run.ID)
	require.EqualValues(t, len(refs), out.Processed)
	require.EqualValues(t, len(refs), out.Counters.Keyed)
	require.Equal(t, look[int64](t, m.bundle, `SELECT count(*) FROM strata.person_links WHERE state = 'linked'`)[0], out.Counters.Linked)
	require.Equal(t, look[int64](t, m.bundle, `SELECT count(*) FROM strata.person_suggestions`)[0], out.Counters.Suggested)
	require.Equal(t, []int64{out.Counters.Linked}, look[int64](t, m.bundle,
		`SELECT sum((metadata ->> 'linked')::bigint)::bigint FROM strata.audit_entries WHERE action = 'persons.matched'`), "each batch once")
	again := m.match(m.A.WorkspaceCtx, t)
	require.Zero(t, again.Counters.Linked+again.Counters.Suggested+again.Counters.Keyed)
	m.requireSound(t)
}
