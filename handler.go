package strata

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/stratakit/strata/audit/audithttp"
	"github.com/stratakit/strata/billing/billinghttp"
	"github.com/stratakit/strata/bulk/bulkhttp"
	"github.com/stratakit/strata/customfields/customfieldshttp"
	"github.com/stratakit/strata/imports"
	"github.com/stratakit/strata/imports/importshttp"
	"github.com/stratakit/strata/internal/web"
	"github.com/stratakit/strata/recipients/exports/exportshttp"
	"github.com/stratakit/strata/recipients/persons/personshttp"
	"github.com/stratakit/strata/recipients/recipientshttp"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/access/accesshttp"
	"github.com/stratakit/strata/tenancy/move/movehttp"
	"github.com/stratakit/strata/tenancy/settings/settingshttp"
	"github.com/stratakit/strata/tenancy/tenancyhttp"
)

// HandlerConfig configures Handler. The zero value is legal.
type HandlerConfig struct {
	// Prefix comes before every path, such as "/api/v1". Default none.
	Prefix string
	// Uploads receives the files of imports, and gives out those of exports, when they are
	// kept in a local directory: the store whose Bucket was given to New.
	Uploads *imports.LocalStore
	// Log receives what goes wrong while answering. Default slog.Default().
	Log *slog.Logger
	// MaxBody, Timeout, TrustedProxies and Sources are those of tenancyhttp.Config.
	MaxBody        int64
	Timeout        time.Duration
	TrustedProxies []netip.Prefix
	Sources        []tenancyhttp.Source
}

// Handler serves every package over HTTP, with GET /openapi.json, /healthz and /readyz.
// principal says who makes a request; Strata issues no passwords for a product's users.
// An error or the zero Actor is answered with 401. To serve only some of the packages,
// give their <pkg>http to tenancyhttp.NewServer. more are further routes of the library, of what
// this process has registered, such as pushhttp.New.
//
// A stream of progress lasts until its run ends or the Runner stops, and
// [http.Server.Shutdown] waits for it: give Runner.Stop to RegisterOnShutdown.
func (s *Strata) Handler(principal func(*http.Request) (tenancy.Actor, error), cfg *HandlerConfig, more ...web.API) (http.Handler, error) {
	server, err := s.Server(principal, cfg)
	if err != nil {
		return nil, err
	}
	return server.Handler(append(s.apis(cfg), more...)...), nil
}

// Server returns what stands before the routes of Handler, for a product's own: its Protect
// lets through who may, with tenant and actor in the context.
func (s *Strata) Server(principal func(*http.Request) (tenancy.Actor, error), cfg *HandlerConfig) (*tenancyhttp.Server, error) {
	var c HandlerConfig
	if cfg != nil {
		c = *cfg
	}
	return tenancyhttp.NewServer(s.Resolver, principal, &tenancyhttp.Config{
		Prefix: c.Prefix, Log: c.Log, Ready: s.Ready, MaxBody: c.MaxBody, Timeout: c.Timeout,
		TrustedProxies: c.TrustedProxies, Sources: c.Sources, Guard: s.Guard,
	})
}

func (s *Strata) apis(cfg *HandlerConfig) []web.API {
	apis := []web.API{
		tenancyhttp.New(s.Tenancy),
		accesshttp.New(s.Access, s.Guard),
		movehttp.New(s.Mover),
		settingshttp.New(s.Settings),
		audithttp.New(s.Audit),
		billinghttp.New(s.Limits),
		bulkhttp.New(s.Runner),
		customfieldshttp.New(s.Fields, s.Recipients.Filter),
		customfieldshttp.NewChanges(s.FieldChanges),
		recipientshttp.New(s.Recipients),
		recipientshttp.NewBulk(s.Recipients, s.Operations),
		personshttp.New(s.Persons, s.Matcher, s.Completer),
	}
	var files *imports.LocalStore
	if cfg != nil {
		files = cfg.Uploads
	}
	if s.Imports != nil {
		apis = append(apis, importshttp.New(s.Imports, files, s.Guard))
	}
	return append(apis, exportshttp.New(s.Exports, files))
}

// Ready returns nil when the process can serve: PostgreSQL answers and its schema fits.
// Redis may be away.
func (s *Strata) Ready(ctx context.Context) error {
	return CheckSchema(ctx, s.DB.Pool(), &MigrateConfig{Schema: s.DB.Schema(), RiverSchema: s.DB.RiverSchema()})
}
