package tenancyhttp

import (
	"net/http"

	"github.com/stratakit/strata/internal/web"
	"github.com/stratakit/strata/tenancy/access"
)

// Protect returns next behind the chain of Strata's own routes, for a product's handlers on
// its own mux: who asks, for which tenant (Config.Sources), what its subscription allows
// (GET and HEAD read, everything else writes), and permission p, which may be empty. In next
// the context holds the tenant, when the request names one, and the actor. A request that
// may not reach next is answered in the documented shape.
//
//	mux.Handle("GET /domains/{domainID}/campaigns", server.Protect("campaigns.read", list))
//
// Bodies, time limits and panics are the product's own affair.
func (s *Server) Protect(p access.Permission, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := requestID(r)
		w.Header().Set("X-Request-Id", id)
		r = r.WithContext(web.WithRequestID(r.Context(), id))
		ctx, err := s.admit(web.Route{Method: r.Method, Permission: string(p)}, r)
		if err != nil {
			w.Header().Set("Cache-Control", "no-store")
			web.WriteError(w, r, err, s.cfg.Log)
			return
		}
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}
