package main

import (
	"context"
	"log/slog"
	"net/http"
	"strings"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"riverqueue.com/riverui"

	"github.com/stratakit/strata"
	"github.com/stratakit/strata/tenancy/access"
)

// riverPath is where River UI is, with all that it consists of below it.
const riverPath = "/river"

// riverUI serves River's jobs, which are those of all tenants, to look at, retry, cancel and
// delete: to administrators of the platform and nobody else. No run is lost by that, nor does
// it cancel one, which POST /domains/{domainID}/jobs/{jobID}/cancel does. Until ctx ends it asks
// the database now and then how many jobs there are.
func riverUI(ctx context.Context, s *strata.Strata, t tokens, log *slog.Logger) (http.Handler, error) {
	client, err := river.NewClient(riverpgxv5.New(s.DB.Pool()), &river.Config{Schema: s.DB.RiverSchema(), Logger: log}) // no queues: it works on nothing
	if err != nil {
		return nil, err
	}
	ui, err := riverui.NewHandler(&riverui.HandlerOpts{Endpoints: riverui.NewEndpoints(client, nil), Logger: log, Prefix: riverPath})
	if err != nil {
		return nil, err
	}
	server, err := s.Server(t.browser, &strata.HandlerConfig{Log: log})
	if err != nil {
		return nil, err
	}
	// A browser sends the password also with what another site makes it send, and River UI
	// takes JSON of any content type.
	ownPagesOnly := http.NewCrossOriginProtection()
	operators := server.Protect(access.PlatformManage, ownPagesOnly.Handler(http.MaxBytesHandler(ui, 1<<20)))
	if err := ui.Start(ctx); err != nil {
		return nil, err
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Content-Security-Policy", "frame-ancestors 'none'") // no page of another site around its buttons
		operators.ServeHTTP(challenger{w}, r)
	}), nil
}

// challenger makes a browser ask for a password, where WWW-Authenticate names only what programs send.
type challenger struct{ http.ResponseWriter }

func (c challenger) WriteHeader(status int) {
	if status == http.StatusUnauthorized {
		c.Header().Add("WWW-Authenticate", `Basic realm="River UI: any name, and an administrator's token as password"`)
	}
	c.ResponseWriter.WriteHeader(status)
}

// beside serves ui below riverPath and api everywhere else. An http.ServeMux would redirect
// paths that api answers.
func beside(api, ui http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == riverPath || strings.HasPrefix(r.URL.Path, riverPath+"/") {
			ui.ServeHTTP(w, r)
			return
		}
		api.ServeHTTP(w, r)
	})
}
