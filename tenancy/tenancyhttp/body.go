package tenancyhttp

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/stratakit/strata/internal/web"
)

// body is the body of a request that must not keep its reader waiting for ever.
type body struct {
	io.ReadCloser
	connection *http.ResponseController
	patience   time.Duration // for each read; 0: the time of all of them is set already
}

// boundBody holds the client to the server's time while it sends its body: a context
// alone does not end a read.
func (s *Server) boundBody(rt web.Route, w http.ResponseWriter, r *http.Request) {
	if s.cfg.Timeout <= 0 || r.Body == nil || r.Body == http.NoBody {
		return
	}
	b := &body{ReadCloser: r.Body, connection: http.NewResponseController(w)}
	if rt.Long {
		b.patience = s.cfg.Timeout
	} else {
		b.allow(s.cfg.Timeout)
	}
	r.Body = b
}

func (b *body) allow(d time.Duration) { _ = b.connection.SetReadDeadline(time.Now().Add(d)) }

// Read reads, and says of a client that was too slow that the time is over. At the end
// the connection is let wait again: for the client to go away, or for its next request.
func (b *body) Read(p []byte) (int, error) {
	if b.patience > 0 {
		b.allow(b.patience)
	}
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return n, context.DeadlineExceeded
	}
	if err != nil {
		_ = b.connection.SetReadDeadline(time.Time{})
	}
	return n, err
}
