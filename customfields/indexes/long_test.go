package indexes_test

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/recipients"
)

// An index is over the slot of all tenants: one whose field is a text there can still write
// long ones.
func TestLongTextsCanBeWrittenBesideAnIndex(t *testing.T) {
	t.Parallel()
	w := open(t, eager())
	w.fill(t, w.A, 10)
	require.NoError(t, w.advisor.Create(t.Context(), "strata", "recipients", "city", customfields.Number))
	require.NoError(t, w.advisor.Create(t.Context(), "strata", "recipients", "city", customfields.Text))
	long := make([]rune, 10_000)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range long {
		long[i] = rune(0x4e00 + random.IntN(20_000))
	}
	_, err := w.recipients.Create(w.B.Ctx, recipients.New{Email: "long@example.com", CustomFields: map[string]any{"city": string(long)}})
	require.NoError(t, err)
}
