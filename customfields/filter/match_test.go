package filter_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/customfields/filter"
)

// A number is a number in whichever type a decoder or a driver gives it.
func TestMatchTakesNumbersAsTheyCome(t *testing.T) {
	t.Parallel()
	f, err := filter.Compile(proofSchema(t), `level + 1 == 8 && phone.calls * 2 == 4 && fields.size + fields.user == 12.5 && "vip" in fields.tags`)
	require.NoError(t, err)
	exact := json.NewDecoder(strings.NewReader(`{"size": 5, "user~2": 7.5, "tags~3": ["vip"]}`))
	exact.UseNumber()
	var numbers map[string]any
	require.NoError(t, exact.Decode(&numbers))
	for name, r := range map[string]filter.Record{
		"float64":     {Columns: map[string]any{"level": 7.0}, Extensions: map[string]map[string]any{"phone": {"calls": 2.0}}, Fields: map[string]any{"size": 5.0, "user~2": 7.5, "tags~3": []string{"vip"}}},
		"integers":    {Columns: map[string]any{"level": 7}, Extensions: map[string]map[string]any{"phone": {"calls": int64(2)}}, Fields: map[string]any{"size": 5, "user~2": 7.5, "tags~3": []any{"vip"}}},
		"json.Number": {Columns: map[string]any{"level": int64(7)}, Extensions: map[string]map[string]any{"phone": {"calls": 2}}, Fields: numbers},
	} {
		require.True(t, f.Match(r, instant), name)
		x, err := f.Explain(r, instant)
		require.NoError(t, err)
		require.Equal(t, filter.True, x.Verdict, name)
	}
}
