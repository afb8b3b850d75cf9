package recipientshttp_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/recipients"
)

func TestStatusReasons(t *testing.T) {
	t.Parallel()
	w := open(t)
	r := w.create(t, `{"email":"ada@example.com","status":"complained","statusReason":"abuse report"}`)
	require.Equal(t, "abuse report", r.StatusReason)
	path := w.base + "/" + r.ID.String()
	e := tenancytest.RequireError(t, w.Do(t, "a", "PATCH", path, `{"status":"active"}`), 422, "validation_failed")
	require.Equal(t, map[string]string{"statusReason": "required"}, fieldCodes(e))
	rec := w.Do(t, "a", "PATCH", path, `{"status":"active","statusReason":"wrote that it was a mistake"}`)
	back := tenancytest.RequireData[recipients.Recipient](t, rec, 200)
	require.Equal(t, []any{recipients.Active, "wrote that it was a mistake"}, []any{back.Status, back.StatusReason})
	require.NotNil(t, back.StatusChangedAt)
	same := w.Do(t, "a", "PATCH", path, `{"status":"active"}`)
	require.Equal(t, []any{200, `"2"`, rec.Body.String()}, []any{same.Code, same.Header().Get("ETag"), same.Body.String()}, "no new version")
	require.Len(t, w.list(t, "filter", `statusReason.contains("mistake")`).Data, 1)
}

func TestWhatIsDeleted(t *testing.T) {
	t.Parallel()
	w := open(t)
	r := w.create(t, `{"email":"ada@example.com"}`)
	path := w.base + "/" + r.ID.String()
	tenancytest.RequireError(t, w.match(t, "DELETE", path, `"2"`, ``), 409, "version_conflict")
	tenancytest.RequireError(t, w.match(t, "DELETE", path, `1`, ``), 400, "malformed_if_match")
	require.Equal(t, 204, w.match(t, "DELETE", path, `"7", "1"`, ``).Code)
	tenancytest.RequireError(t, w.Do(t, "a", "GET", path), 404, "recipient_not_found")
	gone := tenancytest.RequireData[recipients.Recipient](t, w.Do(t, "a", "GET", path+"?deleted=true"), 200)
	require.NotNil(t, gone.DeletedAt)
	require.Empty(t, w.list(t).Data)
	require.Equal(t, []recipients.Recipient{gone}, w.list(t, "deleted", "true").Data)
	tenancytest.RequireError(t, w.Do(t, "a", "GET", w.base+"?deleted=yes"), 422, "validation_failed")
	tenancytest.RequireError(t, w.Do(t, "a", "DELETE", path+"?purge=1"), 422, "validation_failed")

	second := w.create(t, `{"email":"ada@example.com"}`)
	clash := w.Do(t, "a", "POST", path+"/restore")
	tenancytest.RequireError(t, clash, 409, "email_taken")
	var body map[string]any
	require.NoError(t, json.Unmarshal(clash.Body.Bytes(), &body))
	require.Equal(t, second.ID.String(), body["recipientId"])
	require.Equal(t, 204, w.Do(t, "a", "DELETE", w.base+"/"+second.ID.String()+"?purge=true").Code)
	tenancytest.RequireError(t, w.Do(t, "a", "GET", w.base+"/"+second.ID.String()+"?deleted=true"), 404, "recipient_not_found")
	tenancytest.RequireError(t, w.match(t, "POST", path+"/restore", `"1"`, ``), 409, "version_conflict")
	back := tenancytest.RequireData[recipients.Recipient](t, w.match(t, "POST", path+"/restore", `"2"`, ``), 200)
	require.Equal(t, []any{r.ID, int64(3)}, []any{back.ID, back.Version})

	// To another tenant there is nothing to read, restore or purge, whichever domain it names.
	require.Equal(t, 204, w.Do(t, "a", "DELETE", path).Code)
	for _, domain := range []string{w.base, base(w.B)} {
		theirs := domain + "/" + r.ID.String()
		for _, c := range [][2]string{{"GET", theirs + "?deleted=true"}, {"POST", theirs + "/restore"}, {"DELETE", theirs + "?purge=true"}} {
			require.Equal(t, 404, w.Do(t, "b", c[0], c[1]).Code, c)
		}
	}
	require.Empty(t, tenancytest.RequireList[recipients.Recipient](t, w.Do(t, "b", "GET", base(w.B)+"?deleted=true")).Data)
	require.Len(t, w.list(t, "deleted", "true").Data, 1)
	tenancytest.RequireError(t, w.Do(t, "member", "DELETE", path+"?purge=true"), 403, "forbidden")
}
