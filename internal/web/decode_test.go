package web_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/internal/fault"
	"github.com/stratakit/strata/internal/web"
)

type address struct {
	City string `json:"city" validate:"required"`
}

// refusing fails to be read with an error that has a kind of its own.
type refusing struct{}

func (*refusing) UnmarshalText([]byte) error {
	return fault.New(fault.NotFound, "not_found", "no such id")
}

type person struct {
	Name    string    `json:"name"    validate:"required,max=5"`
	Email   string    `json:"email"   validate:"omitempty,email"`
	Tier    string    `json:"tier"    validate:"omitempty,oneof=gold silver"`
	Age     int       `json:"age"     validate:"omitempty,min=18"`
	Score   float64   `json:"score"`
	Address *address  `json:"address"`
	ID      *refusing `json:"id"`
}

func decode(t *testing.T, body string, v any) error {
	t.Helper()
	return web.DecodeJSON(httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(body)), v)
}

func TestDecodeJSON(t *testing.T) {
	t.Parallel()
	var p person
	require.NoError(t, decode(t, ` {"name":"Ada","email":"a@b.example","address":{"city":"X"}} `, &p))
	require.Equal(t, "Ada", p.Name)
	var m map[string]any
	require.NoError(t, decode(t, `{"any":"thing"}`, &m), "what is no struct has no tags")
	require.NoError(t, decode(t, `{"any":"\\u0000"}`, &m), "a backslash and u0000 is no NUL")

	for name, c := range map[string]struct {
		body    string
		kind    fault.Kind
		code    string
		message string
	}{
		"empty":          {"", fault.Malformed, "malformed", "empty"},
		"blanks":         {"  \n", fault.Malformed, "malformed", "empty"},
		"not JSON":       {`{"name":}`, fault.Malformed, "malformed", "at byte 9"},
		"ends early":     {`{"name":"A`, fault.Malformed, "malformed", "at byte 10"},
		"unknown":        {`{"name":"Ada","colour_":"x"}`, fault.Malformed, "unknown_field", `"colour_"`},
		"unknown inside": {`{"address":{"town":"x"}}`, fault.Malformed, "unknown_field", `"town"`},
		"trailing":       {`{"name":"Ada"} {}`, fault.Malformed, "trailing_data", "at byte 14"},
		"an array":       {`[]`, fault.Malformed, "malformed", "must be an object, not array"},
		"null":           {`null`, fault.Malformed, "malformed", "must be an object, not null"},
		"other case":     {`{"NAME":"Ada"}`, fault.Malformed, "unknown_field", `"NAME"`},
		"twice":          {`{"name":"Ada","email":"a@b.example","name":"Bo"}`, fault.Malformed, "duplicate_field", `"name"`},
		"out of range":   {`{"name":"Ada","score":1e400}`, fault.Invalid, "validation_failed", "score: must be a number in range, not number 1e400"},
		"NUL":            {`{"name":"A\u0000"}`, fault.Malformed, "invalid_text", "not allowed"},
		"wrong type":     {`{"address":{"city":7}}`, fault.Invalid, "validation_failed", "address.city: must be a string, not number"},
		"own decoding":   {`{"name":"Ada","id":"x"}`, fault.Invalid, "validation_failed", "no such id"},
		"too much":       {`{"name":"` + strings.Repeat("x", 1<<20) + `"}`, fault.TooLarge, "too_large", "1048576"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var p person
			err := decode(t, c.body, &p)
			require.Error(t, err)
			require.Equal(t, c.kind, fault.KindOf(err))
			require.Equal(t, c.code, fault.CodeOf(err))
			require.Contains(t, err.Error(), c.message)
		})
	}
}

func TestDecodeJSONNamesAllFieldsAtOnce(t *testing.T) {
	t.Parallel()
	var p person
	err := decode(t, `{"name":"Adalaide","email":"x","tier":"tin","age":3,"address":{}}`, &p)
	require.Equal(t, fault.Invalid, fault.KindOf(err))
	var fields interface{ FieldErrors() any }
	require.True(t, errors.As(err, &fields))
	got, err := json.Marshal(fields.FieldErrors())
	require.NoError(t, err)
	require.JSONEq(t, `[
		{"field":"name","code":"too_long","message":"must have at most 5 characters"},
		{"field":"email","code":"invalid_email","message":"must be an e-mail address such as ada@example.com"},
		{"field":"tier","code":"not_allowed","message":"must be one of gold, silver"},
		{"field":"age","code":"out_of_range","message":"must be at least 18"},
		{"field":"address.city","code":"required","message":"must not be empty"}]`, string(got))
}

func TestDecodeJSONRefusesWhatIsNotUTF8(t *testing.T) {
	t.Parallel()
	err := web.DecodeJSON(httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader("{\"name\":\"M\xfcller\"}")), new(map[string]any))
	require.Equal(t, fault.Malformed, fault.KindOf(err))
	require.Equal(t, "invalid_text", fault.CodeOf(err))
}

func TestNoBody(t *testing.T) {
	t.Parallel()
	check := func(body string) error {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(body))
		err := web.NoBody(r)
		if err == nil {
			again, err := io.ReadAll(r.Body)
			require.NoError(t, err)
			require.Equal(t, body, string(again), "it can be read again")
		}
		return err
	}
	for _, nothing := range []string{"", " \n", "{}", " {} "} {
		require.NoError(t, check(nothing))
	}
	for _, something := range []string{`{"dryRun":true}`, "[]", "null", "x"} {
		require.Equal(t, "unexpected_body", fault.CodeOf(check(something)))
	}
}

func TestMaxBodyOfContext(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(`{"a":"12345"}`))
	var m map[string]any
	err := web.DecodeJSON(r.WithContext(web.WithMaxBody(r.Context(), 4)), &m)
	require.Equal(t, fault.TooLarge, fault.KindOf(err))
}

func TestQuery(t *testing.T) {
	t.Parallel()
	get := func(query string) *web.Values {
		return web.Query(httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/?"+query, http.NoBody))
	}
	q := get("n=7&s=x&at=2026-01-31T12:00:00Z&page=2&pageSize=10&cursor=c&status=ok")
	require.Equal(t, 7, q.Int("n", 1))
	require.Equal(t, 1, q.Int("absent", 1))
	require.Equal(t, "x", q.String("s"))
	require.Equal(t, "ok", q.OneOf("status", "ok", "bad"))
	require.Equal(t, 2026, q.Time("at").Year())
	require.True(t, q.Time("absent").IsZero())
	page, size, cursor := q.Page()
	require.Equal(t, []any{2, 10, "c"}, []any{page, size, cursor})
	require.NoError(t, q.Err())

	q = get("n=x&s=%00&at=yesterday&page=99999999999&status=no")
	q.Int("n", 0)
	_ = q.String("s")
	_ = q.OneOf("status", "ok")
	q.Time("at")
	q.Page()
	err := q.Err()
	require.Equal(t, fault.Invalid, fault.KindOf(err))
	for _, field := range []string{"n: ", "s: ", "at: ", "page: ", "status: "} {
		require.Contains(t, err.Error(), field)
	}
	require.Equal(t, fault.Malformed, fault.KindOf(get("a=%zz").Err()))
}
