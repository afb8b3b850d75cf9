package filter_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/customfields/filter"
)

const usual = `status == "active" && fields.tier == "gold" && fields.size > 50 && "vip" in fields.tags`

// fifty is a workspace with fifty fields, as the budgets have it.
func fifty(t testing.TB) filter.Schema {
	t.Helper()
	fields := []customfields.Field{
		{Key: "tier", Type: customfields.Select, Options: []string{"gold", "silver"}, Filterable: true},
		{Key: "size", Type: customfields.Number, Filterable: true},
		{Key: "tags", Type: customfields.MultiSelect, Options: []string{"vip", "new"}, Filterable: true},
	}
	for i := len(fields); i < 50; i++ {
		fields = append(fields, customfields.Field{Key: fmt.Sprintf("field_%d", i), Type: customfields.Text, Filterable: true})
	}
	set, err := customfields.NewSet(1, fields)
	require.NoError(t, err)
	return filter.Schema{Fields: set, Columns: columns}
}

func BenchmarkCompileCold(b *testing.B) {
	s := fifty(b)
	for b.Loop() {
		_, err := filter.Compile(s, usual)
		require.NoError(b, err)
	}
}

func BenchmarkCompileCached(b *testing.B) {
	s := fifty(b)
	c, err := filter.NewCompiler(filter.Schema{Columns: columns}, nil)
	require.NoError(b, err)
	for b.Loop() {
		_, err := c.Compile(filter.Scope{Fields: s.Fields}, usual)
		require.NoError(b, err)
	}
}

func BenchmarkMatch(b *testing.B) {
	f, err := filter.Compile(fifty(b), usual)
	require.NoError(b, err)
	r := filter.Record{Columns: map[string]any{"status": "active"}, Fields: map[string]any{"tier": "gold", "size": 51.0, "tags": []string{"new", "vip"}}}
	at := time.Now()
	for b.Loop() {
		if !f.Match(r, at) {
			b.Fatal("no match")
		}
	}
}
