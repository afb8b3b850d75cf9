package bulkhttp

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/stratakit/strata/bulk"
)

// comeBack is after how long, and as much again by chance, a client is to come back when
// the stream broke off: a process that ends has many, and they are not to come together.
const comeBack = 2 * time.Second

// pace is the times of streams.
type pace struct {
	// heartbeat is how often a stream without news sends a comment, so that nobody on the
	// way takes it for dead.
	heartbeat time.Duration
	// writeLimit is how long a client may take for one event.
	writeLimit time.Duration
	// lifetime is after how long, and as much again by chance, a stream ends though its jobs
	// go on: who follows comes back and is asked who they are again, because a token expires
	// and a role is taken away while a stream lasts.
	lifetime time.Duration
}

func defaultPace() pace { return pace{15 * time.Second, 10 * time.Second, 5 * time.Minute} }

// stream is an answer of server-sent events.
// See https://html.spec.whatwg.org/multipage/server-sent-events.html.
type stream struct {
	api *API
	w   http.ResponseWriter
	rc  *http.ResponseController
	err error // nothing more can be sent
}

// stream begins the answer: the headers go out before there is news.
func (a *API) stream(w http.ResponseWriter, r *http.Request) *stream {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-cache, no-transform")
	h.Set("X-Accel-Buffering", "no") // nginx
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(http.StatusOK)
	s := &stream{api: a, w: w, rc: http.NewResponseController(w)}
	if r.Method == http.MethodHead { // that was all, and what is written would only be dropped
		s.err = http.ErrBodyNotAllowed
	}
	retry := comeBack + rand.N(comeBack)
	s.write("retry: %d\n\n", retry.Milliseconds())
	return s
}

// follow sends what is new until it ends, the client goes or the stream has lived its time.
func (s *stream) follow(news <-chan bulk.Progress, id func(bulk.Progress) string) {
	beat := time.NewTicker(s.api.pace.heartbeat)
	defer beat.Stop()
	over := time.NewTimer(s.api.pace.lifetime + rand.N(s.api.pace.lifetime))
	defer over.Stop()
	for s.err == nil {
		select {
		case p, ok := <-news:
			if !ok {
				return
			}
			s.send(p, id(p))
		case <-beat.C:
			s.write(": heartbeat\n\n")
		case <-over.C:
			return
		}
	}
}

// send sends a state.
func (s *stream) send(p bulk.Progress, id string) {
	text, err := s.api.frames.of(p)
	if err != nil {
		s.err = err
		return
	}
	s.write("id: %s\n%s", id, text)
}

// write sends text. It has a deadline of its own: with the server's WriteTimeout the stream
// would end, and without any a client that reads nothing would hold it for ever. Between two
// texts there is none: HTTP/2 breaks a stream off when its deadline passes, also where
// nothing is written.
func (s *stream) write(format string, args ...any) {
	if s.err != nil {
		return
	}
	if s.err = unlessUnsupported(s.rc.SetWriteDeadline(time.Now().Add(s.api.pace.writeLimit))); s.err != nil {
		return
	}
	defer func() { _ = s.rc.SetWriteDeadline(time.Time{}) }()
	if _, s.err = fmt.Fprintf(s.w, format, args...); s.err == nil {
		s.err = unlessUnsupported(s.rc.Flush())
	}
}

// unlessUnsupported is for what a ResponseWriter of a test or of a middleware cannot do.
func unlessUnsupported(err error) error {
	if errors.Is(err, http.ErrNotSupported) {
		return nil
	}
	return err
}

// frames keeps the text of the last event, because many streams send the same one.
type frames struct{ last atomic.Pointer[frame] }

type frame struct {
	p    bulk.Progress
	text []byte
}

func (f *frames) of(p bulk.Progress) ([]byte, error) {
	if last := f.last.Load(); last != nil && last.p == p {
		return last.text, nil
	}
	data, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	made := &frame{p, fmt.Appendf(nil, "event: progress\ndata: %s\n\n", data)}
	f.last.Store(made)
	return made.text, nil
}
