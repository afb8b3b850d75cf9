package recipientshttp_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/bulk/bulkhttp"
	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/recipients/operations"
	"github.com/stratakit/strata/recipients/recipientshttp"
	"github.com/stratakit/strata/tenancy"
)

// openBulk serves operations, of which more than three recipients are work for a run.
func openBulk(t *testing.T) (*world, *bulk.Runner) {
	t.Helper()
	w := &world{Env: tenancytest.Open(t)}
	var err error
	w.fields, err = customfields.NewRegistry(w.DB, w.Redis, w.Limits, w.Audit, nil)
	require.NoError(t, err)
	w.store, err = recipients.NewStore(w.DB, w.fields, w.Limits, w.Audit, nil)
	require.NoError(t, err)
	resolver, err := tenancy.NewResolver(w.DB, w.Redis, nil)
	require.NoError(t, err)
	t.Cleanup(resolver.Close)
	runner, err := bulk.NewRunner(w.DB, w.Redis, w.Audit, resolver, &bulk.Config{Poll: 200 * time.Millisecond, Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	ops, err := operations.New(w.store, runner, &bulk.OperationsConfig{InlineLimit: 3})
	require.NoError(t, err)
	w.HTTP = w.Serve(t, nil, recipientshttp.New(w.store), recipientshttp.NewBulk(w.store, ops), bulkhttp.New(runner))
	w.base = base(w.A)
	_, err = w.fields.Create(w.A.WorkspaceCtx, customfields.Field{Key: "tier", Type: customfields.Select, Options: []string{"gold", "silver"}, Filterable: true})
	require.NoError(t, err)
	return w, runner
}

func TestBulk(t *testing.T) {
	t.Parallel()
	w, runner := openBulk(t)
	var ids []string
	for _, name := range []string{"ada", "bo", "cy"} {
		ids = append(ids, w.create(t, `{"email":"`+name+`@example.com","customFields":{"tier":"silver"}}`).ID.String())
	}
	path := w.base + "/bulk"
	answer := func(status int, want, body string) {
		t.Helper()
		rec := w.Do(t, "a", "POST", path, body)
		require.Equal(t, status, rec.Code, rec.Body.String())
		require.JSONEq(t, want, rec.Body.String())
	}
	var dry struct {
		Status    string
		Affected  int
		Estimated int
		Sample    []recipients.Recipient
	}
	rec := w.Do(t, "a", "POST", path, `{"op":"set","set":{"fields.tier":"gold"},"filter":"fields.tier == \"silver\"","dryRun":true}`)
	require.Equal(t, 200, rec.Code)
	require.NoError(t, json.Unmarshal(rec.Body.Bytes(), &dry))
	require.Equal(t, []any{"dry_run", 0, 3, 3}, []any{dry.Status, dry.Affected, dry.Estimated, len(dry.Sample)})
	require.Equal(t, "ada@example.com", dry.Sample[0].Email)

	answer(200, `{"status":"completed","affected":3,"unchanged":0,"missing":0,"failed":0}`, `{"op":"set","set":{"fields.tier":"gold"},"filter":"fields.tier == \"silver\""}`)
	answer(200, `{"status":"completed","affected":0,"unchanged":1,"missing":1,"failed":0}`, `{"op":"set","set":{"fields.tier":"gold"},"ids":["`+ids[0]+`","01900000-0000-7000-8000-000000000000"]}`)
	answer(200, `{"status":"completed","affected":1,"unchanged":0,"missing":0,"failed":0}`, `{"op":"delete","search":"cy@"}`)
	answer(200, `{"status":"completed","affected":1,"unchanged":0,"missing":0,"failed":0}`, `{"op":"restore","all":true}`)
	answer(200, `{"status":"completed","affected":1,"unchanged":0,"missing":0,"failed":0}`, `{"op":"set","set":{"status":"bounced"},"ids":["`+ids[0]+`"]}`)
	answer(200, `{"status":"completed","affected":0,"unchanged":2,"missing":0,"failed":1,"failures":[{"id":"`+ids[0]+`","code":"validation_failed",
		"message":"invalid input: statusReason: must say why, because the recipient is bounced: only then it can become less strict"}]}`, `{"op":"set","set":{"status":"active"},"all":true}`)

	w.create(t, `{"email":"di@example.com","customFields":{"tier":"silver"}}`)
	const all = `{"op":"set","set":{"status":"active"},"all":true}`
	rec = w.Do(t, "a", "POST", path, all)
	require.Equal(t, 202, rec.Code, rec.Body.String())
	var queued struct {
		JobID     string
		Status    string
		Estimated int
	}
	require.NoError(t, json.Unmarshal(rec.Body.Bytes(), &queued))
	require.Equal(t, []any{"queued", 4}, []any{queued.Status, queued.Estimated})
	rec = w.Do(t, "a", "POST", path, all)
	tenancytest.RequireError(t, rec, 409, "already_running")
	require.Contains(t, rec.Body.String(), `"jobId":"`+queued.JobID+`"`)

	require.NoError(t, runner.Start(t.Context()))
	t.Cleanup(func() { require.NoError(t, runner.Stop(context.Background())) })
	jobs := "/domains/" + w.A.DomainID.String() + "/jobs/"
	var job bulkhttp.Job
	require.Eventually(t, func() bool {
		job = tenancytest.RequireData[bulkhttp.Job](t, w.Do(t, "a", "GET", jobs+queued.JobID), 200)
		return job.Status.Final()
	}, 30*time.Second, 10*time.Millisecond)
	require.Equal(t, map[string]int64{"changed": 0, "unchanged": 3, "missing": 0, "failed": 1}, job.Counters)
	failures := tenancytest.RequireList[bulk.Failure](t, w.Do(t, "a", "GET", jobs+queued.JobID+"/failures"))
	require.Len(t, failures.Data, 1)
	require.Equal(t, []any{ids[0], "validation_failed", int64(1)}, []any{failures.Data[0].ID.String(), failures.Data[0].Code, *failures.Meta.Total})
	tenancytest.RequireError(t, w.Do(t, "b", "GET", "/domains/"+w.B.DomainID.String()+"/jobs/"+queued.JobID+"/failures"), 404, "not_found")
	tenancytest.RequireError(t, w.Do(t, "a", "GET", jobs+absent[1:]+"/failures"), 404, "not_found")
}

func TestBulkRefusals(t *testing.T) {
	t.Parallel()
	w, _ := openBulk(t)
	r := w.create(t, `{"email":"ada@example.com"}`)
	path := w.base + "/bulk"
	for _, c := range []struct {
		body   string
		status int
		code   string
		fields map[string]string
	}{
		{``, 400, "malformed", nil},
		{`{"op":"set","sets":{}}`, 400, "unknown_field", map[string]string{"sets": "unknown_field"}},
		{`{"op":"sett","all":true}`, 422, "validation_failed", map[string]string{"op": "unknown_operation"}},
		{`{"all":true}`, 422, "validation_failed", map[string]string{"op": "unknown_operation"}},
		{
			`{"op":"set","set":{"teir":"gold","fields.teir":"gold"}}`, 422, "validation_failed",
			map[string]string{"filter": "required", "set.teir": "unknown_field", "set.fields.teir": "unknown_field"},
		},
		{`{"op":"set","all":true}`, 422, "validation_failed", map[string]string{"set": "required"}},
		{`{"op":"set","set":{"name":"x"},"all":true,"filter":"status == \"active\""}`, 422, "validation_failed", map[string]string{"filter": "ambiguous"}},
		{`{"op":"set","set":{"name":"x"},"ids":[]}`, 422, "validation_failed", map[string]string{"ids": "required"}},
		{`{"op":"set","set":{"name":"x"},"filter":"fields.teir == 1"}`, 422, "invalid_filter", nil},
		{`{"op":"set","set":{"name":"x"},"args":{},"all":true}`, 422, "validation_failed", map[string]string{"args": "ambiguous"}},
		{`{"op":"delete","set":{"name":"x"},"all":true}`, 422, "validation_failed", map[string]string{"set": "unknown_field"}},
		{`{"op":"enroll","product":"sms","all":true}`, 422, "validation_failed", map[string]string{"product": "unknown_extension"}},
		{`{"op":"delete","ids":["x"]}`, 422, "validation_failed", nil},
	} {
		e := tenancytest.RequireError(t, w.Do(t, "a", "POST", path, c.body), c.status, c.code)
		if c.fields != nil {
			require.Equal(t, c.fields, fieldCodes(e), c.body)
		}
	}
	const all = `{"op":"delete","all":true}`
	tenancytest.RequireError(t, w.Do(t, "member", "POST", path, all), 403, "forbidden")
	tenancytest.RequireError(t, w.Do(t, "b", "POST", path, all), 404, "not_found")
	tenancytest.RequireError(t, w.Do(t, "nobody", "POST", path, all), 401, "unauthenticated")

	// To another tenant a recipient is not there, in its own domain neither.
	rec := w.Do(t, "b", "POST", strings.Replace(path, w.A.DomainID.String(), w.B.DomainID.String(), 1), `{"op":"delete","ids":["`+r.ID.String()+`"]}`)
	require.JSONEq(t, `{"status":"completed","affected":0,"unchanged":0,"missing":1,"failed":0}`, rec.Body.String())
	_, err := w.store.Get(w.A.Ctx, r.ID)
	require.NoError(t, err)
}
