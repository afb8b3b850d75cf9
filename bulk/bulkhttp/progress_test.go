package bulkhttp_test

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/bulk"
)

// event is a server-sent event.
type event struct {
	bulk.Progress

	id string
}

// events reads a stream to its end, or until stop.
func events(t *testing.T, body io.Reader, stop func(event) bool) []event {
	t.Helper()
	var all []event
	var kind, id string
	for lines := bufio.NewScanner(body); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), ": ")
		switch name {
		case "event":
			kind = value
		case "id":
			id = value
		case "data":
			require.Equal(t, "progress", kind)
			require.NotEmpty(t, id)
			e := event{id: id}
			require.NoError(t, json.Unmarshal([]byte(value), &e.Progress))
			if all = append(all, e); stop(e) {
				return all
			}
		}
	}
	return all
}

func never(event) bool { return false }

func ended(e event) bool { return e.Status.Final() }

func first(event) bool { return true }

func TestProgress(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.serve(t, 500*time.Millisecond) // streams last longer
	run := w.submit(t)
	res := w.do(t, "a", "GET", w.jobs()+"/"+run.ID.String()+"/progress")
	all := w.do(t, "a", "GET", w.jobs()+"/progress")
	for _, res := range []*http.Response{res, all} {
		require.Equal(t, http.StatusOK, res.StatusCode)
		require.Equal(t, "text/event-stream", res.Header.Get("Content-Type"))
		require.Equal(t, "no-cache, no-transform", res.Header.Get("Cache-Control"))
		require.Equal(t, "no", res.Header.Get("X-Accel-Buffering"))
	}
	require.NoError(t, w.runner.Start(t.Context()))
	go func() {
		for range 3 {
			w.step <- nil
			<-time.After(300 * time.Millisecond) // longer in all than the server's WriteTimeout
		}
		close(w.step)
	}()
	got := events(t, res.Body, never)
	require.Equal(t, bulk.StateQueued, got[0].Status, "first what is")
	last := got[len(got)-1]
	require.Equal(t, bulk.StateCompleted, last.Status)
	require.EqualValues(t, 4, last.Processed)
	whole := events(t, all.Body, ended)
	require.Equal(t, last.Progress, whole[len(whole)-1].Progress)

	require.NoError(t, w.runner.Stop(t.Context()))
	require.Empty(t, events(t, all.Body, never), "Stop ends the streams")
}

// Who comes back after the end is told that there is nothing to come back for; who does
// not know of it yet is told the end.
func TestComeBackToAJob(t *testing.T) {
	t.Parallel()
	w := open(t)
	path := w.jobs() + "/" + w.submit(t).ID.String() + "/progress"
	seen := events(t, w.do(t, "a", "GET", path).Body, first)[0]
	require.Equal(t, bulk.StateQueued, seen.Status)
	back := events(t, w.again(t, "a", "GET", path, seen.id).Body, first)[0]
	require.Equal(t, seen, back, "the state, though it was seen")
	require.NoError(t, w.runner.Start(t.Context()))
	close(w.step)
	last := events(t, w.do(t, "a", "GET", path).Body, ended)
	end := last[len(last)-1]
	for _, id := range []string{seen.id, "", "0", "nonsense", "99"} {
		res := w.again(t, "a", "GET", path, id)
		require.Equal(t, http.StatusOK, res.StatusCode)
		require.Equal(t, []event{end}, events(t, res.Body, never), "after %q", id)
	}
	res := w.again(t, "a", "GET", path, end.id)
	require.Equal(t, http.StatusNoContent, res.StatusCode)
	require.Equal(t, http.StatusNotFound, w.again(t, "b", "GET", path, end.id).StatusCode)
}

// What ended while the client of a domain was away, it is told when it comes back.
func TestComeBackToADomain(t *testing.T) {
	t.Parallel()
	w := open(t)
	run := w.submit(t)
	path := w.jobs() + "/progress"
	seen := events(t, w.do(t, "a", "GET", path).Body, first)[0]
	require.Equal(t, run.ID, seen.JobID)
	require.NoError(t, w.runner.Start(t.Context()))
	close(w.step)
	events(t, w.do(t, "a", "GET", w.jobs()+"/"+run.ID.String()+"/progress").Body, ended)
	for _, id := range []string{seen.id, "0"} {
		back := events(t, w.again(t, "a", "GET", path, id).Body, first)[0]
		require.Equal(t, run.ID, back.JobID, "after %q", id)
		require.Equal(t, bulk.StateCompleted, back.Status)
	}
	// Others, and who asks for nothing or for what is yet to come, begin with the next job.
	late := strconv.FormatInt(time.Now().Add(time.Hour).UnixMilli(), 10)
	streams := []io.Reader{
		w.do(t, "a", "GET", path).Body, w.again(t, "a", "GET", path, "nonsense").Body, w.again(t, "a", "GET", path, late).Body,
	}
	foreign := w.again(t, "b", "GET", "/domains/"+w.B.DomainID.String()+"/jobs/progress", seen.id)
	next := w.submitKind(t, "waiting") // one that ended within moments might go unnoticed
	for _, body := range streams {
		require.Equal(t, next.ID, events(t, body, first)[0].JobID)
	}
	require.NoError(t, w.runner.Stop(t.Context()))
	require.Empty(t, events(t, foreign.Body, never))
}

// A stream ends before its job, so that a token that has expired follows no longer; one that
// has not comes back and misses nothing.
func TestTokenExpires(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.api.Hasten(time.Hour, time.Minute, 100*time.Millisecond)
	paths := []string{w.jobs() + "/" + w.submit(t).ID.String() + "/progress", w.jobs() + "/progress"}
	var seen []event
	for _, path := range paths {
		got := events(t, w.do(t, "a", "GET", path).Body, never)
		require.Equal(t, bulk.StateQueued, got[len(got)-1].Status, "the stream ended, the job did not")
		seen = append(seen, got[len(got)-1])
	}
	w.expired.Store("a", true)
	for i, path := range paths {
		require.Equal(t, http.StatusUnauthorized, w.again(t, "a", "GET", path, seen[i].id).StatusCode)
	}
	w.expired.Delete("a")
	require.NoError(t, w.runner.Start(t.Context()))
	close(w.step)
	for i, path := range paths {
		last := seen[i]
		for !last.Status.Final() {
			for _, e := range events(t, w.again(t, "a", "GET", path, last.id).Body, ended) {
				last = e
			}
		}
		require.Equal(t, bulk.StateCompleted, last.Status)
	}
}

// A stream over HTTP/2 does not end when the deadline of its last event passes.
func TestHTTP2(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.api.Hasten(1500*time.Millisecond, time.Second, time.Hour)
	w.server = httptest.NewUnstartedServer(w.handler)
	w.server.EnableHTTP2 = true
	w.server.StartTLS()
	w.closing(t)
	res := w.do(t, "a", "GET", w.jobs()+"/"+w.submit(t).ID.String()+"/progress")
	require.Equal(t, 2, res.ProtoMajor)
	lines := bufio.NewScanner(res.Body)
	for beats := 0; beats < 2; {
		require.True(t, lines.Scan(), "the stream ended: %v", lines.Err())
		if lines.Text() == ": heartbeat" {
			beats++
		}
	}
	require.NoError(t, w.runner.Start(t.Context()))
	close(w.step)
	all := events(t, res.Body, never)
	require.Equal(t, bulk.StateCompleted, all[len(all)-1].Status)
}

// The headers of a stream can be had alone.
func TestHead(t *testing.T) {
	t.Parallel()
	w := open(t)
	for _, path := range []string{w.jobs() + "/progress", w.jobs() + "/" + w.submit(t).ID.String() + "/progress"} {
		res := w.do(t, "a", "HEAD", path)
		require.Equal(t, "text/event-stream", res.Header.Get("Content-Type"))
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.Empty(t, body)
	}
}
