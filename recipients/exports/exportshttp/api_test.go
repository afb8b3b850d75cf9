package exportshttp_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"

	"github.com/stratakit/strata"
	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/bulk/bulkhttp"
	"github.com/stratakit/strata/imports"
	"github.com/stratakit/strata/imports/importshttp"
	"github.com/stratakit/strata/internal/dbtest"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/internal/web"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/recipients/exports"
	"github.com/stratakit/strata/recipients/exports/exportshttp"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

type world struct {
	*tenancytest.Env
	s     *strata.Strata
	local *imports.LocalStore
	api   *tenancytest.HTTP
	base  string
}

// open serves exports of a domain with two recipients, of which more than limit are a job.
func open(t *testing.T, limit int) *world {
	t.Helper()
	w := &world{Env: tenancytest.Open(t)}
	w.base = "/domains/" + w.A.DomainID.String() + "/recipients/export"
	var err error
	w.local, err = imports.OpenLocal(t.TempDir(), &url.URL{Path: importshttp.UploadPath}, bytes.Repeat([]byte("s"), 32))
	require.NoError(t, err)
	t.Cleanup(func() { _ = w.local.Bucket.Close() })
	w.s, err = strata.New(t.Context(), w.Pool, w.Redis, &strata.Config{
		Bucket: w.local.Bucket, Exports: exports.Config{InlineLimit: limit, TempDir: t.TempDir()}, Log: slog.New(slog.DiscardHandler),
		Runner: bulk.Config{Poll: 200 * time.Millisecond},
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, w.s.Stop(context.Background())) })
	w.api = w.Serve(t, nil, exportshttp.New(w.s.Exports, w.local), importshttp.New(w.s.Imports, w.local, w.s.Guard), bulkhttp.New(w.s.Runner))
	for _, email := range []string{"ada@example.com", "bo@example.com"} {
		_, err := w.s.Recipients.Create(w.A.Ctx, recipients.New{Email: email})
		require.NoError(t, err)
	}
	return w
}

func (w *world) start(t *testing.T) {
	t.Helper()
	require.NoError(t, w.s.Start(t.Context()))
}

// job begins an export that is one, and returns its path.
func (w *world) job(t *testing.T) string {
	t.Helper()
	rec := w.api.Do(t, "a", http.MethodPost, w.base, `{"format":"csv","columns":["email"]}`)
	require.Equal(t, http.StatusAccepted, rec.Code, rec.Body.String())
	var started struct {
		JobID, Status string
		Estimated     int
	}
	require.NoError(t, json.Unmarshal(rec.Body.Bytes(), &started))
	require.Equal(t, []any{"queued", 2}, []any{started.Status, started.Estimated})
	return w.base + "s/" + started.JobID
}

// done waits for an export to be completed.
func (w *world) done(t *testing.T, path string) (e exports.Export) {
	t.Helper()
	require.Eventually(t, func() bool {
		e = tenancytest.RequireData[exports.Export](t, w.api.Do(t, "a", http.MethodGet, path), http.StatusOK)
		return e.Status.Final()
	}, time.Minute, 5*time.Millisecond)
	require.Equal(t, bulk.StateCompleted, e.Status, e.Error)
	return e
}

// one returns the one value that a statement returns in the domain of company A.
func one[T any](t *testing.T, w *world, q string, args ...any) (v T) {
	t.Helper()
	require.NoError(t, w.DB.Read(w.A.Ctx, q, args, func(rows pgx.Rows) (err error) {
		v, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[T])
		return err
	}))
	return v
}

func TestSmallExportIsTheAnswer(t *testing.T) {
	t.Parallel()
	w := open(t, 2)
	rec := w.api.Do(t, "a", http.MethodPost, w.base, `{"format":"csv","filter":"email.startsWith(\"a\")","columns":["email","status"]}`)
	require.Equal(t, http.StatusOK, rec.Code, rec.Body.String())
	require.Equal(t, "email,status\r\nada@example.com,active\r\n", rec.Body.String())
	require.Equal(t, "text/csv; charset=utf-8", rec.Header().Get("Content-Type"))
	require.Equal(t, "nosniff", rec.Header().Get("X-Content-Type-Options"))
	require.Regexp(t, `^attachment; filename=recipients-\d{4}-\d\d-\d\d\.csv$`, rec.Header().Get("Content-Disposition"))

	rec = w.api.Do(t, "workspace admin", http.MethodPost, w.base, `{"format":"jsonl"}`)
	require.Equal(t, http.StatusOK, rec.Code)
	require.Equal(t, 2, strings.Count(rec.Body.String(), "\n"))
	tenancytest.RequireError(t, w.api.Do(t, "member", http.MethodPost, w.base, `{"format":"csv"}`), http.StatusForbidden, "forbidden")
	for body, want := range map[string][]any{
		`{"format":"pdf"}`:                     {422, "validation_failed"},
		`{}`:                                   {422, "validation_failed"},
		`{"format":"csv","filter":"nope =="}`:  {422, "invalid_filter"},
		`{"format":"csv","search":"a\u0000b"}`: {400, "invalid_text"},
		`{"format":"csv","fileName":"a\r\nSet-X: 1"}`: {400, "unknown_field"},
	} {
		tenancytest.RequireError(t, w.api.Do(t, "a", http.MethodPost, w.base, body), want[0].(int), want[1].(string))
	}
}

func TestLargeExportIsAJob(t *testing.T) {
	t.Parallel()
	w := open(t, 1)
	path := w.job(t)
	e := tenancytest.RequireData[exports.Export](t, w.api.Do(t, "a", http.MethodGet, path), http.StatusOK)
	require.Equal(t, bulk.StateQueued, e.Status)
	tenancytest.RequireError(t, w.api.Do(t, "a", http.MethodPost, w.base, `{"format":"csv","columns":["email"]}`), http.StatusConflict, "already_running")
	w.start(t)
	e = w.done(t, path)

	get := func(signed string) (int, string) {
		t.Helper()
		rec := w.api.Do(t, "nobody", http.MethodGet, signed)
		return rec.Code, rec.Body.String()
	}
	rec := w.api.Do(t, "nobody", http.MethodGet, e.Download.URL) // all the permission it needs
	require.Equal(t, http.StatusOK, rec.Code, rec.Body.String())
	require.ElementsMatch(t, []string{"email", "ada@example.com", "bo@example.com"}, strings.Fields(rec.Body.String()))
	require.Equal(t, []string{e.Download.ContentType, "nosniff", "attachment; filename=" + e.FileName, `"` + e.Download.SHA256 + `"`, fmt.Sprint(e.Download.Size)},
		[]string{rec.Header().Get("Content-Type"), rec.Header().Get("X-Content-Type-Options"), rec.Header().Get("Content-Disposition"), rec.Header().Get("ETag"), rec.Header().Get("Content-Length")})

	// Nothing but what was signed, for what it was signed for.
	signed, err := url.Parse(e.Download.URL)
	require.NoError(t, err)
	q := signed.Query()
	change := func(name, value string) string {
		changed := url.Values{}
		for k := range q {
			changed.Set(k, q.Get(k))
		}
		changed.Set(name, value)
		return importshttp.UploadPath + "?" + changed.Encode()
	}
	upload, err := w.s.Imports.CreateFromReader(w.A.Ctx, "people.csv", strings.NewReader("email\ncy@example.com\n"))
	require.NoError(t, err)
	uploaded := one[string](t, w, `SELECT object_key FROM strata.imports WHERE id = $1`, upload.ID)
	sign := func(key, method string) string {
		t.Helper()
		u, err := w.local.Bucket.SignedURL(t.Context(), key, &blob.SignedURLOptions{Method: method, Expiry: time.Minute})
		require.NoError(t, err)
		return u
	}
	for what, u := range map[string]string{
		"another expiry":  change("expiry", "99999999999"),
		"another key":     change("obj", uploaded),
		"no signature":    importshttp.UploadPath + "?obj=" + url.QueryEscape(q.Get("obj")),
		"for an upload":   sign(q.Get("obj"), http.MethodPut),
		"of an import":    sign(uploaded, http.MethodGet),
		"of nobody":       sign("exports/a/b/c", http.MethodGet),
		"a guessed key":   sign(q.Get("obj")[:len(q.Get("obj"))-1]+"_", http.MethodGet),
		"with B's domain": sign(strings.Replace(q.Get("obj"), w.A.DomainID.String(), w.B.DomainID.String(), 1), http.MethodGet),
	} {
		status, body := get(u)
		require.Equal(t, http.StatusForbidden, status, "%s: %s", what, body)
		require.Contains(t, body, "download_url_invalid", what)
	}
}

func TestIsolation(t *testing.T) {
	t.Parallel()
	w := open(t, 1)
	path := w.job(t)
	w.start(t)
	w.done(t, path)
	var routes []web.Route
	for _, rt := range w.api.Routes {
		if strings.Contains(rt.Path, "/recipients/export") || rt.Name == "downloadFile" {
			routes = append(routes, rt)
		}
	}
	require.Len(t, routes, 3)
	w.RequireIsolation(t, tenancytest.Isolation{
		Handler: w.api.Handler, Routes: routes, Values: map[string]string{"jobID": path[strings.LastIndex(path, "/")+1:]},
		Bodies: map[string]string{"exportRecipients": `{"format":"csv"}`}, Untenanted: []string{"GET /uploads"}, // a signature protects it: TestLargeExportIsAJob
	})
	require.Equal(t, 1, one[int](t, w, `SELECT count(*)::int FROM strata.recipient_exports`))
}
