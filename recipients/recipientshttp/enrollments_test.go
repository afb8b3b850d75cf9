package recipientshttp_test

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/recipients/recipientshttp"
)

type mail struct {
	bun.BaseModel `bun:"table:mailer.mail"`
	recipients.Enrollment

	Subscription string     `bun:"subscription_status,nullzero,default:'subscribed'" strata:"filterable,options:subscribed|unsubscribed"`
	Bounces      int        `bun:"bounces"                                           strata:"filterable"`
	LastSent     *time.Time `bun:"last_sent_at"                                      strata:"filterable"`
	Secret       string     `bun:"secret"                                            json:"-"`
}

// openExtended is a world whose recipients have the extension email.
func openExtended(t *testing.T) *world {
	t.Helper()
	w := &world{Env: tenancytest.Open(t)}
	r := recipients.NewRegistry()
	_, err := recipients.Register(r, recipients.Extension[mail]{Name: "email", Product: "mailer"})
	require.NoError(t, err)
	require.NoError(t, r.Migrate(t.Context(), w.Direct(t)))
	w.fields, err = customfields.NewRegistry(w.DB, w.Redis, w.Limits, w.Audit, nil)
	require.NoError(t, err)
	w.store, err = recipients.NewStore(w.DB, w.fields, w.Limits, w.Audit, &recipients.Config{Extensions: r})
	require.NoError(t, err)
	w.HTTP = w.Serve(t, nil, recipientshttp.New(w.store))
	w.base = base(w.A)
	return w
}

func TestEnrollmentsOverHTTP(t *testing.T) {
	t.Parallel()
	w := openExtended(t)
	r := w.create(t, `{"email":"ada@example.com"}`)
	path := w.base + "/" + r.ID.String() + "/enrollments/email"

	tenancytest.RequireError(t, w.Do(t, "a", "GET", path), 404, "not_enrolled")
	tenancytest.RequireError(t, w.Do(t, "member", "POST", path, `{}`), 403, "forbidden")
	tenancytest.RequireError(t, w.Do(t, "a", "POST", w.base+"/"+r.ID.String()+"/enrollments/emial", `{}`), 404, "unknown_extension")
	wrong := w.Do(t, "a", "POST", path, `{"subscriptionStatus":"subscribd","bounces":1.5,"bouncs":1,"secret":"x","version":1,"lastSentAt":"yesterday"}`)
	tenancytest.RequireError(t, wrong, 422, "validation_failed")
	for _, part := range []string{`"bounces","value":"1.5"`, `a whole number`, `"suggestion":"bounces"`, `"field":"secret","code":"unknown_field"`, `is set by the library`, "2026-01-31T10:00:00Z"} {
		require.Contains(t, wrong.Body.String(), part)
	}

	tenancytest.RequireError(t, w.Do(t, "a", "POST", w.base+"/"+r.ID.String()+"/memberships/email", `{}`), 404, "not_found")

	created := w.Do(t, "a", "POST", path, `{"bounces":2}`)
	require.Equal(t, `"1"`, created.Header().Get("ETag"))
	row := tenancytest.RequireData[map[string]any](t, created, 201)
	require.Equal(t, "subscribed", row["subscriptionStatus"])
	require.Equal(t, 2.0, row["bounces"])
	require.Nil(t, row["lastSentAt"])
	require.NotContains(t, row, "secret")
	tenancytest.RequireError(t, w.Do(t, "a", "POST", path, `{}`), 409, "already_enrolled")

	row = tenancytest.RequireData[map[string]any](t, w.Do(t, "a", "PATCH", path, `{"lastSentAt":"2026-01-31T10:00:00Z","version":1}`), 200)
	require.Equal(t, "2026-01-31T10:00:00Z", row["lastSentAt"])
	require.Equal(t, 2.0, row["version"])
	for _, never := range []string{`"1"`, `"x"`, `W/"2"`, `"1", "3"`} {
		tenancytest.RequireError(t, w.patch(t, path, never, `{"bounces":3}`), 409, "version_conflict")
	}
	for _, wrong := range []string{`2`, `"2`, `*, "2"`} {
		tenancytest.RequireError(t, w.patch(t, path, wrong, `{"bounces":3}`), 400, "malformed_if_match")
	}
	require.Equal(t, `"3"`, w.patch(t, path, `"1", "2"`, `{"bounces":3}`).Header().Get("ETag"))
	require.Equal(t, 200, w.patch(t, path, "*", `{"bounces":2}`).Code)
	tenancytest.RequireError(t, w.Do(t, "a", "PATCH", path, `{"bounces":null}`), 422, "validation_failed")
	row = tenancytest.RequireData[map[string]any](t, w.Do(t, "a", "PATCH", path, `{"lastSentAt":null}`), 200)
	require.Nil(t, row["lastSentAt"])
	require.Equal(t, row, tenancytest.RequireData[map[string]any](t, w.Do(t, "member", "GET", path), 200))

	for _, url := range []string{w.base + "?with=email", w.base + "/" + r.ID.String() + "?with=email"} {
		var answer struct{ Data json.RawMessage }
		require.NoError(t, json.Unmarshal(w.Do(t, "a", "GET", url).Body.Bytes(), &answer))
		require.Contains(t, string(answer.Data), `"extensions":{"email":{"bounces":2,`, url)
		require.NotContains(t, string(answer.Data), "secret")
	}
	require.NotContains(t, w.Do(t, "a", "GET", w.base).Body.String(), "extensions")
	tenancytest.RequireError(t, w.Do(t, "a", "GET", w.base+"?with=sms"), 422, "validation_failed")

	version := int(row["version"].(float64))
	require.Equal(t, 200, w.patch(t, path, fmt.Sprintf(`"%d", W/"1", "99"`, version), `{"bounces":4}`).Code, "one of several")
	tenancytest.RequireError(t, w.patch(t, path, `"98", "99"`, `{"bounces":5}`), 409, "version_conflict")
	tenancytest.RequireError(t, w.patch(t, path, `3`, `{"bounces":5}`), 400, "malformed_if_match")
	withdraw := func(match string) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), "DELETE", path, nil)
		r.Header.Set("Authorization", "a")
		r.Header.Set("If-Match", match)
		out := httptest.NewRecorder()
		w.HTTP.Handler.ServeHTTP(out, r)
		return out
	}
	tenancytest.RequireError(t, withdraw(fmt.Sprintf(`"%d"`, version)), 409, "version_conflict")
	require.Equal(t, 204, withdraw(fmt.Sprintf(`"%d"`, version+1)).Code)
	tenancytest.RequireError(t, w.Do(t, "a", "DELETE", path), 404, "not_enrolled")
	require.Contains(t, w.Do(t, "a", "GET", w.base+"?with=email").Body.String(), `"extensions":{"email":null}`)
}
