package sampledata_test

import (
	"encoding/csv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/internal/sampledata"
)

func TestCSV(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 7, 5000} {
		var a, b strings.Builder
		require.NoError(t, sampledata.CSV(&a, n, 3))
		require.NoError(t, sampledata.CSV(&b, n, 3))
		require.Equal(t, a.String(), b.String(), "the same rows every time")
		rows, err := csv.NewReader(strings.NewReader(a.String())).ReadAll()
		require.NoError(t, err)
		require.Len(t, rows, n+1)
		seen, bad := map[string]bool{}, 0
		for _, r := range rows[1:] {
			if r[0] == "not an address" {
				bad++
				continue
			}
			require.False(t, seen[r[0]], r[0])
			seen[r[0]] = true
		}
		require.Equal(t, (n*3+999)/1000, bad)
	}
}
