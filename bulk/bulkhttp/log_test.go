package bulkhttp_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/bulk/bulkhttp"
	"github.com/stratakit/strata/internal/web"
	"github.com/stratakit/strata/tenancy"
)

// post sends a body and returns the status and the answer.
func (w *world) post(t *testing.T, who, path, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.server.URL+path, strings.NewReader(body))
	require.NoError(t, err)
	r.Header.Set("Authorization", who)
	r.Header.Set("Content-Type", "application/json")
	res, err := w.server.Client().Do(r)
	require.NoError(t, err)
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res.StatusCode, string(answer)
}

func (w *world) log(t *testing.T, who, path string) bulkhttp.Log {
	t.Helper()
	res := w.do(t, who, "GET", path+"/attempts")
	require.Equal(t, http.StatusOK, res.StatusCode)
	var d web.Data[bulkhttp.Log]
	require.NoError(t, json.NewDecoder(res.Body).Decode(&d))
	return d.Data
}

// Dead letters, from their log to the retry, and what of it is for whom.
func TestDeadLetters(t *testing.T) {
	t.Parallel()
	w := open(t)
	var run bulk.Run
	require.NoError(t, w.DB.InTx(w.A.Ctx, func(tx *tenancy.Tx) (err error) {
		run, err = w.runner.SubmitTx(w.A.Ctx, tx, bulk.Submission{Kind: "count", DedupKey: "key", Args: map[string]string{"list": "a", "password": "hunter2"}})
		return err
	}))
	path := w.jobs() + "/" + run.ID.String()
	require.NoError(t, w.runner.Start(t.Context()))
	w.step <- errors.New("secret of the house")
	require.Eventually(t, func() bool { return w.job(t, "GET", path).Status == bulk.StateFailed }, 20*time.Second, 10*time.Millisecond)

	log := w.log(t, "a", path)
	require.JSONEq(t, `{"list": "a", "password": "[redacted]"}`, string(log.Args))
	require.Len(t, log.Attempts, 1)
	require.Equal(t, bulk.AttemptFailed, log.Attempts[0].Outcome)
	require.Equal(t, "internal error", log.Attempts[0].Error)
	require.Empty(t, log.Attempts[0].Stack+log.Attempts[0].Worker)
	log = w.log(t, "platform", path)
	require.Equal(t, "secret of the house", log.Attempts[0].Error)
	require.Contains(t, log.Attempts[0].Stack, "Batch returned")
	require.NotEmpty(t, log.Attempts[0].Worker)

	status, answer := w.post(t, "a", w.jobs()+"/retry", `{"kind": "another"}`)
	require.Equal(t, http.StatusOK, status)
	require.JSONEq(t, `{"affected": 0, "status": "completed", "hasMore": false, "conflicts": []}`, answer)
	require.NoError(t, w.runner.Stop(t.Context()))
	var active bulk.Run
	require.NoError(t, w.DB.InTx(w.A.Ctx, func(tx *tenancy.Tx) (err error) {
		active, err = w.runner.SubmitTx(w.A.Ctx, tx, bulk.Submission{Kind: "count", DedupKey: "key"})
		return err
	}))
	status, answer = w.post(t, "a", w.jobs()+"/retry", `{}`)
	require.Equal(t, http.StatusOK, status)
	require.JSONEq(t, `{"affected": 0, "status": "completed", "hasMore": false,
		"conflicts": [{"jobId": "`+run.ID.String()+`", "runningJobId": "`+active.ID.String()+`"}]}`, answer)
	require.Equal(t, http.StatusConflict, w.do(t, "a", "POST", path+"/retry").StatusCode)
	require.Equal(t, bulk.StateCancelled, w.job(t, "POST", w.jobs()+"/"+active.ID.String()+"/cancel").Status)
	status, answer = w.post(t, "a", w.jobs()+"/retry", `{"kind": "count"}`)
	require.Equal(t, http.StatusOK, status)
	require.JSONEq(t, `{"affected": 1, "status": "completed", "hasMore": false, "conflicts": []}`, answer)

	status, _ = w.post(t, "a", path+"/throttle", `{"perSecond": 5}`)
	require.Equal(t, http.StatusOK, status)
	for _, body := range []string{`{}`, `{"perSecond": -1}`} {
		status, answer = w.post(t, "a", path+"/throttle", body)
		require.Equal(t, http.StatusUnprocessableEntity, status)
		require.Contains(t, answer, "perSecond")
	}
	require.Equal(t, bulk.StateCancelled, w.job(t, "POST", path+"/cancel").Status)
	status, _ = w.post(t, "a", path+"/throttle", `{"perSecond": 5}`)
	require.Equal(t, http.StatusConflict, status)
	require.Equal(t, http.StatusNoContent, w.do(t, "a", "DELETE", path).StatusCode)
	require.Equal(t, http.StatusNotFound, w.do(t, "a", "DELETE", path).StatusCode)
	require.Equal(t, http.StatusNotFound, w.do(t, "a", "GET", path+"/attempts").StatusCode)
}
