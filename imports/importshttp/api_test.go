package importshttp_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata"
	"github.com/stratakit/strata/bulk/bulkhttp"
	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/imports"
	"github.com/stratakit/strata/imports/importshttp"
	"github.com/stratakit/strata/internal/dbtest"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/internal/web"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/access"
	"github.com/stratakit/strata/tenancy/tenancyhttp"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

type world struct {
	*tenancytest.Env
	s      *strata.Strata // not started: a run stays where it is
	api    *tenancytest.HTTP
	server *httptest.Server
	base   string
}

func open(t *testing.T) *world {
	t.Helper()
	return openWith(t, imports.Config{MaxFileSize: 1 << 20})
}

func openWith(t *testing.T, cfg imports.Config) *world {
	t.Helper()
	return openIn(t, tenancytest.Open(t), cfg, nil)
}

func openIn(t *testing.T, env *tenancytest.Env, cfg imports.Config, extensions *recipients.Registry) *world {
	t.Helper()
	w := &world{Env: env, server: httptest.NewUnstartedServer(nil)}
	w.base = "/domains/" + w.A.DomainID.String() + "/recipients/imports"
	uploads := &url.URL{Scheme: "http", Host: w.server.Listener.Addr().String(), Path: importshttp.UploadPath}
	local, err := imports.OpenLocal(t.TempDir(), uploads, bytes.Repeat([]byte("s"), 32))
	require.NoError(t, err)
	t.Cleanup(func() { _ = local.Bucket.Close() })
	w.s, err = strata.New(t.Context(), w.Pool, w.Redis, &strata.Config{Bucket: local.Bucket, Imports: cfg, Extensions: extensions, Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	w.api = w.Serve(t, &tenancyhttp.Config{Guard: w.s.Guard}, importshttp.New(w.s.Imports, local, w.s.Guard), bulkhttp.New(w.s.Runner))
	w.server.Config.Handler = w.api.Handler
	w.server.Start()
	t.Cleanup(func() { require.NoError(t, w.s.Stop(context.Background())) })
	t.Cleanup(w.server.Close)
	return w
}

// call makes a request to the server and returns the whole answer.
func (w *world) call(t *testing.T, method, target string, body io.Reader, header, value string) *httptest.ResponseRecorder {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, target, body)
	require.NoError(t, err)
	r.Header.Set(header, value)
	res, err := w.server.Client().Do(r)
	require.NoError(t, err)
	defer func() { _ = res.Body.Close() }()
	rec := httptest.NewRecorder()
	maps.Copy(rec.Header(), res.Header)
	rec.WriteHeader(res.StatusCode)
	_, err = io.Copy(rec, res.Body)
	require.NoError(t, err)
	return rec
}

func (w *world) do(t *testing.T, who, method, path, body string) *httptest.ResponseRecorder {
	t.Helper()
	return w.call(t, method, w.server.URL+path, strings.NewReader(body), "Authorization", who)
}

func (w *world) put(t *testing.T, target, contentType string, body io.Reader) *httptest.ResponseRecorder {
	t.Helper()
	return w.call(t, http.MethodPut, target, body, "Content-Type", contentType)
}

func decode[T any](t *testing.T, rec *httptest.ResponseRecorder, status int) (v T) {
	t.Helper()
	require.Equal(t, status, rec.Code, rec.Body.String())
	require.Equal(t, "application/json", rec.Header().Get("Content-Type"))
	require.NoError(t, json.Unmarshal(rec.Body.Bytes(), &v), rec.Body.String())
	return v
}

// announce returns where a file goes, and the path of its import.
func (w *world) announce(t *testing.T, size int) (up imports.Upload, job string) {
	t.Helper()
	up = decode[imports.Upload](t, w.do(t, "a", "POST", w.base+"/upload-url", fmt.Sprintf(`{"fileName":"x.csv","size":%d}`, size)), 201)
	require.Equal(t, map[string]string{"Content-Type": "text/csv"}, up.Headers)
	return up, w.base + "/" + up.ID.String()
}

func (w *world) upload(t *testing.T, file string) (job string) {
	t.Helper()
	up, job := w.announce(t, len(file))
	require.Equal(t, 201, w.put(t, up.URL, "text/csv", strings.NewReader(file)).Code)
	return job
}

// work makes a call that starts work, and follows the work to its end.
func (w *world) work(t *testing.T, job, call string, want imports.Status) {
	t.Helper()
	got := decode[map[string]any](t, w.do(t, "a", "POST", job+"/"+call, ""), 202)
	require.Equal(t, map[string]any{"jobId": path.Base(job), "status": string(want)}, got)
	w.follow(t, job)
}

// follow waits for the work of an import to end.
func (w *world) follow(t *testing.T, job string) {
	t.Helper()
	events := w.do(t, "a", "GET", strings.Replace(job, "/recipients/imports/", "/jobs/", 1)+"/progress", "").Body.String()
	require.Contains(t, events[strings.LastIndex(events, "data: ")+1:], `"status":"completed"`)
}

// refused holds an answer to an error: its status and code, the fields it names with
// what is wrong with each, and the state of the import when that is why.
func refused(t *testing.T, rec *httptest.ResponseRecorder, want ...any) {
	t.Helper()
	got := want[:2:2]
	for _, field := range tenancytest.RequireError(t, rec, want[0].(int), want[1].(string)).Errors {
		got = append(got, field.Field+" "+field.Code)
	}
	if now, ok := decode[map[string]any](t, rec, rec.Code)["status"]; ok {
		got = append(got, now)
	}
	require.Equal(t, want, got)
}

func TestUploadURL(t *testing.T) {
	t.Parallel()
	w := open(t)
	rec := w.do(t, "a", "POST", w.base+"/upload-url", `{"fileName":"people.tsv","size":12,"contentType":"text/tab-separated-values"}`)
	require.Equal(t, "no-store", rec.Header().Get("Cache-Control"))
	members, up := decode[map[string]any](t, rec, 201), decode[imports.Upload](t, rec, 201)
	require.Len(t, members, 4)
	require.Equal(t, map[string]any{"Content-Type": "text/tab-separated-values"}, members["headers"])
	require.Contains(t, up.URL, w.server.URL+importshttp.UploadPath+"?")
	require.True(t, up.ExpiresAt.After(time.Now()), "%s", up.ExpiresAt)
	imp := decode[web.Data[imports.Import]](t, w.do(t, "a", "GET", w.base+"/"+up.ID.String(), ""), 200).Data
	require.Equal(t, []any{imports.Pending, "people.tsv", int64(12)}, []any{imp.Status, imp.FileName, imp.Size})
	for _, c := range [][]any{
		{``, 400, "malformed"},
		{`{"fileName":`, 400, "malformed"},
		{`{"fileName":"a","size":1,"x":2}`, 400, "unknown_field", "x unknown_field"},
		{`{"fileName":"a","size":"1"}`, 422, "validation_failed", "size wrong_type"},
		{`{"fileName":"a","size":0}`, 422, "validation_failed", "size required"},
		{`{"fileName":"a","size":-1}`, 422, "validation_failed", "size out_of_range"},
		{`{"size":1}`, 422, "validation_failed", "fileName required"},
		{`{}`, 422, "validation_failed", "fileName required", "size required"},
		{`{"fileName":"/","size":1}`, 422, "validation_failed", "fileName invalid_text"},
		{`{"fileName":"a","size":1,"contentType":"a\nb"}`, 422, "validation_failed", "contentType invalid_text"},
		{fmt.Sprintf(`{"fileName":"a","size":%d}`, 1<<20+1), 413, "file_too_large"},
		{`{"fileName":"` + strings.Repeat("a", 1<<20) + `"}`, 413, "too_large"},
	} {
		refused(t, w.do(t, "a", "POST", w.base+"/upload-url", c[0].(string)), c[1:]...)
	}
}

func TestUploadProcessCancel(t *testing.T) {
	t.Parallel()
	w := open(t)
	file := "email\na@b.cc\n"
	up, job := w.announce(t, len(file))
	u, err := url.Parse(up.URL)
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(u.Query()), 5)
	for name, values := range u.Query() {
		for _, value := range []string{"", "1" + values[0]} {
			forged, q := *u, u.Query()
			q.Set(name, value)
			forged.RawQuery = q.Encode()
			refused(t, w.put(t, forged.String(), "text/csv", strings.NewReader(file)), 403, "upload_url_invalid")
		}
	}
	refused(t, w.put(t, w.server.URL+importshttp.UploadPath, "text/csv", strings.NewReader(file)), 403, "upload_url_invalid")
	refused(t, w.put(t, up.URL, "text/html", strings.NewReader(file)), 403, "upload_url_invalid")
	refused(t, w.put(t, up.URL, "text/csv", strings.NewReader(file+"x")), 413, "file_too_large")
	refused(t, w.put(t, up.URL, "text/csv", io.MultiReader(strings.NewReader(file+"x"))), 413, "file_too_large") // of unknown length
	refused(t, w.put(t, up.URL, "text/csv", strings.NewReader(file[1:])), 409, "file_changed")
	refused(t, w.do(t, "a", "POST", job+"/process", "{}"), 409, "not_uploaded")
	require.Equal(t, 201, w.put(t, up.URL, "text/csv", strings.NewReader(file)).Code)
	refused(t, w.put(t, up.URL, "text/csv", strings.NewReader(file)), 409, "already_uploaded")
	require.Equal(t, 202, w.do(t, "a", "POST", job+"/process", "{}").Code)
	refused(t, w.do(t, "a", "POST", job+"/process", "{}"), 409, "wrong_state", "validating")
	refused(t, w.do(t, "a", "GET", job+"/preview", ""), 409, "wrong_state", "validating")
	require.Equal(t, imports.Cancelled, decode[web.Data[imports.Import]](t, w.do(t, "a", "POST", job+"/cancel", ""), 200).Data.Status)
	for _, call := range []string{"/cancel", "/commit", "/process"} {
		refused(t, w.do(t, "a", "POST", job+call, ""), 409, "wrong_state", "cancelled")
	}
	refused(t, w.put(t, up.URL, "text/csv", strings.NewReader(file)), 403, "upload_url_invalid")
}

// The body of process may be left out, and may say that what is not supported is not wanted.
func TestProcessBodies(t *testing.T) {
	t.Parallel()
	w := open(t)
	for _, body := range []io.Reader{
		nil, strings.NewReader(""), io.MultiReader(strings.NewReader("")), io.MultiReader(strings.NewReader(" \n")), // the last two are chunked
		strings.NewReader(`{"options":{"sheet":"","createFields":false,"encoding":"utf-8","conflict":"skip"}}`),
		io.MultiReader(strings.NewReader(`{"mapping":{"email":"email"}}`)),
	} {
		target := w.server.URL + w.upload(t, "email\na@example.com\n") + "/process"
		require.Equal(t, 202, w.call(t, "POST", target, body, "Authorization", "a").Code)
	}
}

func TestProcessRefuses(t *testing.T) {
	t.Parallel()
	w := open(t)
	job := w.upload(t, "Mail;Name\na@example.com;A\n")
	for _, c := range [][]any{
		{`{"mapping":`, 400, "malformed"},
		{`{"options":{"sheets":1}}`, 400, "unknown_field", "sheets unknown_field"},
		{`{"options":{"encoding":"latin"}}`, 422, "validation_failed", "options.encoding unknown_encoding"},
		{`{"options":{"sheet":"People"}}`, 422, "validation_failed", "options.sheet not_supported"},
		{`{"options":{"createFields":"no"}}`, 422, "validation_failed", "options.createFields wrong_type"},
		{`{"options":{"conflict":"merge"}}`, 422, "validation_failed", "options.conflict unknown_policy"},
		{`{"options":{"delimiter":"x"}}`, 422, "bad_delimiter"},
		{`{"options":{"headerRow":-1}}`, 422, "validation_failed", "options.headerRow out_of_range"},
		{`{"options":{"headerRow":9}}`, 422, "validation_failed", "options.headerRow out_of_range"},
		{`{"mapping":{"Name":"name"}}`, 422, "validation_failed", "mapping no_email_column"},
		{`{"mapping":{"Mail":"email","Name":"email"}}`, 422, "validation_failed", "mapping.Name duplicate"},
		{`{"mapping":{"Mial":"email","Name":"fields.x"}}`, 422, "validation_failed", "mapping.Mial unknown_column", "mapping.Name unknown_target"},
	} {
		refused(t, w.do(t, "a", "POST", job+"/process", c[0].(string)), c[1:]...)
	}
	for file, code := range map[string]string{"PK\x03\x04...": "damaged_file", "%PDF-1.7\n": "not_csv", "first,last\nA,B\n": "no_email_column"} {
		refused(t, w.do(t, "a", "POST", w.upload(t, file)+"/process", ""), 422, code)
	}
	for call, method := range map[string]string{"/preview": "GET", "/errors.csv": "GET", "/commit": "POST", "/undo": "POST", "/undo.csv": "GET"} {
		rec := w.do(t, "a", method, job+call, "")
		refused(t, rec, 409, "wrong_state", "pending")
		require.Empty(t, rec.Header().Get("Content-Disposition"))
	}
}

func TestPreviewCommitAndReport(t *testing.T) {
	t.Parallel()
	w := open(t)
	require.NoError(t, w.s.Start(t.Context()))
	_, err := w.s.Recipients.Create(w.A.Ctx, recipients.New{Email: "old@example.com"})
	require.NoError(t, err)
	job := w.upload(t, "email,name\nnew@example.com,First\nold@example.com,Changed\n=bad,\"X, Y\"\nnew@example.com,Last\n")
	w.work(t, job, "process", imports.Validating)
	p := decode[map[string]any](t, w.do(t, "a", "GET", job+"/preview", ""), 200)
	require.Subset(t, p, map[string]any{
		"jobId": path.Base(job), "status": "preview", "totalRows": 4.0, "validRows": 2.0, "errorRows": 1.0, "new": 1.0, "update": 1.0, "unchanged": 0.0, "duplicate": 1.0,
		"limit": map[string]any{"resource": "recipients", "existing": 1.0, "incoming": 1.0, "limit": nil, "over": 0.0},
	})
	last := map[string]any{"email": "new@example.com", "name": "Last", "customFields": map[string]any{}}
	require.Contains(t, p["sampleData"], map[string]any{"row": 5.0, "verdict": "new", "data": last})
	require.Len(t, p["sampleErrors"], 1)
	rec := w.do(t, "a", "GET", job+"/preview", "")
	require.Contains(t, rec.Body.String(), `"sampleErrors":[{"row":4,"verdict":"invalid","errors":[{"column":"email","field":"email",`)
	rec = w.do(t, "a", "GET", job+"/errors.csv", "")
	require.Equal(t, "text/csv; charset=utf-8", rec.Header().Get("Content-Type"))
	require.Equal(t, `attachment; filename="errors.csv"`, rec.Header().Get("Content-Disposition"))
	require.Regexp(t, `^\x{FEFF}email,name,__row,__errors,__suggestion,__import\n'=bad,"X, Y",4,email: [^\n]+,[0-9a-f-]{36}\n$`, rec.Body.String())
	w.work(t, job, "commit", imports.Processing)
	for _, call := range []string{"/commit", "/cancel", "/process"} {
		refused(t, w.do(t, "a", "POST", job+call, ""), 409, "wrong_state", "done")
	}
	done := decode[web.Data[imports.Import]](t, w.do(t, "a", "GET", job, ""), 200).Data
	require.Equal(t, []int64{4, 1, 1, 1, 1, 0}, []int64{done.ProcessedRows, done.Inserted, done.Updated, done.Duplicate, done.Invalid, done.Skipped})

	refused(t, w.do(t, "a", "GET", job+"/undo.csv", ""), 409, "wrong_state", "done")
	name := "By hand"
	page, err := w.s.Recipients.List(w.A.Ctx, recipients.Query{Filter: `email == "new@example.com"`})
	require.NoError(t, err)
	_, err = w.s.Recipients.Update(w.A.Ctx, page.Items[0].ID, recipients.Change{Name: &name})
	require.NoError(t, err)
	w.work(t, job, "undo", imports.Undoing)
	done = decode[web.Data[imports.Import]](t, w.do(t, "a", "GET", job, ""), 200).Data
	require.Equal(t, []any{imports.Undone, int64(1), int64(1)}, []any{done.Status, done.Reverted, done.Kept})
	rec = w.do(t, "a", "GET", job+"/undo.csv", "")
	require.Equal(t, `attachment; filename="undo.csv"`, rec.Header().Get("Content-Disposition"))
	require.Equal(t, "recipientId,email,change,code,message\n"+page.Items[0].ID.String()+",new@example.com,inserted,edited,the recipient was changed since\n", rec.Body.String())
	refused(t, w.do(t, "a", "POST", job+"/undo", ""), 409, "wrong_state", "undone")
}

func TestOptionsOfColumns(t *testing.T) {
	t.Parallel()
	w := open(t)
	require.NoError(t, w.s.Start(t.Context()))
	_, err := w.s.Fields.Create(w.A.Ctx, customfields.Field{Key: "born", Type: customfields.Date})
	require.NoError(t, err)
	job := w.upload(t, "email,First,Second,born,Seats\nada@example.com,Ada,Berg,03/04/26,7\n")
	rec := w.do(t, "a", "POST", job+"/process", `{"options":{"formats":{"born":"MM/DD/YY"},"join":{"name":["First","Second"]},"constants":{"status":"inactive"},"createFields":true}}`)
	require.Equal(t, 202, rec.Code, rec.Body.String())
	require.Eventually(t, func() bool {
		return decode[web.Data[imports.Import]](t, w.do(t, "a", "GET", job, ""), 200).Data.Status == imports.Previewed
	}, time.Minute, 5*time.Millisecond)
	p := decode[map[string]any](t, w.do(t, "a", "GET", job+"/preview", ""), 200)
	require.Subset(t, p, map[string]any{
		"formats": map[string]any{"born": "MM/DD/YY", "Seats": "1234.56"}, "join": map[string]any{"name": []any{"First", "Second"}},
		"constants": map[string]any{"status": "inactive"}, "createdFields": []any{"seats"},
	})
	require.Equal(t, map[string]any{"email": "ada@example.com", "name": "Ada Berg", "status": "inactive", "customFields": map[string]any{"born": "2026-03-04T00:00:00.000000Z", "seats": 7.0}},
		p["sampleData"].([]any)[0].(map[string]any)["data"])
}

// Who may import may not have fields made: that is a permission of its own.
func TestCreatingFieldsNeedsItsPermission(t *testing.T) {
	t.Parallel()
	w := open(t)
	_, err := w.s.Access.CreateRole(w.A.CompanyCtx, access.Role{Key: "importer", Level: access.LevelWorkspace, Permissions: []access.Permission{access.RecipientsRead, access.RecipientsManage}})
	require.NoError(t, err)
	w.api.Actors["importer"] = tenancy.Actor{ID: "imp", Type: tenancy.ActorUser, CompanyID: w.A.CompanyID, Role: "importer"}
	job := w.upload(t, "email,Seats\nada@example.com,7\n")
	refused(t, w.do(t, "importer", "POST", job+"/process", `{"options":{"createFields":true}}`), 403, "forbidden")
	set, err := w.s.Fields.Current(w.A.Ctx)
	require.NoError(t, err)
	require.Empty(t, set.Fields)
	require.Equal(t, 202, w.do(t, "importer", "POST", job+"/process", `{}`).Code)
}

func TestCommitOverThePlan(t *testing.T) {
	t.Parallel()
	w := open(t)
	require.NoError(t, w.s.Start(t.Context()))
	require.NoError(t, w.s.Limits.ChangePlan(w.A.CompanyCtx, "free", nil)) // 1,000 recipients
	_, err := w.s.Recipients.Create(w.A.Ctx, recipients.New{Email: "there@example.com"})
	require.NoError(t, err)
	file := "email\n"
	for i := range 1000 {
		file += fmt.Sprintf("%d@example.com\n", i)
	}
	job := w.upload(t, file)
	w.work(t, job, "process", imports.Validating)
	budget := map[string]any{"resource": "recipients", "existing": 1.0, "incoming": 1000.0, "limit": 1000.0}
	rec := w.do(t, "a", "POST", job+"/commit", "")
	refused(t, rec, 402, "limit_exceeded")
	require.Subset(t, decode[map[string]any](t, rec, 402), budget)
	n, err := w.s.Recipients.Count(w.A.Ctx, "")
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
	preview := decode[map[string]any](t, w.do(t, "a", "GET", job+"/preview", ""), 200)
	budget["over"] = 1.0
	require.Equal(t, []any{"preview", budget}, []any{preview["status"], preview["limit"]}, "nothing is written or held")
}

func TestCommitAfterTheFieldsChanged(t *testing.T) {
	t.Parallel()
	w := open(t)
	require.NoError(t, w.s.Start(t.Context()))
	job := w.upload(t, "email\na@example.com\n")
	w.work(t, job, "process", imports.Validating)
	_, err := w.s.Fields.Create(w.A.Ctx, customfields.Field{Key: "late", Type: customfields.Text})
	require.NoError(t, err)
	refused(t, w.do(t, "a", "POST", job+"/commit", ""), 409, "fields_changed", "customFields.late added")
}

func TestWhoMayDoWhat(t *testing.T) {
	t.Parallel()
	w := open(t)
	require.NoError(t, w.s.Start(t.Context()))
	committed := w.upload(t, "email,note\nknown@example.com,x\n")
	w.work(t, committed, "process", imports.Validating)
	w.work(t, committed, "commit", imports.Processing)
	mappings := "/workspaces/" + w.A.WorkspaceID.String() + "/import-mappings"
	saved := tenancytest.RequireList[imports.SavedMapping](t, w.do(t, "a", "GET", mappings, ""))
	require.Len(t, saved.Data, 1)
	mapping := saved.Data[0].ID.String()
	job := w.upload(t, "email\nsecret@example.com\nbad\n")
	w.work(t, job, "process", imports.Validating)
	for _, rt := range importshttp.New(w.s.Imports, nil, nil).Routes() {
		target := strings.NewReplacer("{domainID}", w.A.DomainID.String(), "{jobID}", path.Base(job), "{workspaceID}", w.A.WorkspaceID.String(), "{mappingID}", mapping).Replace(rt.Path)
		refused(t, w.do(t, "", rt.Method, target, ""), 401, "unauthenticated")
		want := map[string]int{"GET": 200, "POST": 403, "DELETE": 403}[rt.Method]
		if rt.Name == "importUndoReport" {
			want = 409 // nothing was undone
		}
		require.Equal(t, want, w.do(t, "member", rt.Method, target, "").Code, target)
		for _, id := range []string{"nonsense", tenancy.NewID[imports.Import]().String()} {
			if unknown := strings.Replace(target, path.Base(job), id, 1); unknown != target {
				refused(t, w.do(t, "a", rt.Method, unknown, ""), 404, "import_not_found")
			}
		}
	}
	w.RequireIsolation(t, tenancytest.Isolation{ // every answer to B is the one for ids that nobody has
		Handler: w.api.Handler, Routes: w.api.Routes, Values: map[string]string{"jobID": path.Base(job), "mappingID": mapping}, Bodies: map[string]string{"throttleJob": `{"perSecond": 5}`},
		Untenanted: []string{"PUT " + importshttp.UploadPath, "GET /openapi.json", "GET /healthz", "GET /readyz"},
	})
	require.Equal(t, imports.Previewed, decode[web.Data[imports.Import]](t, w.do(t, "a", "GET", job, ""), 200).Data.Status, "nothing of A was changed")
	refused(t, w.do(t, "a", "DELETE", mappings+"/nonsense", ""), 404, "mapping_not_found")
	require.Equal(t, 204, w.do(t, "a", "DELETE", mappings+"/"+mapping, "").Code)
	refused(t, w.do(t, "a", "DELETE", mappings+"/"+mapping, ""), 404, "mapping_not_found")
}
