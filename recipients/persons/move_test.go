package persons_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/recipients/persons"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/move"
)

// movers is a bundle with a Strata that moves domains.
func movers(t *testing.T) (*bundle, *strata.Strata) {
	t.Helper()
	b := setup(t)
	quiet := slog.New(slog.DiscardHandler)
	s, err := strata.New(t.Context(), b.Pool, b.Redis, &strata.Config{Log: quiet, Move: move.Config{Poll: 20 * time.Millisecond, Log: quiet}})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = s.Mover.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
		require.NoError(t, s.Stop(context.Background()))
	})
	return b, s
}

// moved moves the domain of ctx to a workspace and returns what was found before.
func moved(ctx context.Context, t *testing.T, s *strata.Strata, to tenancy.WorkspaceID) []move.Finding {
	t.Helper()
	ctx = tenancy.WithActor(ctx, tenancy.Actor{ID: "root", Type: tenancy.ActorAdmin})
	m, err := s.Mover.Start(ctx, to)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		now, err := s.Mover.Get(ctx)
		require.NoError(t, err)
		require.NotEqual(t, move.Failed, now.State, now.Error)
		require.NotEqual(t, move.Cancelled, now.State, now.Error)
		return now.State == move.Done
	}, within, 10*time.Millisecond)
	return m.Findings
}

func linksFound(findings []move.Finding) string {
	for _, f := range findings {
		if f.Kind == "person_links" {
			return f.Subject
		}
	}
	return ""
}

func TestMoveInsideTheCompany(t *testing.T) {
	t.Parallel()
	b, s := movers(t)
	elsewhere, elsewhereDomain := b.workspace(t, b.A, "elsewhere")
	target, err := tenancy.WorkspaceFrom(elsewhere)
	require.NoError(t, err)
	leaving := b.Domain(t, b.A, "leaving.example")
	here, gone, there := b.addMany(b.A.Ctx, t, 4), b.addMany(leaving, t, 6), b.addMany(elsewhereDomain, t, 1)
	link := func(ctx context.Context, refs ...persons.Ref) persons.ID {
		id, err := b.persons.Link(ctx, refs)
		require.NoError(t, err)
		return id
	}
	broken := link(b.A.WorkspaceCtx, here[0], here[1], gone[0])
	whole := link(b.A.WorkspaceCtx, gone[1], gone[2])
	link(b.A.WorkspaceCtx, here[2], gone[3])
	link(b.A.CompanyCtx, here[2], there[0])
	require.NoError(t, b.persons.Unlink(b.A.CompanyCtx, there[0])) // the pairs with it are rejected
	across := link(b.A.CompanyCtx, here[2], gone[3], there[0])
	lonely := link(b.A.WorkspaceCtx, here[3], gone[4])
	b.requireSound(t)

	require.Equal(t, "2", linksFound(moved(leaving, t, s, target.WorkspaceID)))
	b.requireSound(t)
	require.Equal(t, []persons.ID{broken, broken, {}}, []persons.ID{b.pointer(t, here[0]), b.pointer(t, here[1]), b.pointer(t, gone[0])})
	require.Equal(t, []persons.ID{across, across, across}, []persons.ID{b.pointer(t, here[2]), b.pointer(t, gone[3]), b.pointer(t, there[0])}, "the company has linked them")
	require.Equal(t, []persons.ID{{}, {}}, []persons.ID{b.pointer(t, here[3]), b.pointer(t, gone[4])})
	p, err := b.persons.Get(elsewhere, whole)
	require.NoError(t, err)
	require.Equal(t, target.WorkspaceID, *p.WorkspaceID, "one that is in the domain as a whole goes along")
	_, err = b.persons.Get(b.A.WorkspaceCtx, whole)
	require.ErrorIs(t, err, persons.ErrNotFound)
	_, err = b.persons.Get(b.A.WorkspaceCtx, lonely)
	require.ErrorIs(t, err, persons.ErrNotFound)
	p, err = b.persons.Get(elsewhere, across)
	require.NoError(t, err)
	require.ElementsMatch(t, []persons.Ref{gone[3], there[0]}, of(p))
	_, err = b.persons.Link(elsewhere, []persons.Ref{gone[0], gone[5]})
	require.NoError(t, err)
	b.requireSound(t)
}

func TestMoveToAnotherCompany(t *testing.T) {
	t.Parallel()
	b, s := movers(t)
	leaving := b.Domain(t, b.A, "leaving.example")
	here, gone := b.addMany(b.A.Ctx, t, 3), b.addMany(leaving, t, 3)
	id, err := b.persons.Link(b.A.WorkspaceCtx, []persons.Ref{here[0], here[1], gone[0]})
	require.NoError(t, err)
	inside, err := b.persons.Link(b.A.WorkspaceCtx, gone[1:])
	require.NoError(t, err)
	require.NoError(t, b.persons.Unlink(b.A.WorkspaceCtx, here[1]))

	require.Equal(t, "3", linksFound(moved(leaving, t, s, b.B.WorkspaceID)))
	b.requireSound(t)
	for _, ref := range append(gone, here...) {
		require.Zero(t, b.pointer(t, ref))
	}
	for _, c := range []*tenancytest.Company{b.A, b.B} {
		for _, p := range []persons.ID{id, inside} {
			_, err := b.persons.Get(c.CompanyCtx, p)
			require.ErrorIs(t, err, persons.ErrNotFound)
		}
	}
	require.Equal(t, []int64{0}, look[int64](t, b, `SELECT count(*) FROM strata.person_links WHERE domain_id = $1`, gone[0].DomainID))
	_, err = b.persons.Link(b.B.WorkspaceCtx, gone[1:])
	require.NoError(t, err)
	b.requireSound(t)
}
