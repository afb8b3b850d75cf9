package tenancyhttp

import (
	"bytes"
	"net/http"
)

// maxKept is how many bytes of an answer are kept for repeats.
const maxKept = 1 << 20

// kept is an answer to a request with a key, as it is kept for repeats.
type kept struct {
	status  int
	headers map[string]string
	body    []byte // nil: it was too large
}

// keptHeaders are those of an answer that belong to its content.
var keptHeaders = []string{"Content-Type", "ETag", "Location", "X-Content-Type-Options"}

// invitesRetry reports whether an answer says "not now" or "something broke": the next
// attempt may well succeed, so it is not kept.
func invitesRetry(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusLocked, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	}
	return status >= http.StatusInternalServerError
}

// pending takes an answer in, so that it can be kept before anybody sees it.
type pending struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

// WriteHeader keeps the first status. Informational ones are sent at once.
func (p *pending) WriteHeader(status int) {
	switch {
	case status < http.StatusOK:
		p.ResponseWriter.WriteHeader(status)
	case p.status == 0:
		p.status = status
	}
}

// Write keeps b.
func (p *pending) Write(b []byte) (int, error) {
	p.WriteHeader(http.StatusOK)
	return p.body.Write(b)
}

// forget drops the answer as if it had not begun.
func (p *pending) forget() {
	p.status = 0
	p.body.Reset()
}

// answer returns what was written.
func (p *pending) answer() kept {
	a := kept{status: p.status, headers: map[string]string{}, body: p.body.Bytes()}
	if a.status == 0 {
		a.status = http.StatusOK
	}
	for _, name := range keptHeaders {
		if v := p.Header().Get(name); v != "" {
			a.headers[name] = v
		}
	}
	return a
}

// send answers with a.
func (a kept) send(w http.ResponseWriter) {
	for name, v := range a.headers {
		w.Header().Set(name, v)
	}
	w.WriteHeader(a.status)
	if len(a.body) > 0 {
		_, _ = w.Write(a.body)
	}
}
