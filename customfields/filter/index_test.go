package filter_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/customfields/filter"
)

func keys[K ~int | ~string](found map[K]*filter.Filter) []K { return slices.Sorted(maps.Keys(found)) }

func compiled(t *testing.T, expr string) *filter.Filter {
	t.Helper()
	f, err := filter.Compile(whole(t), expr)
	require.NoError(t, err, expr)
	return f
}

func TestIndex(t *testing.T) {
	t.Parallel()
	x := filter.NewIndex[string]()
	for id, expr := range map[string]string{
		"gold": `fields.tier == "gold" && email.endsWith(".com")`, "phone": `has(sms.phone) || fields.tier == "silver"`,
		"recent": `withinLast(createdAt, days(7))`, "opened": `events("email.opened").count(days(7)) > 1`, "all": `true`,
	} {
		x.Put(id, compiled(t, expr))
	}
	require.Equal(t, []string{"gold", "phone"}, keys(x.Affected("fields.tier")))
	require.Equal(t, []string{"gold", "phone"}, keys(x.Affected("email", "sms.phone", "fields.unknown")))
	require.Equal(t, []string{"opened"}, keys(x.Affected("events.email.opened")))
	require.Equal(t, []string{"recent"}, keys(x.Affected("createdAt")))
	require.Empty(t, x.Affected())
	require.Empty(t, x.Affected("tier", "fields", "events", "sms"))
	require.Equal(t, []string{"opened", "recent"}, keys(x.TimeDependent()))
	require.Equal(t, []string{"all", "gold", "opened", "phone", "recent"}, keys(x.All()))
	require.Equal(t, `true`, x.All()["all"].String())

	x.Put("gold", compiled(t, `fields.vip && createdAt < now`))
	require.Equal(t, []string{"phone"}, keys(x.Affected("fields.tier", "email")))
	require.Equal(t, []string{"gold"}, keys(x.Affected("fields.vip")))
	require.Equal(t, []string{"gold", "opened", "recent"}, keys(x.TimeDependent()))

	found := x.Affected("fields.vip")
	clear(found) // it is the caller's
	x.Remove("phone")
	x.Remove("never there")
	require.Empty(t, x.Affected("fields.tier", "sms.phone"))
	require.Equal(t, []string{"gold"}, keys(x.Affected("fields.vip")))
	for _, id := range []string{"gold", "recent", "opened", "all"} {
		x.Remove(id)
	}
	require.Empty(t, x.All())
	require.Empty(t, x.TimeDependent())
}

// What the index does not name has the same answer after the change as before.
func TestIndexMissesNothing(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(5, 9))
	x := filter.NewIndex[int]()
	for i := range 60 {
		r := randomRule(random, 2)
		expr, err := filter.FromRule(&r)
		require.NoError(t, err)
		x.Put(i, compiled(t, expr))
	}
	at := time.Date(2024, 1, 3, 12, 0, 0, 0, time.UTC)
	turned := 0
	records := randomRecords(random, 40)
	for i, before := range records[:39] {
		after := record{columns: maps.Clone(before.columns), fields: maps.Clone(before.fields)}
		var changed []string
		for name, value := range records[i+1].columns {
			if random.IntN(4) == 0 {
				after.columns[name] = value
				changed = append(changed, name)
			}
		}
		for _, key := range []string{"note", "size", "due", "tier", "tags", "vip"} {
			if random.IntN(3) != 0 {
				continue
			}
			changed = append(changed, "fields."+key)
			delete(after.fields, key)
			if value, ok := records[i+1].fields[key]; ok {
				after.fields[key] = value
			}
		}
		affected := x.Affected(changed...)
		for id, f := range x.All() {
			was := f.Match(filter.Record{Columns: before.columns, Fields: before.fields}, at)
			is := f.Match(filter.Record{Columns: after.columns, Fields: after.fields}, at)
			if was != is {
				turned++
				require.Contains(t, affected, id, "%s after a change of %v", f, changed)
			}
		}
	}
	require.Greater(t, turned, 100)
}

func TestIndexIsConcurrent(t *testing.T) {
	t.Parallel()
	x := filter.NewIndex[int]()
	gold, vip := compiled(t, `fields.tier == "gold"`), compiled(t, `fields.vip`)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 500 {
				x.Put(g*1000+i, []*filter.Filter{gold, vip}[i%2])
				if i%5 == 0 {
					x.Remove(g*1000 + i)
				}
				for _, f := range x.Affected("fields.tier") {
					if f != gold {
						panic("a filter of another field")
					}
				}
				x.TimeDependent()
			}
		})
	}
	wg.Wait()
	require.Len(t, x.Affected("fields.tier"), 4*200)
	require.Len(t, x.All(), 4*400)
}

// BenchmarkIndex asks which of 10,000 filters over 200 fields a change of one field concerns.
func BenchmarkIndex(b *testing.B) {
	const fields = 200
	definitions := make([]customfields.Field, fields)
	for i := range definitions {
		definitions[i] = customfields.Field{Key: fmt.Sprintf("f%d", i), Type: customfields.Text, Filterable: true}
	}
	set, err := customfields.NewSet(1, definitions)
	require.NoError(b, err)
	x := filter.NewIndex[int]()
	for i := range fields {
		f, err := filter.Compile(filter.Schema{Fields: set}, fmt.Sprintf(`fields.f%d == "x" && fields.f%d != "y"`, i, (i*7+1)%fields))
		require.NoError(b, err)
		for j := range 10_000 / fields {
			x.Put(j*fields+i, f)
		}
	}
	for b.Loop() {
		if len(x.Affected("fields.f7")) == 0 {
			b.Fatal("none")
		}
	}
}
