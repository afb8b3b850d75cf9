package suggest_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/internal/suggest"
)

func TestClosest(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ word, want string }{
		{"industri", "industry"},
		{"Industry", "industry"},
		{"indsutry", "industry"},
		{"emial", "email"},
		{"naem", "name"},
		{"x", ""},
		{"", ""},
		{"zzzzzz", ""},
		{"e-mail", "email"},
		{"größe", "größe"},
	} {
		require.Equal(t, c.want, suggest.Closest(c.word, []string{"industry", "email", "name", "größe"}), c.word)
	}
}

// A guess is worth something only when it shares most letters with what was typed.
func TestClosestOfShortCandidates(t *testing.T) {
	t.Parallel()
	short := []string{"c", "id", "vip", "tier", "tags"}
	for _, c := range []struct{ word, want string }{
		{"x", ""},
		{"C", "c"},
		{"ix", ""},
		{"ID", "id"},
		{"vi", ""},
		{"vpi", "vip"},
		{"abc", ""},
		{"vap", "vip"},
		{"trei", ""},
		{"teir", "tier"},
		{"tgas", "tags"},
		{"tag", "tags"},
		{"tiers", "tier"},
		{"tires", ""},
		{"xxxx", ""},
	} {
		require.Equal(t, c.want, suggest.Closest(c.word, short), c.word)
	}
}

func TestClosestOfLongWordsIsNearToo(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("abcdefghij", 6)
	require.Equal(t, long, suggest.Closest("x"+long[1:58]+"yz", []string{"short", long}))
	require.Empty(t, suggest.Closest("xxxx"+long[4:], []string{long}))
	require.Equal(t, "candidate", suggest.Closest("cadniadte", []string{"candidates", "candidate"}), "the nearest, not the first")
}
