package recipients_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
)

// Whoever walks a list by its cursors while others write sees each recipient that was there
// all the time, and unchanged, exactly once, and none twice.
func TestNoRecipientIsLostOrDoubledByWriters(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.sortable(t, b.A, 40)
	r := rand.New(rand.NewPCG(7, 11))
	added := 0
	for round := range 2 {
		for _, sort := range []string{"", "-createdAt", "email", "-name", "-updatedAt", "fields.seats", "-fields.note", "fields.vip"} {
			all, err := b.store.List(b.A.Ctx, recipients.Query{PageRequest: tenancy.PageRequest{PageSize: 500}})
			require.NoError(t, err)
			steady := map[recipients.ID]bool{}
			for _, item := range all.Items {
				steady[item.ID] = true
			}
			seen := map[recipients.ID]int{}
			q := recipients.Query{Sort: sort, PageRequest: tenancy.PageRequest{PageSize: 2 + r.IntN(9)}}
			if round%2 == 1 {
				q.Filter = `fields.seats != 77` // with a filter few are found first, and then sorted
			}
			for pages := 0; ; pages++ {
				page, err := b.store.List(b.A.Ctx, q)
				require.NoError(t, err)
				for _, item := range page.Items {
					seen[item.ID]++
				}
				if !page.HasMore {
					break
				}
				q.Cursor = page.NextCursor
				if pages >= 8 {
					continue // writers that go on make a walk without an end
				}
				if r.IntN(2) == 0 {
					id := page.Items[r.IntN(len(page.Items))].ID // a cursor may be the last that is left of its row
					if r.IntN(2) == 0 {
						id = page.Items[len(page.Items)-1].ID
					}
					require.NoError(t, b.store.Delete(b.A.Ctx, id))
					delete(steady, id)
				}
				added++
				values := map[string]any{}
				if r.IntN(2) == 0 {
					values["seats"], values["note"], values["vip"] = r.IntN(50), string(rune('a'+r.IntN(26))), r.IntN(2) == 0
				}
				b.create(b.A.Ctx, t, recipients.New{Email: fmt.Sprintf("%c%d@example.com", 'a'+r.IntN(26), added), Name: string(rune('A' + r.IntN(26))), CustomFields: values})
			}
			for id := range steady {
				require.Equal(t, 1, seen[id], "sorted %q", sort)
			}
			for _, n := range seen {
				require.Equal(t, 1, n, "sorted %q", sort)
			}
		}
	}
}

// Far pages have the rows that come after those of the pages before them, and are read from
// an index of the ids.
func TestDeepPages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const rows = 12_000
	b.fillNamed(t, rows, `'Name ' || n % 100`)
	for _, q := range []recipients.Query{{}, {Sort: "-createdAt"}, {Sort: "email"}, {Sort: "-name"}, {Sort: "fields.seats"}, {Sort: "-updatedAt", Search: "name"}} {
		byCursor := q
		byCursor.PageSize = 500
		var want []recipients.ID
		for {
			page, err := b.store.List(b.A.Ctx, byCursor)
			require.NoError(t, err)
			for _, r := range page.Items {
				want = append(want, r.ID)
			}
			if byCursor.Cursor = page.NextCursor; !page.HasMore {
				break
			}
		}
		require.Len(t, want, rows)
		for _, n := range []int{1, 2, 20, 21, 22, 200, 240, 241} { // 20 and 21 stand at both sides of where ids are read first
			byNumber := q
			byNumber.Page, byNumber.PageSize = n, 50
			page, err := b.store.List(b.A.Ctx, byNumber)
			require.NoError(t, err)
			total, estimate := int64(rows), false // which are counted already
			if q.Search != "" {
				total, estimate = 10_001, true // counting ends
			}
			require.Equal(t, []any{total, estimate}, []any{page.Total, page.TotalIsEstimate})
			require.Equal(t, n < rows/50, page.HasMore)
			var got []recipients.ID
			for _, r := range page.Items {
				got = append(got, r.ID)
			}
			require.Equal(t, want[min((n-1)*50, rows):min(n*50, rows)], append([]recipients.ID{}, got...), "page %d sorted %q", n, q.Sort)
		}
	}
	plan := b.plan(t, `SELECT r.id FROM strata.recipients r WHERE r.domain_id = $1 AND r.deleted_at IS NULL ORDER BY r.id LIMIT 51 OFFSET 10000`, b.A.DomainID)
	require.Contains(t, plan, "Index Only Scan using recipients_live")
	theirs, err := b.store.List(b.B.Ctx, recipients.Query{PageRequest: tenancy.PageRequest{Page: 30}})
	require.NoError(t, err)
	require.Empty(t, theirs.Items)
}
