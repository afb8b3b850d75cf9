package bulkhttp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/internal/web"
	"github.com/stratakit/strata/tenancy"
)

const (
	// heartbeat is how often a stream without news sends a comment, so that nobody on
	// the way takes it for dead.
	heartbeat = 15 * time.Second
	// writeLimit is how long a client may take for one event.
	writeLimit = 10 * time.Second
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

func (a *API) follow(w http.ResponseWriter, r *http.Request) error {
	id, err := jobID(r)
	if err != nil {
		return err
	}
	return stream(w, r, func(ctx context.Context) (<-chan bulk.Progress, error) { return a.runner.Watch(ctx, id) })
}

func (a *API) followAll(w http.ResponseWriter, r *http.Request) error {
	return stream(w, r, a.runner.WatchDomain)
}

// stream sends what watch tells as server-sent events until it ends or the client goes.
func stream(w http.ResponseWriter, r *http.Request, watch func(context.Context) (<-chan bulk.Progress, error)) error {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel() // a client that cannot be written to is not watched for
	news, err := watch(ctx)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-cache, no-transform")
	h.Set("X-Accel-Buffering", "no") // nginx
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(http.StatusOK)

	rc := http.NewResponseController(w)
	defer func() { _ = rc.SetWriteDeadline(time.Time{}) }() // the connection may serve other requests
	send := func(format string, args ...any) bool {
		// Without a deadline of each event the server's WriteTimeout would end the stream,
		// and a client that reads nothing would hold it for ever.
		if err := rc.SetWriteDeadline(time.Now().Add(writeLimit)); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return false
		}
		if _, err := fmt.Fprintf(w, format, args...); err != nil {
			return false
		}
		err := rc.Flush()
		return err == nil || errors.Is(err, http.ErrNotSupported)
	}
	if !send(": follow\n\n") { // the headers go out before there is news
		return nil
	}
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		select {
		case p, ok := <-news:
			if !ok {
				return nil
			}
			data, err := json.Marshal(p)
			if err != nil {
				return err
			}
			if !send("event: progress\nid: %d\ndata: %s\n\n", p.Version, data) {
				return nil
			}
		case <-beat.C:
			if !send(": heartbeat\n\n") {
				return nil
			}
		}
	}
}
