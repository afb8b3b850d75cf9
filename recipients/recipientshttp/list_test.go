package recipientshttp_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/internal/tenancytest"
)

// values is a query of names and values in turn.
func values(pairs ...string) string {
	v := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return v.Encode()
}

func TestList(t *testing.T) {
	t.Parallel()
	w := open(t)
	none := w.Do(t, "a", "GET", w.base)
	require.JSONEq(t, `{"data":[],"meta":{"total":0,"page":1,"pageSize":50,"hasMore":false}}`, none.Body.String())
	for i, name := range []string{"Cy", "Bo", "Ada", "Eve", "Dan"} {
		w.create(t, fmt.Sprintf(`{"email":"%s@example.com","name":%[1]q,"customFields":{"tier":%q,"seats":%d}}`, strings.ToLower(name), []string{"gold", "silver"}[i%2], i))
	}
	made := []string{"cy@example.com", "bo@example.com", "ada@example.com", "eve@example.com", "dan@example.com"}
	byEmail := []string{made[2], made[1], made[0], made[4], made[3]}
	for _, c := range []struct{ query, want []string }{
		{nil, made},
		{[]string{"sort", "email"}, byEmail},
		{[]string{"sort", "-name"}, []string{made[3], made[4], made[0], made[1], made[2]}},
		{[]string{"search", "ev"}, made[3:4]},
		{[]string{"search", "ADA"}, made[2:3]},
		{[]string{"filter", `fields.tier == "gold" && fields.seats > 0`}, []string{made[2], made[4]}},
		{[]string{"filter", `status == "bounced"`}, []string{}},
		{[]string{"filter", `fields.tier == "silver"`, "sort", "-email"}, []string{made[3], made[1]}},
		{[]string{"pageSize", "2", "page", "2"}, made[2:4]},
		{[]string{"pageSize", "2", "page", "9"}, []string{}},
		{[]string{"pageSize", "500"}, made},
		{[]string{"nonsense", "1"}, made}, // a parameter that is not known is not read
	} {
		require.Equal(t, c.want, emails(w.list(t, c.query...)), "%v", c.query)
	}
	page := w.list(t, "pageSize", "2", "page", "2")
	require.Equal(t, []any{int64(5), 2, 2, true}, []any{*page.Meta.Total, page.Meta.Page, page.Meta.PageSize, page.Meta.HasMore})
	require.False(t, w.list(t, "pageSize", "2", "page", "3").Meta.HasMore)

	var walked []string
	for cursor, pages := "", 0; ; pages++ {
		require.Less(t, pages, 3, "the walk must end")
		page := w.list(t, "sort", "email", "pageSize", "2", "cursor", cursor)
		walked = append(walked, emails(page)...)
		require.Equal(t, cursor == "", page.Meta.Total != nil, "a cursor counts nothing")
		require.Equal(t, page.Meta.HasMore, page.Meta.NextCursor != "")
		if cursor = page.Meta.NextCursor; cursor == "" {
			break
		}
	}
	require.Equal(t, byEmail, walked)
	other := w.list(t, "sort", "email", "pageSize", "2").Meta.NextCursor
	key, err := base64.RawURLEncoding.DecodeString(other)
	require.NoError(t, err)
	forged := base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(string(key), `"bo@`, `"\u0000`, 1)))

	for _, c := range []struct {
		query, code, field string
		status             int
	}{
		{"pageSize=501", "validation_failed", "pageSize", 422},
		{"pageSize=-1", "validation_failed", "pageSize", 422},
		{"pageSize=x", "validation_failed", "pageSize", 422},
		{"page=-1", "validation_failed", "page", 422},
		{"page=100000&pageSize=500", "validation_failed", "page", 422},
		{"sort=age", "validation_failed", "sort", 422},
		{"search=%00", "validation_failed", "search", 422},
		{"cursor=x", "invalid_cursor", "", 400},
		{"cursor=" + other, "invalid_cursor", "", 400}, // of another order
		{"sort=email&cursor=" + forged, "invalid_cursor", "", 400},
		{"search=%zz", "malformed", "", 400},
	} {
		e := tenancytest.RequireError(t, w.Do(t, "a", "GET", w.base+"?"+c.query), c.status, c.code)
		if c.field != "" {
			require.Equal(t, c.field, e.Errors[0].Field, c.query)
		}
	}
	both := tenancytest.RequireError(t, w.Do(t, "a", "GET", w.base+"?pageSize=501&sort=age"), 422, "validation_failed")
	require.Equal(t, map[string]string{"pageSize": "out_of_range", "sort": "unknown_sort"}, fieldCodes(both))
	wrong := w.Do(t, "a", "GET", w.base+"?"+values("filter", "status == \"active\" &&\n fields.teir == \"gold\""))
	tenancytest.RequireError(t, wrong, 422, "invalid_filter")
	var filter struct{ Errors []map[string]any }
	require.NoError(t, json.Unmarshal(wrong.Body.Bytes(), &filter))
	require.Len(t, filter.Errors, 1)
	require.NotEmpty(t, filter.Errors[0]["message"])
	delete(filter.Errors[0], "message")
	require.Equal(t, map[string]any{"field": "filter", "line": 2.0, "column": 8.0, "suggestion": "tier"}, filter.Errors[0])
}
