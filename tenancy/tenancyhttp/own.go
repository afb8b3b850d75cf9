package tenancyhttp

import (
	"net/http"

	"github.com/stratakit/strata/internal/fault"
	"github.com/stratakit/strata/internal/web"
)

var errNotReady error = fault.New(fault.Unavailable, "not_ready", "not ready to serve")

// own returns the server's own routes.
func (s *Server) own(document []byte) []web.Route {
	return append(s.health(), web.Route{
		Method: http.MethodGet, Path: "/openapi.json", Public: true, Untenanted: true,
		Handle: func(w http.ResponseWriter, _ *http.Request) error {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(document)
			return nil
		},
	})
}

// health returns the routes that whoever runs the process asks.
func (s *Server) health() []web.Route {
	ok := func(w http.ResponseWriter) error {
		return web.WriteJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	}
	return []web.Route{
		{
			Method: http.MethodGet, Path: "/healthz", Public: true, Untenanted: true,
			Handle: func(w http.ResponseWriter, _ *http.Request) error { return ok(w) },
		},
		{
			Method: http.MethodGet, Path: "/readyz", Public: true, Untenanted: true,
			Handle: func(w http.ResponseWriter, r *http.Request) error {
				if s.cfg.Ready == nil {
					return ok(w)
				}
				if err := s.cfg.Ready(r.Context()); err != nil {
					s.cfg.Log.WarnContext(r.Context(), "not ready", "error", err)
					return errNotReady
				}
				return ok(w)
			},
		},
	}
}
