package recipients_test

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
)

// sortable makes fields of every type and rows with many equal values and many without.
func (b *bundle) sortable(t *testing.T, c *tenancytest.Company, n int) {
	t.Helper()
	for _, f := range []customfields.Field{
		{Key: "note", Type: customfields.Text, Filterable: true},
		{Key: "due", Type: customfields.Date, Filterable: true},
		{Key: "vip", Type: customfields.Boolean, Filterable: true},
		{Key: "site", Type: customfields.URL, Filterable: true},
		{Key: "mail", Type: customfields.Email, Filterable: true},
		{Key: "secret", Type: customfields.Text},
		{Key: "tags", Type: customfields.MultiSelect, Options: []string{"a", "b"}, Filterable: true},
	} {
		_, err := b.fields.Create(c.WorkspaceCtx, f)
		require.NoError(t, err)
	}
	r := rand.New(rand.NewPCG(3, 5))
	for i := range n {
		values := map[string]any{}
		set := func(key string, options ...any) {
			if r.IntN(3) > 0 {
				values[key] = options[r.IntN(len(options))]
			}
		}
		set("seats", -1.5, 0, 2, 2, 10, 100, 1e15, 1e-7)
		set("tier", "gold", "silver")
		set("note", "", "a", "B", "b", "ä", "z", "日本", "😀", `"q"`, `\`, "a'b")
		set("due", "2024-01-01", "2024-01-02T10:00:00Z", "1999-12-31")
		set("vip", true, false)
		set("site", "https://a.example/", "https://b.example/")
		set("mail", "x@example.com", "y@example.com")
		b.create(c.Ctx, t, recipients.New{Email: fmt.Sprintf("u%02d@%s.example", i, c.DomainID), CustomFields: values})
	}
}

// compare is the order of two values of one type, nil last.
func compare(a, b any, descending bool) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return 1
	case b == nil:
		return -1
	}
	var c int
	switch a := a.(type) {
	case string:
		c = strings.Compare(a, b.(string))
	case float64:
		c = cmp.Compare(a, b.(float64))
	case bool:
		number := map[bool]int{true: 1}
		c = number[a] - number[b.(bool)]
	}
	if descending {
		return -c
	}
	return c
}

// write changes rows by hand, past everything that checks values.
func (b *bundle) write(t *testing.T, c *tenancytest.Company, q string, args ...any) {
	t.Helper()
	require.NoError(t, b.DB.InTx(c.Ctx, func(tx *tenancy.Tx) error {
		_, err := tx.Exec(c.Ctx, q, args...)
		return errors.Join(err, b.Audit.RecordTx(c.Ctx, tx, audit.Entry{Action: "test"}))
	}))
}

func TestSortsByFields(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const n = 60
	b.sortable(t, b.A, n)
	b.sortable(t, b.B, 10)
	all, err := b.store.List(b.A.Ctx, recipients.Query{PageRequest: tenancy.PageRequest{PageSize: 500}})
	require.NoError(t, err)
	require.Len(t, all.Items, n)
	for _, key := range []string{"seats", "tier", "note", "due", "vip", "site", "mail"} {
		for _, sign := range []string{"", "-"} {
			for _, filter := range []string{"", `fields.seats != 2`, `has(fields.` + key + `)`, `!has(fields.` + key + `)`} {
				want := slices.Clone(all.Items)
				want = slices.DeleteFunc(want, func(r recipients.Recipient) bool {
					_, has := r.CustomFields[key]
					return filter == `fields.seats != 2` && r.CustomFields["seats"] == 2.0 || filter == `has(fields.`+key+`)` && !has || filter == `!has(fields.`+key+`)` && has
				})
				slices.SortFunc(want, func(x, y recipients.Recipient) int {
					c := compare(x.CustomFields[key], y.CustomFields[key], sign == "-")
					if c == 0 {
						if c = strings.Compare(x.ID.String(), y.ID.String()); sign == "-" {
							c = -c
						}
					}
					return c
				})
				q := recipients.Query{Sort: sign + "fields." + key, Filter: filter, PageRequest: tenancy.PageRequest{PageSize: 7}}
				var byCursor, byPage []recipients.Recipient
				for page := 1; ; page++ {
					p, err := b.store.List(b.A.Ctx, q)
					require.NoError(t, err)
					byCursor = append(byCursor, p.Items...)
					numbered, err := b.store.List(b.A.Ctx, recipients.Query{Sort: q.Sort, Filter: filter, PageRequest: tenancy.PageRequest{PageSize: 7, Page: page}})
					require.NoError(t, err)
					require.EqualValues(t, len(want), numbered.Total)
					require.Equal(t, p.HasMore, numbered.HasMore)
					byPage = append(byPage, numbered.Items...)
					if !p.HasMore {
						break
					}
					q.Cursor = p.NextCursor
				}
				require.Len(t, byCursor, len(want), "%s %s", q.Sort, filter)
				for i := range want {
					require.Equal(t, want[i], byCursor[i], "%s %s: row %d by cursor", q.Sort, filter, i)
					require.Equal(t, want[i], byPage[i], "%s %s: row %d by page", q.Sort, filter, i)
				}
			}
		}
	}
}

// What was stored by hand with another type counts as without a value, and nothing raises.
func TestSortsPastHostileValues(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for i, stored := range []string{`{"seats": 5}`, `{"seats": "7"}`, `{"seats": true}`, `{"seats": [9]}`, `{"seats": null}`, `{"seats": {"a": 1}}`, `{"tier": 3}`, `{"tier": "gold"}`} {
		r := b.create(b.A.Ctx, t, recipients.New{Email: fmt.Sprintf("u%d@example.com", i)})
		b.write(t, b.A, `UPDATE strata.recipients SET custom_fields = $3::text::jsonb WHERE domain_id = $1 AND id = $2`, b.A.DomainID, r.ID, stored)
	}
	for sort, first := range map[string]string{"fields.seats": "u0", "-fields.seats": "u0", "fields.tier": "u7", "-fields.tier": "u7"} {
		q := recipients.Query{Sort: sort, PageRequest: tenancy.PageRequest{PageSize: 1}}
		var seen []string
		for {
			p, err := b.store.List(b.A.Ctx, q)
			require.NoError(t, err)
			seen = append(seen, emails(p)...)
			if !p.HasMore {
				break
			}
			q.Cursor = p.NextCursor
		}
		require.Len(t, seen, 8, sort)
		require.Equal(t, first+"@example.com", seen[0], sort)
		require.Len(t, slices.Compact(slices.Sorted(slices.Values(seen))), 8, "each once")
	}
}

func TestWhatCannotBeSortedBy(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.sortable(t, b.A, 3)
	for sort, says := range map[string]string{
		"fields.tags": "several values", "fields.secret": "not filterable", "fields.seat": "no such field", "-fields.": "no such field",
		"fields.seats'": "no such field", "seats": "createdAt, updatedAt, email, name or fields.<key>",
	} {
		_, err := b.store.List(b.A.Ctx, recipients.Query{Sort: sort})
		var v *tenancy.ValidationError
		require.ErrorAs(t, err, &v, sort)
		require.Equal(t, "sort", v.Fields[0].Field)
		require.Contains(t, v.Fields[0].Message, says)
	}
	// What B has nobody in A learns of.
	_, err := b.store.List(b.B.Ctx, recipients.Query{Sort: "fields.note"})
	var v *tenancy.ValidationError
	require.ErrorAs(t, err, &v)
	require.NotContains(t, v.Fields[0].Suggestion, "note")

	first, err := b.store.List(b.A.Ctx, recipients.Query{Sort: "fields.seats", PageRequest: tenancy.PageRequest{PageSize: 1}})
	require.NoError(t, err)
	raw, err := base64.RawURLEncoding.DecodeString(first.NextCursor)
	require.NoError(t, err)
	var cursor map[string]any
	require.NoError(t, json.Unmarshal(raw, &cursor))
	for _, value := range []any{"x", `"text"`, "1e999999", "1e-999999", "0." + strings.Repeat("0", 20_000) + "1", "[1]", "null", "\x00", 5, "1; DROP TABLE strata.recipients"} {
		cursor["v"] = value
		forged, err := json.Marshal(cursor)
		require.NoError(t, err)
		_, err = b.store.List(b.A.Ctx, recipients.Query{Sort: "fields.seats", PageRequest: tenancy.PageRequest{PageSize: 1, Cursor: base64.RawURLEncoding.EncodeToString(forged)}})
		require.ErrorIs(t, err, tenancy.ErrInvalidCursor, "%v", value)
	}
}

// A plan for any values takes every filter for one that matches a hundredth: each list is
// planned for its own.
func TestEveryListIsPlannedForItsValues(t *testing.T) {
	t.Parallel()
	b := setup(t)
	cfg := b.Pool.Config()
	cfg.MaxConns = 1
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	require.NoError(t, err)
	defer pool.Close()
	db, err := tenancy.NewDB(pool, nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	store, err := recipients.NewStore(db, b.fields, b.Limits, b.Audit, nil)
	require.NoError(t, err)
	b.create(b.A.Ctx, t, recipients.New{Email: "a@example.com", CustomFields: map[string]any{"seats": 3}})
	for i := range 12 {
		page, err := store.List(b.A.Ctx, recipients.Query{Filter: fmt.Sprintf(`fields.seats < %d && fields.tier != "gold"`, i+5), Sort: "-fields.seats"})
		require.NoError(t, err)
		require.Len(t, page.Items, 1)
	}
	rows, err := pool.Query(t.Context(), `SELECT generic_plans FROM pg_prepared_statements WHERE statement LIKE $1`, `%FROM strata.recipients%`)
	require.NoError(t, err)
	generic, err := pgx.CollectRows(rows, pgx.RowTo[int])
	require.NoError(t, err)
	for _, n := range generic {
		require.Zero(t, n)
	}
}
