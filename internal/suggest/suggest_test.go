package suggest_test

import (
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
