package importshttp_test

import (
	"fmt"
	"net/http"
	"path"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/imports"
	"github.com/stratakit/strata/internal/web"
	"github.com/stratakit/strata/tenancy"
)

// merge corrects an import by a report that is uploaded, and follows the work to its end.
func (w *world) merge(t *testing.T, job, report string) (reportJob string) {
	t.Helper()
	reportJob = w.upload(t, report)
	got := decode[map[string]any](t, w.do(t, "a", "POST", reportJob+"/process", fmt.Sprintf(`{"corrects":%q,"options":{"delimiter":";"}}`, path.Base(job))), 202)
	require.Equal(t, map[string]any{"jobId": path.Base(reportJob), "status": "validating"}, got)
	events := w.do(t, "a", "GET", strings.Replace(reportJob, "/recipients/imports/", "/jobs/", 1)+"/progress", "").Body.String()
	require.Contains(t, events[strings.LastIndex(events, "data: ")+1:], `"status":"completed"`)
	return reportJob
}

// A client corrects errors.csv before the commit and after it.
func TestCorrectedReport(t *testing.T) {
	t.Parallel()
	w := open(t)
	require.NoError(t, w.s.Start(t.Context()))
	job := w.upload(t, "email,name\nada@example.com,Ada\nbad,Bo\nworse,Cy\n")
	w.work(t, job, "process", imports.Validating)
	fix := func(bad, good string) string {
		report := w.do(t, "a", "GET", job+"/errors.csv", "").Body.String()
		require.Contains(t, report, bad)
		return strings.ReplaceAll(strings.ReplaceAll(report, bad+",", good+","), ",", ";")
	}
	report := w.merge(t, job, fix("bad", "bo@example.com"))
	state := decode[web.Data[map[string]any]](t, w.do(t, "a", "GET", report, ""), 200).Data
	require.Subset(t, state, map[string]any{"status": "merged", "corrects": path.Base(job), "totalRows": 2.0, "processedRows": 2.0, "new": 1.0, "invalid": 1.0})
	for call, method := range map[string]string{"/commit": "POST", "/cancel": "POST", "/undo": "POST", "/process": "POST", "/preview": "GET", "/errors.csv": "GET"} {
		refused(t, w.do(t, "a", method, report+call, ""), 409, "wrong_state", "merged")
	}
	p := decode[map[string]any](t, w.do(t, "a", "GET", job+"/preview", ""), 200)
	require.Subset(t, p, map[string]any{"status": "preview", "new": 2.0, "errorRows": 1.0})
	require.NotContains(t, p, "corrects")
	w.work(t, job, "commit", imports.Processing)
	w.merge(t, job, fix("worse", "cy@example.com"))
	p = decode[map[string]any](t, w.do(t, "a", "GET", job+"/preview", ""), 200)
	require.Subset(t, p, map[string]any{"status": "preview", "round": 1.0, "new": 1.0, "inserted": 2.0, "errorRows": 0.0, "limit": map[string]any{"resource": "recipients", "existing": 2.0, "incoming": 1.0, "limit": nil, "over": 0.0}})
	require.Equal(t, []any{map[string]any{"row": 4.0, "verdict": "new", "data": map[string]any{"email": "cy@example.com", "name": "Cy", "customFields": map[string]any{}}}}, p["sampleData"], "of the round only")
	w.work(t, job, "commit", imports.Processing)
	done := decode[web.Data[imports.Import]](t, w.do(t, "a", "GET", job, ""), 200).Data
	require.Equal(t, []any{imports.Done, int64(3), int64(3), int64(0)}, []any{done.Status, done.ProcessedRows, done.Inserted, done.Invalid})
}

func TestCorrectRefuses(t *testing.T) {
	t.Parallel()
	w := open(t)
	job, report := w.upload(t, "email\nbad\n"), w.upload(t, "email,__row\na@example.com,2\n")
	body := func(of, more string) string { return fmt.Sprintf(`{"corrects":%q%s}`, of, more) }
	refused(t, w.do(t, "a", "POST", report+"/process", body(path.Base(job), "")), 409, "wrong_state", "pending")
	require.NoError(t, w.s.Start(t.Context()))
	w.work(t, job, "process", imports.Validating)
	for _, c := range [][]any{
		{body("nonsense", ""), 404, "import_not_found"},
		{body(tenancy.NewID[imports.Import]().String(), ""), 404, "import_not_found"},
		{body(path.Base(report), ""), 422, "validation_failed", "corrects not_allowed"},
		{`{"corrects":7}`, 422, "validation_failed", "corrects wrong_type"},
		{body(path.Base(job), `,"mapping":{"email":"email"}`), 422, "validation_failed", "mapping not_allowed"},
		{
			body(path.Base(job), `,"options":{"conflict":"skip","createFields":true,"formats":{},"join":{},"split":{},"constants":{}}`), 422, "validation_failed",
			"options.conflict not_allowed", "options.constants not_allowed", "options.createFields not_allowed", "options.formats not_allowed", "options.join not_allowed", "options.split not_allowed",
		},
		{body(path.Base(job), `,"options":{"headerRow":9}`), 422, "validation_failed", "options.headerRow out_of_range"},
	} {
		refused(t, w.do(t, "a", http.MethodPost, report+"/process", c[0].(string)), c[1:]...)
	}
	refused(t, w.do(t, "a", "POST", w.upload(t, "name,__row\nA,2\n")+"/process", body(path.Base(job), "")), 422, "other_columns")
	refused(t, w.do(t, "a", "POST", w.upload(t, "email\na@example.com\n")+"/process", body(path.Base(job), "")), 422, "no_row_column")

	// Another tenant learns nothing of an import, whichever of the two it names.
	theirs := "/domains/" + w.B.DomainID.String() + "/recipients/imports"
	up := decode[imports.Upload](t, w.do(t, "b", "POST", theirs+"/upload-url", `{"fileName":"x.csv","size":30}`), 201)
	refused(t, w.do(t, "b", "POST", theirs+"/"+up.ID.String()+"/process", body(path.Base(job), "")), 404, "import_not_found")
	refused(t, w.do(t, "b", "POST", theirs+"/"+path.Base(report)+"/process", body(path.Base(job), "")), 404, "import_not_found")
	refused(t, w.do(t, "a", "POST", report+"/process", body(up.ID.String(), "")), 404, "import_not_found")
	require.Equal(t, 403, w.do(t, "member", "POST", report+"/process", body(path.Base(job), "")).Code)
	require.Equal(t, 202, w.do(t, "a", "POST", report+"/process", body(path.Base(job), "")).Code)
}
