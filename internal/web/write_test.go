package web_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/internal/fault"
	"github.com/stratakit/strata/internal/web"
)

// limited has members of its own in the answer.
type limited struct{}

func (limited) Error() string           { return "too many" }
func (limited) Kind() fault.Kind        { return fault.LimitExceeded }
func (limited) Code() string            { return "limit_exceeded" }
func (limited) Details() map[string]any { return map[string]any{"limit": 10, "statusCode": 1} }

type sqlState string

func (s sqlState) Error() string    { return "server says " + string(s) }
func (s sqlState) SQLState() string { return string(s) }

func TestWriteError(t *testing.T) {
	t.Parallel()
	conflict := fault.New(fault.Conflict, "already_exists", "already exists")
	secret := errors.New("password=hunter2")
	for name, c := range map[string]struct {
		err    error
		status int
		body   string
		logged bool
	}{
		"malformed":       {fault.New(fault.Malformed, "malformed", "m"), 400, `{"statusCode":400,"code":"malformed","message":"m"}`, false},
		"unauthenticated": {fault.New(fault.Unauthenticated, "unauthenticated", "m"), 401, `{"statusCode":401,"code":"unauthenticated","message":"m"}`, false},
		"limit":           {fmt.Errorf("add: %w", limited{}), 402, `{"statusCode":402,"code":"limit_exceeded","message":"add: too many","limit":10}`, false},
		"forbidden":       {fault.New(fault.Forbidden, "forbidden", "m"), 403, `{"statusCode":403,"code":"forbidden","message":"m"}`, false},
		"not found":       {fmt.Errorf("company 7: %w", fault.New(fault.NotFound, "not_found", "bad id")), 404, `{"statusCode":404,"code":"not_found","message":"not found"}`, false},
		"conflict":        {fmt.Errorf(`slug "a": %w`, conflict), 409, `{"statusCode":409,"code":"already_exists","message":"slug \"a\": already exists"}`, false},
		"joined":          {fmt.Errorf("%w: %w", conflict, secret), 409, `{"statusCode":409,"code":"already_exists","message":"already exists"}`, false},
		"too large":       {fault.New(fault.TooLarge, "too_large", "m"), 413, `{"statusCode":413,"code":"too_large","message":"m"}`, false},
		"invalid": {
			web.Invalid(web.FieldError{Field: "a", Code: "c", Message: "m"}), 422,
			`{"statusCode":422,"code":"validation_failed","message":"invalid input: a: m","errors":[{"field":"a","code":"c","message":"m"}]}`, false,
		},
		"not JSON":    {notJSON(t), 400, `{"statusCode":400,"code":"malformed","message":"the body is empty, want JSON"}`, false},
		"moving":      {fault.New(fault.Moving, "moving", "m"), 423, `{"statusCode":423,"code":"moving","message":"m"}`, false},
		"throttled":   {fault.New(fault.Throttled, "throttled", "m"), 429, `{"statusCode":429,"code":"throttled","message":"m"}`, false},
		"unavailable": {fmt.Errorf("at 10.0.0.7: %w", fault.New(fault.Unavailable, "down", "m")), 503, `{"statusCode":503,"code":"down","message":"m"}`, true},
		"no connection": {
			fmt.Errorf("x: %w", &net.OpError{Op: "dial", Err: secret}), 503,
			`{"statusCode":503,"code":"unavailable","message":"a backend does not answer: try again"}`, true,
		},
		"cut off": {
			fmt.Errorf("x: %w", io.ErrUnexpectedEOF), 503,
			`{"statusCode":503,"code":"unavailable","message":"a backend does not answer: try again"}`, true,
		},
		"too slow":      {fmt.Errorf("x: %w", context.DeadlineExceeded), 503, `{"statusCode":503,"code":"timeout","message":"this took too long: try again, or ask for less"}`, true},
		"shutting down": {sqlState("57P01"), 503, `{"statusCode":503,"code":"unavailable","message":"a backend does not answer: try again"}`, true},
		"bad SQL":       {sqlState("42601"), 500, `{"statusCode":500,"code":"internal","message":"internal error"}`, true},
		"internal":      {secret, 500, `{"statusCode":500,"code":"internal","message":"internal error"}`, true},
		"coded":         {fault.New(fault.Internal, "no_tenant", "m"), 500, `{"statusCode":500,"code":"internal","message":"internal error"}`, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/x", http.NoBody)
			r = r.WithContext(web.WithRequestID(r.Context(), "req-1"))
			w := httptest.NewRecorder()
			w.Header().Set("Content-Disposition", "attachment")
			web.WriteError(w, r, c.err, slog.New(slog.NewTextHandler(&log, nil)))
			require.Equal(t, c.status, w.Code)
			require.JSONEq(t, c.body, w.Body.String())
			require.Equal(t, "application/json", w.Header().Get("Content-Type"))
			require.Empty(t, w.Header().Get("Content-Disposition"), "an error is no attachment")
			require.Equal(t, c.status == 429 || c.status == 503, w.Header().Get("Retry-After") != "", "when to come again, in seconds")
			if !c.logged {
				require.Empty(t, log.String())
				return
			}
			require.Contains(t, log.String(), "requestId=req-1")
			require.Contains(t, log.String(), "level=ERROR")
		})
	}
}

// notJSON is what DecodeJSON says of a body without anything, and with no field to name.
func notJSON(t *testing.T) error {
	t.Helper()
	err := web.DecodeJSON(httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", http.NoBody), new(struct{}))
	require.Error(t, err)
	return err
}

func TestRetryAfterOfTheHandlerStays(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	w.Header().Set("Retry-After", "60")
	web.WriteError(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/x", http.NoBody), fault.New(fault.Throttled, "throttled", "m"), nil)
	require.Equal(t, "60", w.Header().Get("Retry-After"))
}

func TestClientThatWentAwayIsNoError(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/x", http.NoBody)
	web.WriteError(httptest.NewRecorder(), r, ctx.Err(), slog.New(slog.NewTextHandler(&log, nil)))
	require.Empty(t, log.String())
}

func TestWrite(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	require.NoError(t, web.WriteData(w, http.StatusCreated, map[string]int{"n": 1}))
	require.Equal(t, 201, w.Code)
	require.JSONEq(t, `{"data":{"n":1}}`, w.Body.String())

	w = httptest.NewRecorder()
	require.NoError(t, web.WriteList[int](w, nil, web.Meta{Total: web.Total(0), Page: 1, PageSize: 50}))
	require.JSONEq(t, `{"data":[],"meta":{"total":0,"page":1,"pageSize":50,"hasMore":false}}`, w.Body.String())

	w = httptest.NewRecorder()
	require.NoError(t, web.WriteList(w, []int{1}, web.Meta{Total: web.Total(-1), TotalIsEstimate: true, Page: 1, PageSize: 1, HasMore: true, NextCursor: "c"}))
	require.JSONEq(t, `{"data":[1],"meta":{"total":null,"totalIsEstimate":true,"page":1,"pageSize":1,"hasMore":true,"nextCursor":"c"}}`, w.Body.String())

	w = httptest.NewRecorder()
	require.Error(t, web.WriteJSON(w, http.StatusOK, make(chan int)))
	require.Empty(t, w.Body.String(), "an error can still be written")
}
