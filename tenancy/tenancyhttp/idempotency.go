package tenancyhttp

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/stratakit/strata/internal/fault"
	"github.com/stratakit/strata/internal/web"
	"github.com/stratakit/strata/tenancy"
)

const (
	keyHeader = "Idempotency-Key"
	maxKey    = 255
	// longest bounds a request with a key where Config.Timeout sets no limit: a claim must
	// outlive its request.
	longest = 15 * time.Minute
	// leaseMargin is how long a claim outlives the time limit of its request, which is
	// time to write the answer down.
	leaseMargin = 30 * time.Second
	// inProgress is how many seconds to wait for a request that runs.
	inProgress = "1"
)

// The errors of requests with an Idempotency-Key.
var (
	// ErrKey is the answer to a key that is none.
	ErrKey error = fault.New(fault.Malformed, "invalid_idempotency_key",
		"Idempotency-Key: want one key of 1 to 255 visible ASCII characters, such as a UUID")
	// ErrKeyReused is the answer to a request that has the key of another one.
	ErrKeyReused error = fault.New(fault.Invalid, "idempotency_key_reused",
		"this Idempotency-Key was used for a request with another query or body: take a new key")
	// ErrInProgress is the answer while the first request with the key still runs.
	ErrInProgress error = fault.New(fault.Conflict, "idempotency_in_progress",
		"the first request with this Idempotency-Key still runs: try again")
	// ErrAnswerLost is the answer when the first request with the key changed something, or
	// was answered with more than 1 MiB, and what it answered is not known: the process died
	// or ran out of time after the commit.
	ErrAnswerLost error = fault.New(fault.Conflict, "idempotency_answer_lost",
		"the first request with this Idempotency-Key was done, but its answer is not known: look what is there before you ask with a new key")

	errNobody error = fault.New(fault.Malformed, "idempotency_key_unusable",
		"Idempotency-Key: the principal has no id that would tell its requests from those of others")
)

// takesKey reports whether a route does its work once for all requests with one key. A
// POST that only reads needs no key to be repeated; a stream or a file has no answer that
// could be kept; and without a principal there is nobody the key could belong to.
func takesKey(rt web.Route) bool {
	return rt.Method == http.MethodPost && !rt.Read && !rt.Long && !rt.Public
}

// once answers a request that has a key: by doing the work, or with what was answered to
// the first request with the key. r has been admitted.
func (s *Server) once(rt web.Route, w http.ResponseWriter, r *http.Request) error {
	c, err := s.newClaim(r)
	if err != nil {
		return err
	}
	limit := s.cfg.Timeout
	if limit <= 0 {
		limit = longest
	}
	before, err := c.take(r.Context(), limit+leaseMargin)
	if err != nil {
		return err
	}
	if before != nil {
		return before.replay(w, c.fingerprint)
	}
	return s.work(rt, c, limit, w, r)
}

// work does what the claim is for, keeps the answer, then sends it.
func (s *Server) work(rt web.Route, c *claim, limit time.Duration, w http.ResponseWriter, r *http.Request) error {
	// That the client goes away is why it will repeat the request: the work goes on.
	whole := context.WithoutCancel(r.Context())
	ctx, cancel := context.WithTimeout(tenancy.WithBeforeCommit(whole, c.beforeCommit), limit)
	defer cancel()
	p := &pending{ResponseWriter: w}
	settled := false
	defer func() {
		if !settled { // a panic
			s.settle(whole, c, kept{status: http.StatusInternalServerError})
		}
	}()
	if err := rt.Handle(p, r.WithContext(ctx)); err != nil {
		p.forget()
		web.WriteError(p, r.WithContext(ctx), err, s.cfg.Log)
	}
	answer := p.answer()
	s.settle(whole, c, answer)
	settled = true
	answer.send(w)
	return nil
}

// settle keeps the answer, or gives the key back when another attempt may succeed. Where
// that fails the lease of the claim ends by itself.
func (s *Server) settle(ctx context.Context, c *claim, answer kept) {
	ctx, cancel := context.WithTimeout(ctx, leaseMargin/2)
	defer cancel()
	var err error
	if invitesRetry(answer.status) {
		err = c.release(ctx)
	} else {
		err = c.finish(ctx, answer)
	}
	if err != nil {
		s.cfg.Log.ErrorContext(ctx, "an answer was not kept for repeats", "error", err, "requestId", web.RequestID(ctx))
	}
}

// newClaim reads what the request asks for. It leaves the body for the handler.
func (s *Server) newClaim(r *http.Request) (*claim, error) {
	keys := r.Header.Values(keyHeader)
	invisible := func(c rune) bool { return c < '!' || c > '~' }
	if len(keys) != 1 || keys[0] == "" || len(keys[0]) > maxKey || strings.ContainsFunc(keys[0], invisible) {
		return nil, ErrKey
	}
	body, err := web.ReadBody(r)
	if err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	actor := tenancy.ActorFrom(r.Context())
	if actor.ID == "" {
		return nil, errNobody
	}
	c := &claim{db: s.resolver.DB(), company: platform, id: tenancy.NewID[claim]()}
	if tenant, err := tenancy.TenantFrom(r.Context()); err == nil {
		c.company = tenant.CompanyID
	} else if !actor.CompanyID.IsZero() {
		c.company = actor.CompanyID
	}
	path := r.URL.EscapedPath()
	c.scope = digest(string(actor.Type), actor.ID, r.Method, path, keys[0])
	c.fingerprint = digest(r.Method, path, r.URL.RawQuery, string(body))
	return c, nil
}

// digest is the SHA-256 of parts, no two lists of which read the same.
func digest(parts ...string) []byte {
	h := sha256.New()
	for _, p := range parts {
		_ = binary.Write(h, binary.BigEndian, uint64(len(p)))
		_, _ = io.WriteString(h, p)
	}
	return h.Sum(nil)
}

// replay answers a repeat.
func (e *earlier) replay(w http.ResponseWriter, fingerprint []byte) error {
	switch {
	case !bytes.Equal(e.fingerprint, fingerprint):
		return ErrKeyReused
	case e.answer == nil && e.running:
		w.Header().Set("Retry-After", inProgress)
		return ErrInProgress
	case e.answer == nil, e.answer.body == nil:
		return ErrAnswerLost
	}
	w.Header().Set("Idempotency-Replayed", "true")
	e.answer.send(w)
	return nil
}
