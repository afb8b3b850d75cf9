package persons_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/recipients/persons"
	"github.com/stratakit/strata/tenancy"
)

// A workspace that takes its own recipients out of a person across workspaces changes and
// decides nothing about those of another workspace.
func TestUnlinkStaysInTheWorkspace(t *testing.T) {
	t.Parallel()
	b := setup(t)
	elsewhere, elsewhereDomain := b.workspace(t, b.A, "elsewhere")
	here, there := b.addMany(b.A.Ctx, t, 3), b.addMany(elsewhereDomain, t, 2)
	_, err := b.persons.Link(b.A.WorkspaceCtx, here)
	require.NoError(t, err)
	across, err := b.persons.Link(b.A.CompanyCtx, []persons.Ref{here[0], there[0]})
	require.NoError(t, err)

	require.NoError(t, b.persons.Unlink(b.A.WorkspaceCtx, here[2]))
	rejected, err := b.persons.Suggestions(b.A.CompanyCtx, persons.SuggestionQuery{State: persons.Rejected})
	require.NoError(t, err)
	require.Len(t, rejected.Items, 2)
	for _, s := range rejected.Items {
		require.NotNil(t, s.WorkspaceID, "nothing is decided for the other workspace")
	}
	require.NoError(t, b.persons.Unlink(b.A.WorkspaceCtx, here[1]))
	require.ErrorIs(t, b.persons.Unlink(b.A.WorkspaceCtx, here[0]), persons.ErrAcross, "the other workspace's recipient would lose its person")
	require.Equal(t, across, b.pointer(t, there[0]))
	trail, err := b.Audit.List(elsewhere, audit.Query{ResourceType: "person"})
	require.NoError(t, err)
	require.Len(t, trail.Items, 1)
	b.requireSound(t)
	require.NoError(t, b.persons.Unlink(b.A.CompanyCtx, here[0]))
	require.Zero(t, b.pointer(t, there[0]))
	b.requireSound(t)
}

// What a workspace reads of a matching of the company does not say how many recipients of
// other workspaces there are, nor what they are.
func TestMatchingOfTheCompanySaysNothingOfOtherWorkspaces(t *testing.T) {
	t.Parallel()
	m := setupStarted(t)
	elsewhere, three := m.workspace(t, m.A, "elsewhere")
	m.defineFields(elsewhere, t)
	ctx, one, two := m.A.WorkspaceCtx, m.A.Ctx, m.Domain(t, m.A, "two.example")
	a := m.person(one, t, "a@one.example", "Ada Lovelace", "UID1", "")
	m.person(two, t, "b@two.example", "Ada Lovelace", "UID1", "")
	m.person(three, t, "c@three.example", "Ada Lovelace", "UID1", "")
	m.person(one, t, "bo@one.example", "Bo Berg", "", "")
	m.person(two, t, "bo@two.example", "Bo Berg", "", "")
	m.person(three, t, "bo@three.example", "Bo Berg", "", "")
	m.person(one, t, "d@one.example", "Cyd Doe", "UID2", "")
	m.person(two, t, "d@two.example", "Doe Cyd", "UID2", "")
	m.person(three, t, "e@three.example", "Someone Else", "UID2", "")
	m.match(m.A.CompanyCtx, t)

	p, err := m.persons.PersonOf(m.A.CompanyCtx, a)
	require.NoError(t, err)
	require.Len(t, p.Links, 3)
	require.Equal(t, 3, p.Links[0].Evidence.Recipients)
	p, err = m.persons.PersonOf(ctx, a)
	require.NoError(t, err)
	require.Len(t, p.Links, 2)
	for _, l := range p.Links {
		require.Zero(t, l.Evidence.Recipients)
		require.NotEmpty(t, l.Evidence.Key)
	}
	open := m.open(ctx, t)
	require.Len(t, open, 2)
	for _, s := range open {
		require.Equal(t, 2, s.Evidence.Recipients)
		require.Empty(t, s.Evidence.Doubt, "the doubt is about a recipient elsewhere")
	}

	// Nor does a matching or an answer of the workspace itself.
	x := m.person(two, t, "x@two.example", "Xi Yang", "UID3", "")
	y := m.person(three, t, "y@three.example", "Xi Yang", "UID4", "")
	_, err = m.persons.Link(m.A.CompanyCtx, []persons.Ref{x, y})
	require.NoError(t, err)
	z := m.person(one, t, "x@one.example", "Xi Yang", "UID3", "")
	run := m.match(ctx, t)
	require.EqualValues(t, 2, run.Counters.Linked, "those with UID2, of whom only the company has a doubt")
	for _, s := range m.open(ctx, t) {
		require.NotEqual(t, "identifiers_conflict", s.Evidence.Doubt)
		if s.Recipients[0].Ref == z || s.Recipients[1].Ref == z {
			_, err := m.persons.Accept(ctx, s.ID)
			require.ErrorIs(t, err, persons.ErrAcross)
		}
	}
	m.match(m.A.CompanyCtx, t)
	for _, s := range m.open(m.A.CompanyCtx, t) {
		if s.Recipients[0].Ref == z || s.Recipients[1].Ref == z {
			_, err := m.persons.Accept(m.A.CompanyCtx, s.ID)
			require.ErrorIs(t, err, persons.ErrConflict)
			if s.WorkspaceID != nil {
				require.NotEqual(t, "identifiers_conflict", s.Evidence.Doubt, "it is about a recipient elsewhere")
			}
		}
	}
	m.requireSound(t)
}

// A matching ends when the domain of its run is deleted, and another one may begin, also when
// the run was paused.
func TestMatchingOutlivesNoDomain(t *testing.T) {
	t.Parallel()
	for _, paused := range []bool{false, true} {
		t.Run(fmt.Sprintf("paused %t", paused), func(t *testing.T) {
			t.Parallel()
			m := setupMatching(t, nil)
			m.Domain(t, m.A, "two.example")
			run, err := m.matcher.Match(m.A.CompanyCtx)
			require.NoError(t, err)
			if paused {
				_, err := m.runner.Pause(m.A.CompanyCtx, run.ID)
				require.NoError(t, err)
			}
			require.NoError(t, m.Store.DeleteDomain(m.A.CompanyCtx, m.A.DomainID))
			m.start(t)
			if !paused {
				require.Eventually(t, func() bool {
					now, err := m.matcher.Matching(m.A.CompanyCtx, run.ID)
					require.NoError(t, err)
					return now.State == "cancelled"
				}, within, 20*time.Millisecond)
			}
			m.match(m.A.CompanyCtx, t)
			run, err = m.matcher.Matching(m.A.CompanyCtx, run.ID)
			require.NoError(t, err)
			require.Equal(t, "cancelled", run.State)
		})
	}
}

// Role names that are given to a later Matcher count for recipients that had keys before.
func TestMoreRoleNames(t *testing.T) {
	t.Parallel()
	m := setupMatching(t, nil)
	two := m.Domain(t, m.A, "two.example")
	m.person(m.A.Ctx, t, "conciergerie@one.example", "Ada Lovelace", "", "")
	m.person(two, t, "conciergerie@two.example", "Bo Berg", "", "")
	m.start(t)
	require.Zero(t, m.match(m.A.WorkspaceCtx, t).Counters.RoleAddresses)
	require.NoError(t, m.runner.Stop(t.Context()))
	m.openMatcher(t, &persons.MatcherConfig{RoleNames: []string{"conciergerie"}})
	m.start(t)
	require.EqualValues(t, 2, m.match(m.A.WorkspaceCtx, t).Counters.RoleAddresses)
}

// A change that PostgreSQL ends in a deadlock with a write of recipients is done again.
func TestDeadlockWithAWriteOfRecipients(t *testing.T) {
	t.Parallel()
	b := setup(t)
	refs := b.addMany(b.A.Ctx, t, 3)
	_, err := b.persons.Link(b.A.WorkspaceCtx, []persons.Ref{refs[0], refs[2]})
	require.NoError(t, err)
	done := make(chan error, 1)
	err = b.DB.InTx(b.A.Ctx, func(tx *tenancy.Tx) error {
		lock := func(ref persons.Ref) error {
			tag, err := tx.Exec(b.A.Ctx, `SELECT FROM strata.recipients WHERE domain_id = $1 AND id = $2 FOR UPDATE`, ref.DomainID, ref.RecipientID)
			if err == nil {
				require.EqualValues(t, 1, tag.RowsAffected())
			}
			return err
		}
		require.NoError(t, lock(refs[0]))
		go func() { done <- b.persons.Unlink(b.A.WorkspaceCtx, refs[2]) }() // locks it, and then the one that is left alone
		require.Eventually(t, func() bool {
			var waiting bool
			err := b.Pool.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_locks l JOIN pg_stat_activity a USING (pid)
				WHERE NOT l.granted AND l.locktype IN ('tuple', 'transactionid') AND a.datname = current_database())`).Scan(&waiting)
			require.NoError(t, err)
			return waiting
		}, within, 5*time.Millisecond)
		return lock(refs[2])
	})
	if err != nil { // who waited longer is ended, as a rule the change
		require.ErrorContains(t, err, "40P01")
	}
	require.NoError(t, <-done)
	b.requireSound(t)
}

// A person that is merged while a sweep waits keeps its recipient: below another one it is
// not alone.
func TestSweepBesideAMerge(t *testing.T) {
	t.Parallel()
	b := setup(t)
	refs := b.addMany(b.A.Ctx, t, 4)
	first, err := b.persons.Link(b.A.WorkspaceCtx, refs[:2])
	require.NoError(t, err)
	second, err := b.persons.Link(b.A.WorkspaceCtx, refs[2:])
	require.NoError(t, err)
	require.NoError(t, b.recipients.Purge(b.A.Ctx, []recipients.ID{refs[1].RecipientID}))
	done := make(chan error, 1)
	require.NoError(t, b.DB.InTx(b.A.WorkspaceCtx, func(tx *tenancy.Tx) error {
		_, err := b.persons.MergeTx(b.A.WorkspaceCtx, tx, second, second) // changes nothing, and others wait
		require.NoError(t, err)
		go func() {
			_, err := b.persons.Sweep(context.Background())
			done <- err
		}()
		require.Eventually(t, func() bool {
			var waiting bool
			require.NoError(t, b.Pool.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND locktype = 'advisory'
				AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))`).Scan(&waiting))
			return waiting
		}, within, 5*time.Millisecond)
		_, err = b.persons.MergeTx(b.A.WorkspaceCtx, tx, second, first)
		return err
	}))
	require.NoError(t, <-done)
	require.Equal(t, second, b.pointer(t, refs[0]))
	b.requireSound(t)
}
