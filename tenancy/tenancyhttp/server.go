package tenancyhttp

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"path"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/stratakit/strata/internal/fault"
	"github.com/stratakit/strata/internal/web"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/access"
)

// The errors of requests that never reach a handler.
var (
	// ErrUnauthenticated is the answer to a request without a principal.
	ErrUnauthenticated error = fault.New(fault.Unauthenticated, "unauthenticated", "authentication is required")
	// ErrForbidden is the answer when no role of the principal has the route's permission.
	ErrForbidden = access.ErrForbidden
)

// Config configures a Server. The zero value is legal.
type Config struct {
	// Prefix comes before every path, such as "/api/v1". Default none.
	Prefix string
	// Log receives what goes wrong inside. Default slog.Default().
	Log *slog.Logger
	// MaxBody is how many bytes of JSON a request may have. Default 1 MiB.
	MaxBody int64
	// Timeout is how long a request may take, its body included; then it is answered with
	// 503. Streams and the transfer of files are not held to it, but whoever sends a file
	// may not stand still for so long. Negative: no limit. Default 30 s.
	Timeout time.Duration
	// TrustedProxies are the networks of the reverse proxies in front of this process.
	// Through them Actor.IP is taken from X-Forwarded-For. Default none: the header,
	// which any client can send, is not looked at.
	TrustedProxies []netip.Prefix
	// Sources say which tenant a request is for. All are asked, in this order; those that
	// name one must agree, and the deepest is the request's tenant. Without one that names a
	// tenant the request has none. Default: FromPath alone, which Strata's own routes need.
	Sources []Source
	// Guard says what the principal may do. Who may do nothing at all with a tenant is answered
	// as if it were not there. Default: what the built-in role in Actor.Role allows
	// (access.RolesOnly).
	Guard *access.Guard
	// Ready says whether the process can serve: GET /readyz asks it. Nil: always.
	Ready func(ctx context.Context) error
}

// Server puts every route behind the same chain: recovery, request id, principal,
// tenant, access, permission. It is safe for concurrent use.
type Server struct {
	resolver  *tenancy.Resolver
	principal func(*http.Request) (tenancy.Actor, error)
	cfg       Config
	again     time.Duration // how often a stream is admitted again
}

// NewServer returns a Server. principal says who makes a request; an error or the zero
// Actor is answered with 401. An Actor.IP that it sets is kept. Actor.ID and Actor.Type say
// to whom an Idempotency-Key belongs.
func NewServer(resolver *tenancy.Resolver, principal func(*http.Request) (tenancy.Actor, error), cfg *Config) (*Server, error) {
	if resolver == nil || principal == nil {
		return nil, errors.New("tenancyhttp: NewServer needs a Resolver and a function that knows the principal")
	}
	s := &Server{resolver: resolver, principal: principal, again: 15 * time.Second}
	if cfg != nil {
		s.cfg = *cfg
	}
	if s.cfg.Log == nil {
		s.cfg.Log = slog.Default()
	}
	if s.cfg.MaxBody == 0 {
		s.cfg.MaxBody = web.DefaultMaxBody
	}
	if s.cfg.Timeout == 0 {
		s.cfg.Timeout = 30 * time.Second
	}
	if s.cfg.Sources == nil {
		s.cfg.Sources = []Source{FromPath}
	}
	if s.cfg.Guard == nil {
		s.cfg.Guard = access.RolesOnly(nil)
	}
	if s.cfg.MaxBody < 0 {
		return nil, errors.New("tenancyhttp: Config.MaxBody is negative")
	}
	if p := s.cfg.Prefix; p != "" && (!strings.HasPrefix(p, "/") || strings.HasSuffix(p, "/") || strings.ContainsAny(p, "{} ")) {
		return nil, errors.New(`tenancyhttp: Config.Prefix must begin and not end with a slash, such as "/api"`)
	}
	return s, nil
}

// Routes returns every route that Handler serves for the same apis, those of the server
// itself last. Paths are without the prefix.
func (s *Server) Routes(apis ...web.API) []web.Route {
	return append(routesOf(apis), s.own(nil)...)
}

func routesOf(apis []web.API) []web.Route {
	var routes []web.Route
	for _, api := range apis {
		routes = append(routes, api.Routes()...)
	}
	return routes
}

// Handler serves the routes of apis, GET /openapi.json that describes them, and GET
// /healthz and /readyz, which are there without the prefix too. It panics, as
// http.ServeMux does, when two routes conflict or one cannot be described.
func (s *Server) Handler(apis ...web.API) http.Handler {
	routes := routesOf(apis)
	document, err := s.document(routes)
	if err != nil {
		panic(err)
	}
	mux := http.NewServeMux()
	for _, rt := range append(routes, s.own(document)...) {
		mux.Handle(strings.TrimSpace(rt.Method+" "+s.cfg.Prefix+rt.Registered()), s.serve(rt))
	}
	if s.cfg.Prefix != "" {
		for _, rt := range s.health() {
			mux.Handle(rt.Method+" "+rt.Path, s.serve(rt))
		}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := requestID(r)
		w.Header().Set("X-Request-Id", id)
		r = r.WithContext(web.WithMaxBody(web.WithRequestID(r.Context(), id), s.cfg.MaxBody))
		answer := &answer{ResponseWriter: w}
		defer s.rescue(answer, r)
		h, pattern := mux.Handler(r)
		// The mux goes by the path as it was sent: an id with %2F%2F in it is one segment.
		if sent := r.URL.EscapedPath(); pattern == "" || path.Clean(sent) != sent { // the mux would redirect to another path
			s.noRoute(answer, r, h)
			return
		}
		mux.ServeHTTP(answer, r)
	})
}

// noRoute answers in the documented shape what the mux would answer in plain text.
func (s *Server) noRoute(w http.ResponseWriter, r *http.Request, h http.Handler) {
	probe := &discard{header: http.Header{}}
	h.ServeHTTP(probe, r)
	if probe.status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", probe.header.Get("Allow"))
		_ = web.WriteJSON(w, http.StatusMethodNotAllowed, web.Error{
			StatusCode: http.StatusMethodNotAllowed, Code: "method_not_allowed", Message: "this path does not take " + r.Method,
		})
		return
	}
	web.WriteError(w, r, tenancy.ErrNotFound, s.cfg.Log)
}

// serve runs one route: who asks, for which tenant, may they, then the handler.
func (s *Server) serve(rt web.Route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !rt.Matches(r) {
			web.WriteError(w, r, tenancy.ErrNotFound, s.cfg.Log)
			return
		}
		w.Header().Set("Cache-Control", "no-store")
		if s.cfg.Timeout > 0 && !rt.Long {
			ctx, cancel := context.WithTimeout(r.Context(), s.cfg.Timeout)
			defer cancel()
			r = r.WithContext(ctx)
		}
		s.boundBody(rt, w, r)
		ctx, err := s.admit(rt, r)
		if err == nil && rt.Request == nil && !rt.Reads() && !rt.Long {
			err = web.NoBody(r)
		}
		if err == nil {
			if rt.Long && rt.Reads() {
				var end context.CancelFunc
				ctx, end = s.whileAdmitted(ctx, rt, r)
				defer end()
			}
			r = r.WithContext(ctx)
			if takesKey(rt) && len(r.Header.Values(keyHeader)) > 0 {
				err = s.once(rt, w, r)
			} else {
				err = rt.Handle(w, r)
			}
		}
		if err != nil {
			s.fail(w, r, err)
		}
	})
}

// fail answers with err, or breaks the connection off when an answer has begun: the
// client must not take half an answer for a whole one.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	if a, ok := w.(*answer); ok && a.begun {
		web.LogError(r, err, s.cfg.Log)
		panic(http.ErrAbortHandler)
	}
	web.WriteError(w, r, err, s.cfg.Log)
}

// requestID returns the id that the client gave when it is harmless, else a new one.
func requestID(r *http.Request) string {
	id := r.Header.Get("X-Request-Id")
	invisible := func(c rune) bool { return c < '!' || c > '~' }
	if id == "" || len(id) > 128 || strings.ContainsFunc(id, invisible) {
		return uuid.Must(uuid.NewV7()).String()
	}
	return id
}
