package persons_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/recipients/persons"
	"github.com/stratakit/strata/tenancy"
)

// Eight users link, unlink, merge in both directions and undo at random, while two others
// delete and restore: nothing waits for ever, and pointers and links always fit.
func TestManyChangesAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	other := b.Domain(t, b.A, "other.example")
	refs := append(b.addMany(b.A.Ctx, t, 8), b.addMany(other, t, 8)...)
	ctx := b.A.WorkspaceCtx
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	expected := []error{persons.ErrNotFound, persons.ErrNotLinked, recipients.ErrNotFound, recipients.ErrEmailTaken}
	var g errgroup.Group
	for user := range 10 {
		g.Go(func() error {
			r := rand.New(rand.NewPCG(seed, uint64(user))) //nolint:gosec // a test's choices
			pick := func() persons.Ref { return refs[r.IntN(len(refs))] }
			person := func() persons.ID {
				p, _ := b.persons.PersonOf(ctx, pick())
				return p.ID
			}
			for step := range 15 {
				var err error
				switch {
				case user >= 8:
					i := r.IntN(len(refs))
					in := b.A.Ctx
					if i >= 8 {
						in = other
					}
					if err = b.recipients.Delete(in, refs[i].RecipientID); err == nil {
						_, err = b.recipients.Restore(in, refs[i].RecipientID)
					}
				case step%4 == 0:
					a, c := pick(), pick()
					if a != c {
						_, err = b.persons.Link(ctx, []persons.Ref{a, c})
					}
				case step%4 == 1:
					_, err = b.persons.Merge(ctx, person(), person())
				case step%4 == 2:
					err = b.persons.Unlink(ctx, pick())
				default:
					err = b.persons.UndoMerge(ctx, person())
				}
				if err != nil && !isOneOf(err, expected) {
					return fmt.Errorf("user %d, step %d: %w", user, step, err)
				}
			}
			return nil
		})
	}
	require.NoError(t, g.Wait())
	b.requireSound(t)
}

func isOneOf(err error, of []error) bool {
	for _, e := range of {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// Two persons merged into each other at once become one, in one of the two directions.
func TestMergesInOppositeOrder(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx, refs := b.A.WorkspaceCtx, b.addMany(b.A.Ctx, t, 8)
	for range 4 {
		first, err := b.persons.Link(ctx, refs[:4])
		require.NoError(t, err)
		second, err := b.persons.Link(ctx, refs[4:])
		require.NoError(t, err)
		var g errgroup.Group
		for _, order := range [][2]persons.ID{{first, second}, {second, first}} {
			g.Go(func() error {
				_, err := b.persons.Merge(ctx, order[0], order[1])
				return err
			})
		}
		require.NoError(t, g.Wait())
		p, err := b.persons.Get(ctx, first)
		require.NoError(t, err)
		require.Len(t, p.Links, 8)
		b.requireSound(t)
		for _, r := range refs {
			if err := b.persons.Unlink(ctx, r); err != nil {
				require.ErrorIs(t, err, persons.ErrNotLinked)
			}
		}
	}
}

// Two processes match at once, of the workspace and of its company: each recipient is linked
// once, and each pair suggested once.
func TestTwoMatchAtOnce(t *testing.T) {
	t.Parallel()
	m := setupMatching(t, &persons.MatcherConfig{BatchRows: 50, BatchGroups: 5})
	other := &matching{bundle: m.bundle}
	other.openMatcher(t, &persons.MatcherConfig{BatchRows: 50, BatchGroups: 5})
	domains := []context.Context{m.A.Ctx}
	for i := range 5 {
		domains = append(domains, m.Domain(t, m.A, fmt.Sprintf("d%d.example", i)))
	}
	all := generate(1_500, 3)
	m.fill(t, domains, all)
	m.start(t)
	other.start(t)
	inside, err := m.matcher.Match(m.A.WorkspaceCtx)
	require.NoError(t, err)
	_, err = other.matcher.Match(m.A.WorkspaceCtx)
	require.ErrorContains(t, err, "running")
	across, err := other.matcher.Match(m.A.CompanyCtx)
	require.NoError(t, err)
	one, two := m.ended(m.A.WorkspaceCtx, t, inside.ID), m.ended(m.A.CompanyCtx, t, across.ID)
	require.Equal(t, look[int64](t, m.bundle, `SELECT count(*) FROM strata.person_links WHERE state = 'linked'`)[0], one.Counters.Linked+two.Counters.Linked)
	require.Equal(t, look[int64](t, m.bundle, `SELECT count(*) FROM strata.person_suggestions`)[0], one.Counters.Suggested+two.Counters.Suggested)
	m.requireSound(t)

	_, err = m.matcher.Matching(m.A.WorkspaceCtx, across.ID)
	require.ErrorIs(t, err, persons.ErrNotFound)
	_, err = m.matcher.Matching(m.B.CompanyCtx, inside.ID)
	require.ErrorIs(t, err, persons.ErrNotFound)
}

// A matching of a company finds humans across its workspaces, one of a workspace does not,
// and none finds anything in another company.
func TestMatchAcross(t *testing.T) {
	t.Parallel()
	m := setupStarted(t)
	elsewhere, elsewhereDomain := m.workspace(t, m.A, "elsewhere")
	m.defineFields(elsewhere, t)
	a := m.person(m.A.Ctx, t, "ada@one.example", "Ada Lovelace", "UID1", "R&D")
	b := m.person(elsewhereDomain, t, "lovelace@two.example", "Ada Lovelace", "UID1", "R&D")
	foreign := m.person(m.B.Ctx, t, "ada@b.example", "Ada Lovelace", "UID1", "R&D")
	bo := m.person(m.A.Ctx, t, "bo@one.example", "Bo Berg", "", "")
	m.person(elsewhereDomain, t, "bo@two.example", "Bo Berg", "", "")
	require.Zero(t, m.match(m.A.WorkspaceCtx, t).Counters.Linked)
	require.Zero(t, m.match(elsewhere, t).Counters.Linked)
	require.Zero(t, m.match(m.B.CompanyCtx, t).Counters.Linked)
	require.EqualValues(t, 2, m.match(m.A.CompanyCtx, t).Counters.Linked)
	p, err := m.persons.PersonOf(m.A.CompanyCtx, a)
	require.NoError(t, err)
	require.ElementsMatch(t, []persons.Ref{a, b}, of(p))
	require.Nil(t, p.WorkspaceID)
	require.Zero(t, m.pointer(t, foreign))

	require.Empty(t, m.open(m.A.WorkspaceCtx, t), "a pair of two workspaces is for the company")
	open := m.open(m.A.CompanyCtx, t)
	require.Len(t, open, 1)
	for _, ctx := range []context.Context{m.A.WorkspaceCtx, elsewhere, m.B.CompanyCtx} {
		_, err = m.persons.Accept(ctx, open[0].ID)
		require.ErrorIs(t, err, persons.ErrNotFound)
	}
	id, err := m.persons.Accept(m.A.CompanyCtx, open[0].ID)
	require.NoError(t, err)
	require.Equal(t, id, m.pointer(t, bo))
	m.requireSound(t)
}

// A purge takes links away; the sweep ends the persons that it leaves with one.
func TestPurgeAndSweep(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx, refs := b.A.WorkspaceCtx, b.addMany(b.A.Ctx, t, 5)
	_, err := b.persons.Link(ctx, refs[:2])
	require.NoError(t, err)
	_, err = b.persons.Link(ctx, refs[2:])
	require.NoError(t, err)
	require.NoError(t, b.persons.Unlink(ctx, refs[4]))
	n, err := b.persons.Sweep(t.Context())
	require.NoError(t, err)
	require.Zero(t, n)
	require.NoError(t, b.DB.InTx(b.A.Ctx, func(tx *tenancy.Tx) error {
		_, err := tx.Exec(b.A.Ctx, `DELETE FROM strata.recipients WHERE domain_id = $1 AND id = ANY ($2)`, refs[0].DomainID, []recipients.ID{refs[0].RecipientID, refs[4].RecipientID})
		require.NoError(t, err)
		return b.Audit.RecordTx(b.A.Ctx, tx, audit.Entry{Action: "recipients.purged"})
	}))
	n, err = b.persons.Sweep(t.Context())
	require.NoError(t, err)
	require.Equal(t, 3, n, "a person and the two pairs with the last one")
	b.requireSound(t)
	require.Zero(t, b.pointer(t, refs[1]))
	require.Equal(t, b.pointer(t, refs[2]), b.pointer(t, refs[3]))
	require.Empty(t, look[persons.SuggestionID](t, b, `SELECT id FROM strata.person_suggestions`))
}
