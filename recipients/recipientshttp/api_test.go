package recipientshttp_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/billing"
	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/internal/dbtest"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/internal/web"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/recipients/recipientshttp"
	"github.com/stratakit/strata/tenancy"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

const absent = "/01900000-0000-7000-8000-000000000000"

type world struct {
	*tenancytest.Env
	*tenancytest.HTTP
	fields *customfields.Registry
	store  *recipients.Store
	base   string // of the recipients of company A
}

func open(t *testing.T) *world {
	t.Helper()
	w := &world{Env: tenancytest.Open(t)}
	var err error
	w.fields, err = customfields.NewRegistry(w.DB, w.Redis, w.Limits, w.Audit, nil)
	require.NoError(t, err)
	w.store, err = recipients.NewStore(w.DB, w.fields, w.Limits, w.Audit, nil)
	require.NoError(t, err)
	w.HTTP = w.Serve(t, nil, recipientshttp.New(w.store))
	w.base = base(w.A)
	for _, f := range []customfields.Field{
		{Key: "tier", Type: customfields.Select, Options: []string{"gold", "silver"}, Filterable: true},
		{Key: "tags", Type: customfields.MultiSelect, Options: []string{"new", "vip"}, Filterable: true},
		{Key: "seats", Type: customfields.Number, Filterable: true},
		{Key: "since", Type: customfields.Date, Filterable: true},
		{Key: "manager", Type: customfields.Email, Filterable: true},
		{Key: "note", Type: customfields.Text, Filterable: true},
	} {
		_, err := w.fields.Create(w.A.WorkspaceCtx, f)
		require.NoError(t, err)
	}
	return w
}

func base(c *tenancytest.Company) string { return "/domains/" + c.DomainID.String() + "/recipients" }

func (w *world) create(t *testing.T, body string) recipients.Recipient {
	t.Helper()
	return tenancytest.RequireData[recipients.Recipient](t, w.Do(t, "a", "POST", w.base, body), 201)
}

// patch changes a recipient if it still has the entity tag.
func (w *world) patch(t *testing.T, path, tag, body string) *httptest.ResponseRecorder {
	t.Helper()
	return w.match(t, http.MethodPatch, path, tag, body)
}

// match makes a request that is conditional on an entity tag.
func (w *world) match(t *testing.T, method, path, tag, body string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	r.Header.Set("Authorization", "a")
	r.Header.Set("If-Match", tag)
	rec := httptest.NewRecorder()
	w.Handler.ServeHTTP(rec, r)
	return rec
}

func (w *world) list(t *testing.T, query ...string) web.List[recipients.Recipient] {
	t.Helper()
	return tenancytest.RequireList[recipients.Recipient](t, w.Do(t, "a", "GET", w.base+"?"+values(query...)))
}

func emails(l web.List[recipients.Recipient]) []string {
	out := []string{}
	for _, r := range l.Data {
		out = append(out, r.Email)
	}
	return out
}

func fieldCodes(e web.Error) map[string]string {
	out := map[string]string{}
	for _, f := range e.Errors {
		out[f.Field] = f.Code
	}
	return out
}

func TestLifeOfARecipient(t *testing.T) {
	t.Parallel()
	w := open(t)
	rec := w.Do(t, "a", "POST", w.base, `{"email":" Ada@Example.com ","name":" Ada ","customFields":{"tier":"gold"}}`)
	r := tenancytest.RequireData[recipients.Recipient](t, rec, 201)
	require.Equal(t, `"1"`, rec.Header().Get("ETag"))
	stamp := func(v any) string {
		text, err := json.Marshal(v)
		require.NoError(t, err)
		return string(text)
	}
	require.False(t, r.ID.IsZero())
	require.False(t, r.CreatedAt.IsZero())
	require.JSONEq(t, fmt.Sprintf(`{"data":{"id":"%s","email":"Ada@Example.com","name":"Ada","status":"active","customFields":{"tier":"gold"},
		"personId":null,"version":1,"createdAt":%s,"updatedAt":%[2]s,"statusReason":"","statusChangedAt":null}}`, r.ID, stamp(r.CreatedAt)), rec.Body.String())
	path := w.base + "/" + r.ID.String()
	got := w.Do(t, "a", "GET", path)
	require.Equal(t, []any{200, rec.Body.String(), `"1"`}, []any{got.Code, got.Body.String(), got.Header().Get("ETag")})

	changed := w.Do(t, "a", "PATCH", path, `{"status":"Bounced","customFields":{"tier":null,"note":"x"},"version":1}`)
	second := tenancytest.RequireData[recipients.Recipient](t, changed, 200)
	require.Equal(t, `"2"`, changed.Header().Get("ETag"))
	require.EqualValues(t, 2, second.Version)
	require.Equal(t, recipients.Bounced, second.Status)
	require.Equal(t, []any{"Ada@Example.com", "Ada"}, []any{second.Email, second.Name}, "what is not given stays")
	require.Equal(t, map[string]any{"note": "x"}, second.CustomFields)
	require.Equal(t, []any{r.ID, r.CreatedAt}, []any{second.ID, second.CreatedAt})
	require.True(t, second.UpdatedAt.After(r.UpdatedAt))

	tenancytest.RequireError(t, w.Do(t, "a", "PATCH", path, `{"name":"late","version":1}`), 409, "version_conflict")
	for _, tag := range []string{`"1"`, `"3"`, `"0"`, `W/"2"`, `"two"`, `"1", "3"`, `"02"`} {
		tenancytest.RequireError(t, w.patch(t, path, tag, `{"name":"late"}`), 409, "version_conflict")
	}
	for _, tag := range []string{`2`, `"2`, `two`, `"1" "2"`} {
		tenancytest.RequireError(t, w.patch(t, path, tag, `{"name":"late"}`), 400, "malformed_if_match")
	}
	third := tenancytest.RequireData[recipients.Recipient](t, w.patch(t, path, `"2"`, `{"name":"Ada L"}`), 200)
	require.Equal(t, []any{"Ada L", int64(3)}, []any{third.Name, third.Version})
	require.Equal(t, "Any", tenancytest.RequireData[recipients.Recipient](t, w.patch(t, path, "*", `{"name":"Any"}`), 200).Name)

	gone := w.Do(t, "a", "DELETE", path)
	require.Equal(t, []any{204, ""}, []any{gone.Code, gone.Body.String()})
	for _, method := range []string{"GET", "PATCH", "DELETE"} {
		tenancytest.RequireError(t, w.Do(t, "a", method, path, `{}`), 404, "recipient_not_found")
	}
	require.Empty(t, w.list(t).Data)
	w.create(t, `{"email":"ada@example.com"}`) // the address is free
	tenancytest.RequireError(t, w.Do(t, "a", "POST", path+"/restore"), 409, "email_taken")
	require.Equal(t, 204, w.Do(t, "a", "DELETE", w.base+"/"+w.list(t).Data[0].ID.String()).Code)
	back := tenancytest.RequireData[recipients.Recipient](t, w.Do(t, "a", "POST", path+"/restore"), 200)
	require.Equal(t, []any{r.ID, "Any"}, []any{back.ID, back.Name})
	tenancytest.RequireError(t, w.Do(t, "a", "POST", path+"/restore"), 404, "recipient_not_found")
}

func TestCustomFieldsAreNormalised(t *testing.T) {
	t.Parallel()
	w := open(t)
	r := w.create(t, `{"email":"ada@example.com","customFields":{"tier":"silver","tags":["vip","new","vip"],"seats":-0.0,
		"since":"2026-01-31T12:00:00+02:00","manager":" Bo@EXAMPLE.com","note":""}}`)
	require.Equal(t, map[string]any{
		"tier": "silver", "tags": []any{"new", "vip"}, "seats": 0.0, "since": "2026-01-31T10:00:00.000000Z", "manager": "bo@example.com",
	}, r.CustomFields)
}

func TestWhatIsRefused(t *testing.T) {
	t.Parallel()
	w := open(t)
	first := w.base + "/" + w.create(t, `{"email":"ada@example.com","name":"Ada"}`).ID.String()
	second := w.base + "/" + w.create(t, `{"email":"bo@example.com"}`).ID.String()
	const many = `{"email":"nobody","name":"a\tb\nc","status":"actve","customFields":{"tier":"glod","seats":"many","teir":"gold"}}`
	for _, c := range []struct {
		method, path, body string
		status             int
		code               string
		fields             map[string]string
	}{
		{"POST", w.base, `{"email":`, 400, "malformed", nil},
		{"POST", w.base, ``, 400, "malformed", nil},
		{"POST", w.base, `[]`, 400, "malformed", nil},
		{"POST", w.base, `{"email":"c@example.com"} {}`, 400, "trailing_data", nil},
		{"POST", w.base, `{"email":"c@example.com","note":"\u0000"}`, 400, "unknown_field", map[string]string{"note": "unknown_field"}},
		{"POST", w.base, `{"email":"c@example.com","name":"\u0000"}`, 400, "invalid_text", nil},
		{"PATCH", first, `{"id":"x"}`, 400, "unknown_field", map[string]string{"id": "unknown_field"}},
		{"POST", w.base, `{"status":"gone"}`, 422, "validation_failed", map[string]string{"email": "required", "status": "unknown_status"}},
		{"PATCH", second, `{"name":"Bo","version":0}`, 422, "validation_failed", map[string]string{"version": "out_of_range"}},
		{"PATCH", second, `{"status":""}`, 422, "validation_failed", map[string]string{"status": "unknown_status"}},
		{"POST", w.base, `{"email":7}`, 422, "validation_failed", map[string]string{"email": "wrong_type"}},
		{"POST", w.base, many, 422, "validation_failed", map[string]string{
			"email": "invalid_email", "name": "invalid_text", "status": "unknown_status",
			"customFields.tier": "unknown_option", "customFields.seats": "wrong_type", "customFields.teir": "unknown_field",
		}},
		{"PATCH", first, many, 422, "validation_failed", map[string]string{
			"email": "invalid_email", "name": "invalid_text", "status": "unknown_status",
			"customFields.tier": "unknown_option", "customFields.seats": "wrong_type", "customFields.teir": "unknown_field",
		}},
		{"POST", w.base, `{"email":"ADA@example.com"}`, 409, "email_taken", nil},
		{"PATCH", second, `{"email":"Ada@example.com"}`, 409, "email_taken", nil},
		{"GET", w.base + absent, ``, 404, "recipient_not_found", nil},
		{"PATCH", w.base + absent, `{}`, 404, "recipient_not_found", nil},
		{"DELETE", w.base + absent, ``, 404, "recipient_not_found", nil},
		{"POST", w.base + absent + "/restore", ``, 404, "recipient_not_found", nil},
		{"GET", w.base + "/nonsense", ``, 404, "recipient_not_found", nil},
		{"PATCH", w.base + "/%00", `{}`, 404, "not_found", nil},
	} {
		e := tenancytest.RequireError(t, w.Do(t, "a", c.method, c.path, c.body), c.status, c.code)
		if c.fields == nil {
			c.fields = map[string]string{}
		}
		require.Equal(t, c.fields, fieldCodes(e), "%s %s", c.method, c.body)
	}
	e := tenancytest.RequireError(t, w.Do(t, "a", "POST", w.base, many), 422, "validation_failed")
	suggested := map[string]string{}
	for _, f := range e.Errors {
		if f.Suggestion != "" {
			suggested[f.Field] = f.Suggestion
		}
	}
	require.Equal(t, map[string]string{"status": "active", "customFields.tier": "gold", "customFields.teir": "tier"}, suggested)
	require.Equal(t, []string{"ada@example.com", "bo@example.com"}, emails(w.list(t)), "nothing refused was written")
	require.EqualValues(t, 1, w.list(t).Data[0].Version)
}

func TestPlanLimit(t *testing.T) {
	t.Parallel()
	w := open(t)
	free := w.Company(t, "free")
	w.HTTP.Actors["free"] = free.Actor
	require.NoError(t, w.DB.InTx(free.Ctx, func(tx *tenancy.Tx) error { // as if there were 999
		if err := w.Audit.RecordTx(free.Ctx, tx, audit.Entry{Action: "test.filled", ResourceType: "test"}); err != nil {
			return err
		}
		return w.Limits.Consume(free.Ctx, tx, billing.ResourceRecipients, 999)
	}))
	last := w.Do(t, "free", "POST", base(free), `{"email":"ada@example.com"}`)
	id := tenancytest.RequireData[recipients.Recipient](t, last, 201).ID.String()
	over := w.Do(t, "free", "POST", base(free), `{"email":"bo@example.com"}`)
	tenancytest.RequireError(t, over, 402, "limit_exceeded")
	var limit map[string]any
	require.NoError(t, json.Unmarshal(over.Body.Bytes(), &limit))
	delete(limit, "message")
	require.Equal(t, map[string]any{
		"statusCode": 402.0, "code": "limit_exceeded", "resource": "recipients", "existing": 1000.0, "incoming": 1.0, "limit": 1000.0,
	}, limit)
	tenancytest.RequireError(t, w.Do(t, "free", "POST", base(free), `{"email":"ada@example.com"}`), 409, "email_taken")
	require.Equal(t, 204, w.Do(t, "free", "DELETE", base(free)+"/"+id).Code)
	require.Equal(t, 201, w.Do(t, "free", "POST", base(free), `{"email":"bo@example.com"}`).Code)
	tenancytest.RequireError(t, w.Do(t, "free", "POST", base(free)+"/"+id+"/restore"), 402, "limit_exceeded")
}

func TestIsolation(t *testing.T) {
	t.Parallel()
	w := openExtended(t)
	r := w.create(t, `{"email":"secret@example.com","name":"Secret"}`)
	enrollment := w.base + "/" + r.ID.String() + "/enrollments/email"
	require.Equal(t, 201, w.Do(t, "a", "POST", enrollment, `{"bounces":2}`).Code)
	w.RequireIsolation(t, tenancytest.Isolation{
		Handler: w.Handler, Routes: w.Routes, Untenanted: []string{"GET /healthz", "GET /readyz", "GET /openapi.json"},
		Values: map[string]string{"id": r.ID.String(), "product": "email"},
		Bodies: map[string]string{"createRecipient": `{"email":"intruder@example.com"}`, "updateRecipient": `{"name":"Mine"}`, "updateEnrollment": `{"bounces":9}`},
	})
	require.Contains(t, w.Do(t, "a", "GET", enrollment).Body.String(), `"bounces":2`, "nothing was changed")
	for _, domain := range []string{w.base, base(w.B)} {
		for method, body := range map[string]string{"GET": "", "PATCH": `{"name":"Mine"}`, "DELETE": ""} {
			got := w.Do(t, "b", method, domain+"/"+r.ID.String(), body)
			require.Equal(t, 404, got.Code)
			require.NotContains(t, strings.ToLower(got.Body.String()), "secret")
		}
	}
	theirs := w.Do(t, "b", "GET", base(w.B)+"?search=secret")
	require.JSONEq(t, `{"data":[],"meta":{"total":0,"page":1,"pageSize":50,"hasMore":false}}`, theirs.Body.String())
	require.Equal(t, []recipients.Recipient{r}, w.list(t).Data, "nothing was changed")
}

func TestWhoMayDoWhat(t *testing.T) {
	t.Parallel()
	w := open(t)
	path := w.base + "/" + w.create(t, `{"email":"ada@example.com"}`).ID.String()
	for _, c := range [][2]string{{"POST", w.base}, {"PATCH", path}, {"DELETE", path}, {"POST", path + "/restore"}} {
		tenancytest.RequireError(t, w.Do(t, "", c[0], c[1], `{}`), 401, "unauthenticated")
		tenancytest.RequireError(t, w.Do(t, "member", c[0], c[1], `{}`), 403, "forbidden")
	}
	for _, p := range []string{path, w.base} {
		tenancytest.RequireError(t, w.Do(t, "", "GET", p), 401, "unauthenticated")
		require.Equal(t, 200, w.Do(t, "member", "GET", p).Code)
	}
}
