package web

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"

	"github.com/stratakit/strata/internal/fault"
)

// Error is the body of every answer that is an error. Some errors have more members,
// such as the limit that a plan sets.
type Error struct {
	StatusCode int          `json:"statusCode"`
	Code       string       `json:"code"`
	Message    string       `json:"message"`
	Errors     []FieldError `json:"errors,omitempty"`
}

// Status returns the HTTP status of a kind: the one table.
func Status(k fault.Kind) int {
	switch k {
	case fault.Malformed:
		return http.StatusBadRequest
	case fault.Unauthenticated:
		return http.StatusUnauthorized
	case fault.LimitExceeded:
		return http.StatusPaymentRequired
	case fault.Forbidden:
		return http.StatusForbidden
	case fault.NotFound:
		return http.StatusNotFound
	case fault.Conflict:
		return http.StatusConflict
	case fault.TooLarge:
		return http.StatusRequestEntityTooLarge
	case fault.Invalid:
		return http.StatusUnprocessableEntity
	case fault.Moving:
		return http.StatusLocked
	case fault.Throttled:
		return http.StatusTooManyRequests
	case fault.Unavailable:
		return http.StatusServiceUnavailable
	case fault.Internal:
	}
	return http.StatusInternalServerError
}

// retryAfter is how many seconds a client is asked to wait when nobody knows better.
const retryAfter = "5"

// WriteError answers with err in the documented shape. An answer that says "not now" has
// a Retry-After; one that the handler has set stays. What went wrong inside goes to
// log with the request's id and never into the answer. It may be called only while
// nothing has been written.
func WriteError(w http.ResponseWriter, r *http.Request, err error, log *slog.Logger) {
	kind, code, message := describe(err)
	LogError(r, err, log)
	status := Status(kind)
	for _, h := range []string{"Content-Disposition", "Content-Encoding", "Content-Length", "ETag", "Last-Modified", "Location"} {
		w.Header().Del(h) // those of the answer it was going to be
	}
	body := map[string]any{}
	var detailed interface{ Details() map[string]any }
	if kind != fault.Internal && errors.As(err, &detailed) {
		for k, v := range detailed.Details() {
			body[k] = v
		}
	}
	var fields interface{ FieldErrors() any }
	if kind != fault.Internal && errors.As(err, &fields) {
		if list := fields.FieldErrors(); list != nil {
			body["errors"] = list
		}
	}
	body["statusCode"], body["code"], body["message"] = status, code, message
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer") // RFC 9110 section 15.5.2
	}
	later := status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable
	if later && w.Header().Get("Retry-After") == "" {
		w.Header().Set("Retry-After", retryAfter) // RFC 9110 section 10.2.3, in seconds
	}
	if err := WriteJSON(w, status, body); err != nil {
		_ = WriteJSON(w, http.StatusInternalServerError, Error{http.StatusInternalServerError, "internal", "internal error", nil})
	}
}

// LogError writes err to log when it is the server's fault. That a client went away is
// none.
func LogError(r *http.Request, err error, log *slog.Logger) {
	kind, _, _ := describe(err)
	if kind != fault.Internal && kind != fault.Unavailable {
		return
	}
	level := slog.LevelError
	if errors.Is(r.Context().Err(), context.Canceled) {
		level = slog.LevelDebug
	}
	if log == nil {
		log = slog.Default()
	}
	log.Log(r.Context(), level, "request failed",
		"error", err, "requestId", RequestID(r.Context()), "method", r.Method, "path", r.URL.Path)
}

// Unavailable reports whether err says that a backend does not answer, or not in time.
func Unavailable(err error) bool {
	kind, _, _ := describe(err)
	return kind == fault.Unavailable
}

// describe says what of err a client may know.
func describe(err error) (kind fault.Kind, code, message string) {
	kind = fault.KindOf(err)
	switch {
	case kind == fault.Internal && errors.Is(err, context.DeadlineExceeded):
		return fault.Unavailable, "timeout", "this took too long: try again, or ask for less"
	case kind == fault.Internal && backendDown(err):
		return fault.Unavailable, "unavailable", "a backend does not answer: try again"
	case kind == fault.Internal:
		return kind, "internal", fault.MessageOf(err)
	case kind == fault.NotFound && fault.CodeOf(err) == "not_found":
		return kind, "not_found", "not found" // the same words whatever was asked for
	}
	return kind, fault.CodeOf(err), fault.MessageOf(err)
}

// backendDown reports whether err is that of a connection, also one that was closed in
// the middle of an answer, or of a PostgreSQL that starts, stops or takes no more.
func backendDown(err error) bool {
	var network *net.OpError
	if errors.As(err, &network) || errors.Is(err, io.ErrUnexpectedEOF) {
		return true
	}
	var pg interface{ SQLState() string }
	if !errors.As(err, &pg) {
		return false
	}
	state := pg.SQLState()
	return strings.HasPrefix(state, "08") || strings.HasPrefix(state, "57P0") || state == "53300"
}
