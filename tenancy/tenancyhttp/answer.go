package tenancyhttp

import (
	"fmt"
	"net/http"
	"runtime/debug"

	"github.com/stratakit/strata/internal/web"
)

// answer remembers whether anything was written.
type answer struct {
	http.ResponseWriter
	begun bool
}

// WriteHeader notes that the answer has begun. An informational status does not begin it.
func (a *answer) WriteHeader(status int) {
	a.begun = a.begun || status >= http.StatusOK
	a.ResponseWriter.WriteHeader(status)
}

// Write notes that the answer has begun.
func (a *answer) Write(b []byte) (int, error) {
	a.begun = true
	return a.ResponseWriter.Write(b)
}

// Flush sends what was written, where the connection can.
func (a *answer) Flush() {
	a.begun = true
	_ = http.NewResponseController(a.ResponseWriter).Flush()
}

// Unwrap lets http.ResponseController reach deadlines and the connection.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// rescue turns a panic into 500. The stack goes to the log only.
func (s *Server) rescue(w *answer, r *http.Request) {
	p := recover()
	if p == nil {
		return
	}
	if p == http.ErrAbortHandler { //nolint:errorlint // the value net/http itself compares with
		panic(p)
	}
	s.cfg.Log.ErrorContext(r.Context(), "panic", "panic", fmt.Sprint(p), "requestId", web.RequestID(r.Context()),
		"method", r.Method, "path", r.URL.Path, "stack", string(debug.Stack()))
	if w.begun {
		panic(http.ErrAbortHandler)
	}
	_ = web.WriteJSON(w, http.StatusInternalServerError, web.Error{
		StatusCode: http.StatusInternalServerError, Code: "internal", Message: "internal error",
	})
}

// discard takes an answer that nobody sees.
type discard struct {
	header http.Header
	status int
}

// Header returns the headers that were set.
func (d *discard) Header() http.Header { return d.header }

// WriteHeader keeps the status.
func (d *discard) WriteHeader(status int) { d.status = status }

// Write keeps nothing.
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
