package accesshttp

import (
	"net/http"

	"github.com/stratakit/strata/internal/fault"
	"github.com/stratakit/strata/internal/web"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/access"
)

var errNobody error = fault.New(fault.Unauthenticated, "unauthenticated", "authentication is required")

// Require returns middleware that lets through requests whose actor has p with their tenant,
// and answers others in the documented shape: 404 when the actor may do nothing there, else
// 403. What comes before it (tenancyhttp.Server.Protect, or a product's own middleware) has
// put both into the context. A request in whose context nobody acts is answered with 401: the
// system, which may do everything, makes no requests.
func Require(guard *access.Guard, p access.Permission) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			err := errNobody
			if tenancy.ActorFrom(r.Context()).Type != tenancy.ActorSystem {
				err = guard.Require(r.Context(), p)
			}
			if err != nil {
				w.Header().Set("Cache-Control", "no-store")
				web.WriteError(w, r, err, nil)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}
