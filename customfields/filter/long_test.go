package filter_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/customfields/filter"
	"github.com/stratakit/strata/internal/dbtest"
)

// An index over texts has their first 255 characters. What a filter asks about longer ones,
// or with longer ones, has the same answer all the same.
func TestLongTextsMeetAnIndexOfBeginnings(t *testing.T) {
	t.Parallel()
	pool := dbtest.Database(t, dbtest.Template{})
	_, err := pool.Exec(t.Context(), `CREATE TABLE rows (id int PRIMARY KEY, custom_fields jsonb NOT NULL)`)
	require.NoError(t, err)
	base := strings.Repeat("é", 254)
	texts := []string{"a", "z", base, base + "é", base + "éa", base + "éb", base + "a", base + "b", base + "éaé", base[:100], "é", "ê"}
	for i, s := range texts {
		_, err := pool.Exec(t.Context(), `INSERT INTO rows VALUES ($1, jsonb_build_object('note', $2::text))`, i, s)
		require.NoError(t, err)
	}
	schema := filter.Schema{Fields: allTypes(t)}
	for _, form := range []string{
		`fields.note < %s`, `fields.note <= %s`, `fields.note > %s`, `fields.note >= %s`, `fields.note == %s`, `fields.note in ["a", %s]`, `fields.note.startsWith(%s)`,
		`!(fields.note < %s)`, `!fields.note.startsWith(%s)`, `%s > fields.note`,
	} {
		for _, s := range texts {
			expr := fmt.Sprintf(form, quoteCEL(s))
			f, err := filter.Compile(schema, expr)
			require.NoError(t, err)
			sql, args := f.SQL(filter.Options{Ready: func(string, customfields.Type) bool { return true }})
			rows, err := pool.Query(t.Context(), "SELECT id FROM rows r WHERE "+sql, args...)
			require.NoError(t, err, sql)
			found, err := pgx.CollectRows(rows, pgx.RowTo[int])
			require.NoError(t, err, sql)
			for i, stored := range texts {
				want := f.Match(filter.Record{Fields: map[string]any{"note": stored}}, time.Now())
				require.Equal(t, want, slices.Contains(found, i), "%s\n%s\non a text of %d characters", expr, sql, len([]rune(stored)))
			}
		}
	}
}
