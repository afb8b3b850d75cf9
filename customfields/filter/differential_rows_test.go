package filter_test

import (
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/internal/dbtest"
)

func pick[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }

// someOf returns one to three of a list, sorted, as a multi_select is stored.
func someOf(r *rand.Rand, list []string) []string {
	out := make([]string, 0, 3)
	for range 1 + r.IntN(3) {
		out = append(out, pick(r, list))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// randomDate is one of the hostile ones, or one about now.
func randomDate(r *rand.Rand) time.Time {
	switch r.IntN(3) {
	case 0:
		return instant.Add(time.Duration(r.IntN(20)-10) * 12 * time.Hour)
	case 1:
		return time.Date(2020+r.IntN(9), time.Month(1+r.IntN(12)), 1+r.IntN(28), r.IntN(24), r.IntN(60), r.IntN(60), r.IntN(1e6)*1000, time.UTC)
	}
	return pick(r, hostileDates)
}

func randomColumns(r *rand.Rand) map[string]any {
	maybe := func(v any) any {
		if r.IntN(4) == 0 {
			return nil
		}
		return v
	}
	number := func() float64 {
		if r.IntN(4) == 0 {
			return pick(r, wildNumbers)
		}
		return pick(r, hostileNumbers)
	}
	return map[string]any{
		"email": pick(r, []string{"ada@example.com", "bo@example.org", "o'k@example.com"}), "name": pick(r, hostileTexts), "nickname": maybe(pick(r, hostileTexts)),
		"status": pick(r, statusOptions), "level": number(), "score": maybe(number()), "createdAt": randomDate(r), "seenAt": maybe(randomDate(r)),
		"active": r.IntN(2) == 0, "opted": maybe(r.IntN(2) == 0),
	}
}

// randomPhone is a row of the extension table, or none.
func randomPhone(r *rand.Rand) map[string]any {
	if r.IntN(3) == 0 {
		return nil
	}
	maybe := func(v any) any {
		if r.IntN(4) == 0 {
			return nil
		}
		return v
	}
	return map[string]any{
		"phone": maybe(pick(r, hostileTexts)), "verified": maybe(r.IntN(2) == 0), "calls": maybe(pick(r, hostileNumbers)), "calledAt": maybe(randomDate(r)),
	}
}

// randomEvents are about the ends of the windows that filters ask about.
func randomEvents(r *rand.Rand) []proofEvent {
	out := make([]proofEvent, r.IntN(6))
	for i := range out {
		out[i] = proofEvent{pick(r, eventKinds), instant.Add(-pick(r, []time.Duration{
			0, time.Microsecond, time.Second, 90 * time.Minute, 12 * time.Hour, 24 * time.Hour, 24*time.Hour + time.Microsecond, 48 * time.Hour, 7 * 24 * time.Hour, 400 * 24 * time.Hour,
			-time.Microsecond, -time.Hour,
		}))}
	}
	return out
}

// withStrangers replaces about half of the values by JSON of another type, or adds such.
func withStrangers(r *rand.Rand, values map[string]any) string {
	types := map[string]customfields.Type{
		"note": customfields.Text, "order": customfields.Text, "size": customfields.Number, "user~2": customfields.Number, "due": customfields.Date, "when": customfields.Date, "born": customfields.Date,
		"tier": customfields.Text, "tags~3": customfields.MultiSelect, "groups": customfields.MultiSelect, "vip": customfields.Boolean, "paid": customfields.Boolean,
	}
	doc := []byte{'{'}
	for _, key := range slices.Sorted(maps.Keys(types)) {
		value := ""
		if v, ok := values[key]; ok {
			value = string(customfields.AppendValue(nil, v))
		}
		if r.IntN(2) == 0 {
			value = pick(r, strangers)
			for !strange(types[key], value) {
				value = pick(r, strangers)
			}
		}
		if value == "" {
			continue
		}
		if len(doc) > 1 {
			doc = append(doc, ',')
		}
		doc = append(doc, `"`+key+`":`+value...)
	}
	return string(append(doc, '}'))
}

// strange reports whether a JSON value is of another type than the field's, or one of its
// type that it may have.
func strange(t customfields.Type, value string) bool {
	switch value[0] {
	case '"':
		return t != customfields.Date // text that is no date: nobody has said what it means
	case '[':
		return t != customfields.MultiSelect || value == `[]` || value == `["vip"]`
	}
	return true
}

// loadRows puts rows into tables of a database of the test's own.
func loadRows(t testing.TB, rows []proofRow) *pgxpool.Pool {
	t.Helper()
	pool := dbtest.Database(t, dbtest.Template{})
	loadInto(t, pool, proofTables, rows)
	return pool
}

// loadInto makes the tables and puts rows into them.
func loadInto(t testing.TB, db interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}, tables string, rows []proofRow,
) {
	t.Helper()
	_, err := db.Exec(t.Context(), tables)
	require.NoError(t, err)
	for i, row := range rows {
		c := row.columns
		_, err := db.Exec(t.Context(), `INSERT INTO rows VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
			i, c["email"], c["name"], c["nickname"], c["status"], c["level"], c["score"], c["createdAt"], c["seenAt"], c["active"], c["opted"], row.stored)
		require.NoError(t, err, row.stored)
		if p := row.phone; p != nil {
			_, err := db.Exec(t.Context(), `INSERT INTO phones VALUES ($1, $2, $3, $4, $5)`, i, p["phone"], p["verified"], p["calls"], p["calledAt"])
			require.NoError(t, err)
		}
		for _, e := range row.events {
			_, err := db.Exec(t.Context(), `INSERT INTO events VALUES ($1, $2, $3)`, i, e.kind, e.at)
			require.NoError(t, err)
		}
	}
}
