package bulkhttp

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/internal/web"
	"github.com/stratakit/strata/tenancy"
)

const (
	// endsAgain is by how much the time at which a client last heard of a domain is set back
	// when it asks what ended since: an end is written down somewhat before it can be seen,
	// and not by our clock.
	endsAgain = time.Minute
	// endsKept is how long ago a client may have heard last to be told of what ended since.
	endsKept = time.Hour
)

type action func(context.Context, bulk.RunID) (bulk.Run, error)

func jobID(r *http.Request) (bulk.RunID, error) {
	return tenancy.ParseID[bulk.Run](r.PathValue("jobID"))
}

// one answers with the job that do returns.
func (a *API) one(do action) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		id, err := jobID(r)
		if err != nil {
			return err
		}
		run, err := do(r.Context(), id)
		if err != nil {
			return err
		}
		return web.WriteData(w, http.StatusOK, JobOf(run))
	}
}

// follow streams the progress of one job. The id of an event is the version of the job. A
// client that comes back having seen the end is told so by a 204, at which an EventSource
// gives up; else it gets the state as it is. A stream may end before the job does.
func (a *API) follow(w http.ResponseWriter, r *http.Request) error {
	id, err := jobID(r)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel() // a client that cannot be written to is not watched for
	news, err := a.runner.Watch(ctx, id)
	if err != nil {
		return err
	}
	version := func(p bulk.Progress) string { return strconv.FormatInt(p.Version, 10) }
	first, ok := <-news
	if ok && first.Status.Final() && r.Header.Get("Last-Event-ID") == version(first) {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	s := a.stream(w, r)
	if ok {
		s.send(first, version(first))
	}
	s.follow(news, version)
	return nil
}

// followAll streams the progress of all jobs of a domain. The id of an event is the time, in
// milliseconds since 1970: a client that comes back with it within an hour is told of what
// ended meanwhile, and once more of what ended in the minute before.
func (a *API) followAll(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	var since time.Time
	if ms, err := strconv.ParseInt(r.Header.Get("Last-Event-ID"), 10, 64); err == nil {
		since = time.UnixMilli(ms).Add(-endsAgain)
		if oldest := time.Now().Add(-endsKept); since.Before(oldest) {
			since = oldest
		}
	}
	news, err := a.runner.WatchDomain(ctx, since)
	if err != nil {
		return err
	}
	a.stream(w, r).follow(news, func(bulk.Progress) string { return strconv.FormatInt(time.Now().UnixMilli(), 10) })
	return nil
}
