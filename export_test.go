package strata

import "github.com/stratakit/strata/internal/web"

// Routes are all routes that Handler serves, for tests that go through them.
func (s *Strata) Routes(cfg *HandlerConfig) []web.Route {
	var out []web.Route
	for _, api := range s.apis(cfg) {
		out = append(out, api.Routes()...)
	}
	return out
}
