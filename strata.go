package strata

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"
	"gocloud.dev/blob"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/billing"
	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/customfields/filter"
	"github.com/stratakit/strata/customfields/indexes"
	"github.com/stratakit/strata/customfields/lifecycle"
	"github.com/stratakit/strata/imports"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/recipients/exports"
	"github.com/stratakit/strata/recipients/operations"
	"github.com/stratakit/strata/recipients/persons"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/access"
	"github.com/stratakit/strata/tenancy/blueprint"
	"github.com/stratakit/strata/tenancy/domainproof"
	"github.com/stratakit/strata/tenancy/library"
	"github.com/stratakit/strata/tenancy/move"
	"github.com/stratakit/strata/tenancy/settings"
	"github.com/stratakit/strata/tenancy/tenancyhttp"
)

// Config configures New. The zero value is legal, and makes everything but imports.
type Config struct {
	// Schema and RiverSchema are those given to Migrate. Default "strata", "strata_river".
	Schema, RiverSchema string
	// Catalog holds the plans. Default: the four standard ones (billing.NewCatalog).
	Catalog *billing.Catalog
	// Permissions are those of the product, beside the library's. Default none.
	Permissions []access.Definition
	// SettingKeys are the settings that the product has, beside the library's own.
	SettingKeys []settings.AnyKey
	// Settings configures them, such as what the plans have.
	Settings settings.Config
	// Features may add and take away what the size of a company asks for; see
	// tenancy.StoreConfig.
	Features func(ctx context.Context, bySize tenancy.Features) tenancy.Features
	// Proof configures how names of domains are proven. Default: by asking the name servers
	// of the domain (domainproof.NewVerifier); to ask them otherwise, give a Verifier of your own.
	Proof tenancy.ProofConfig
	// Runner configures the background work. A product that shares the database with
	// others names a Runner.Queue of its own.
	Runner bulk.Config
	// Blueprints are the kinds of blueprints that this process knows, and applies once it is
	// started. Default none.
	Blueprints []*blueprint.Kind
	// Recipients configures recipients, such as how long what is deleted can be restored. Its
	// Settings and Indexes are the library's own, its Extensions those below.
	Recipients recipients.Config
	// Operations configures changes of many recipients. Its Prefix is "recipients".
	Operations bulk.OperationsConfig
	// Bucket keeps uploaded files, and those of exports; the caller closes it after Stop. Nil:
	// no imports, and no exports but what is answered at once.
	Bucket *blob.Bucket
	// Imports configures imports.
	Imports imports.Config
	// Exports configures exports.
	Exports exports.Config
	// Matching configures how persons are found. Its Settings are the library's own.
	Matching persons.MatcherConfig
	// FieldChanges configures changes of custom fields that have values. Its Tables come after
	// the library's own, and its Schema, while it has no Columns, is that of recipients; a
	// product that keeps filters gives Holders.
	FieldChanges lifecycle.Config
	// Move configures moves of domains. Its Participants come after the library's own.
	Move move.Config
	// Extensions are what the products of this process add to recipients, the Registry that was
	// given to Migrate, or migrated after it. Default none.
	Extensions *recipients.Registry
	// Indexes configures the indexes over custom fields, which a started process builds and
	// drops by what filters do.
	Indexes indexes.Config
	// Log receives what goes wrong in the background. Default slog.Default().
	Log *slog.Logger
}

// Strata is every package, wired to the others. The fields are safe for concurrent use.
type Strata struct {
	DB           *tenancy.DB
	Resolver     *tenancy.Resolver
	Tenancy      *tenancy.Store
	Guard        *access.Guard
	Access       *access.Store
	Settings     *settings.Store
	Library      *library.Store
	Blueprints   *blueprint.Store
	Audit        *audit.Recorder
	Limits       *billing.Limits
	Fields       *customfields.Registry
	FieldChanges *lifecycle.Manager
	Indexes      *indexes.Advisor
	Recipients   *recipients.Store
	Persons      *persons.Store
	Targeter     *persons.Targeter
	Matcher      *persons.Matcher
	Completer    *persons.Completer
	Runner       *bulk.Runner
	Operations   *bulk.Operations  // on recipients; add a product's own with bulk.Register before Start
	Imports      *imports.Importer // nil without Config.Bucket
	Exports      *exports.Exporter
	Mover        *move.Mover

	log    *slog.Logger
	cancel context.CancelFunc // of the background work; nil unless started
	done   sync.WaitGroup
}

// New wires the packages over pool and client, which the caller owns and closes after
// Stop; a nil client is legal: everything works without Redis, slower. A client should
// have redis.Options.ContextTimeoutEnabled: without it go-redis lets a Redis that does
// not answer hold a call beyond its context. New returns ErrSchemaTooOld or
// ErrSchemaTooNew when the database does not fit: run Migrate first. It returns a *tenancy.CheckError that
// names everything through which one tenant could reach another's rows (tenancy.DB.Check),
// and logs what is less than that, and a *recipients.ExtensionError when the table of an extension
// is not as it has to be.
func New(ctx context.Context, pool *pgxpool.Pool, client redis.UniversalClient, cfg *Config) (_ *Strata, err error) {
	var c Config
	if cfg != nil {
		c = *cfg
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if v := reflect.ValueOf(client); v.Kind() == reflect.Pointer && v.IsNil() {
		client = nil // a *redis.Client that nobody set is not a nil interface
	}
	if err := CheckSchema(ctx, pool, &MigrateConfig{Schema: c.Schema, RiverSchema: c.RiverSchema}); err != nil {
		return nil, err
	}
	s := &Strata{log: c.Log}
	if s.DB, err = tenancy.NewDB(pool, &tenancy.DBConfig{Schema: c.Schema, RiverSchema: c.RiverSchema}); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if err := s.check(ctx); err != nil {
		return nil, err
	}
	if err := c.Extensions.Verify(ctx, s.DB); err != nil {
		return nil, err
	}
	if s.Audit, err = audit.NewRecorder(s.DB, nil); err != nil {
		return nil, err
	}
	if c.Catalog == nil {
		if c.Catalog, err = billing.NewCatalog(); err != nil {
			return nil, err
		}
	}
	if s.Limits, err = billing.NewLimits(s.DB, c.Catalog, s.Audit, nil); err != nil {
		return nil, err
	}
	if s.Resolver, err = tenancy.NewResolver(s.DB, client, &tenancy.ResolverConfig{Log: c.Log}); err != nil {
		return nil, err
	}
	if s.Fields, err = customfields.NewRegistry(s.DB, client, s.Limits, s.Audit, nil); err != nil {
		return nil, err
	}
	founder, err := access.NewFounder(s.Audit)
	if err != nil {
		return nil, err
	}
	if c.Proof.Prover == nil {
		if c.Proof.Prover, err = domainproof.NewVerifier(nil); err != nil {
			return nil, err
		}
	}
	if s.Tenancy, err = tenancy.NewStore(s.DB, s.Audit, &tenancy.StoreConfig{
		Provisioner: s.Limits, Limits: s.Limits, Configuration: s.Fields, Resolver: s.Resolver,
		Features: c.Features, Proof: c.Proof, Owners: founder,
	}); err != nil {
		return nil, err
	}
	permissions, err := access.NewCatalog(&access.CatalogConfig{Permissions: c.Permissions})
	if err != nil {
		return nil, err
	}
	if s.Guard, err = access.NewGuard(s.DB, permissions, nil); err != nil {
		return nil, err
	}
	if s.Access, err = access.NewStore(s.Guard, s.Tenancy, s.Audit); err != nil {
		return nil, err
	}
	if s.Library, err = library.NewStore(s.DB, s.Audit, nil); err != nil {
		return nil, err
	}
	keys, err := settings.NewRegistry(slices.Concat(filter.Settings(), persons.Settings(), c.SettingKeys)...)
	if err != nil {
		return nil, err
	}
	if s.Settings, err = settings.NewStore(s.DB, s.Tenancy, s.Audit, keys, &c.Settings); err != nil {
		return nil, err
	}
	if s.Blueprints, err = blueprint.NewStore(s.DB, s.Audit, &blueprint.Config{Log: c.Log}, c.Blueprints...); err != nil {
		return nil, err
	}
	if c.Indexes.Log == nil {
		c.Indexes.Log = c.Log
	}
	if s.Indexes, err = indexes.New(s.DB, &c.Indexes); err != nil {
		return nil, err
	}
	c.Recipients.Settings, c.Recipients.Indexes, c.Recipients.Extensions = s.Settings, s.Indexes.Recipients(), c.Extensions
	if s.Recipients, err = recipients.NewStore(s.DB, s.Fields, s.Limits, s.Audit, &c.Recipients); err != nil {
		return nil, err
	}
	if s.Persons, err = persons.NewStore(s.DB, s.Audit); err != nil {
		return nil, err
	}
	if s.Targeter, err = persons.NewTargeter(s.DB, s.Recipients); err != nil {
		return nil, err
	}
	if err := s.wireFieldChanges(c); err != nil {
		return nil, err
	}
	if c.Runner.Log == nil {
		c.Runner.Log = c.Log
	}
	if s.Runner, err = bulk.NewRunner(s.DB, client, s.Audit, s.Resolver, &c.Runner); err != nil {
		return nil, err
	}
	if c.Operations.Log == nil {
		c.Operations.Log = c.Log
	}
	c.Operations.Prefix = ""
	if s.Operations, err = operations.New(s.Recipients, s.Runner, &c.Operations); err != nil {
		return nil, err
	}
	c.Matching.Settings = s.Settings
	if s.Matcher, err = persons.NewMatcher(s.Persons, s.Fields, s.Runner, &c.Matching); err != nil {
		return nil, err
	}
	if s.Completer, err = persons.NewCompleter(s.Persons, s.Recipients, s.Runner, nil); err != nil {
		return nil, err
	}
	if c.Bucket != nil {
		if c.Imports.Log == nil {
			c.Imports.Log = c.Log
		}
		if s.Imports, err = imports.NewImporter(s.DB, s.Runner, s.Recipients, s.Fields, s.Limits, s.Audit, c.Bucket, &c.Imports); err != nil {
			return nil, err
		}
	}
	if c.Exports.Log == nil {
		c.Exports.Log = c.Log
	}
	if s.Exports, err = exports.NewExporter(s.DB, s.Runner, s.Recipients, s.Audit, c.Bucket, &c.Exports); err != nil {
		return nil, err
	}
	c.Move.Participants = append(s.participants(), c.Move.Participants...)
	if c.Move.Queue == "" { // it is not done where a participant may be missing
		c.Move.Queue = c.Runner.Queue
	}
	if c.Move.Log == nil {
		c.Move.Log = c.Log
	}
	s.Mover, err = move.NewMover(s.DB, s.Resolver, s.Audit, &c.Move)
	return s, err
}

func (s *Strata) wireFieldChanges(c Config) (err error) {
	f := c.FieldChanges
	f.Tables = append(recipients.FieldTables(), f.Tables...)
	if f.Schema.Columns == nil {
		f.Schema = s.Recipients.Schema()
	}
	if f.Queue == "" { // nothing is done where a table or a holder may be missing
		f.Queue = c.Runner.Queue
	}
	if f.Log == nil {
		f.Log = c.Log
	}
	s.FieldChanges, err = lifecycle.NewManager(s.DB, s.Fields, s.Audit, &f)
	return err
}

// participants are the packages that have a say in the move of a domain, in the order of the
// counters that they touch.
func (s *Strata) participants() []move.Participant {
	out := []move.Participant{s.Access, s.Settings, s.Fields, s.Limits, s.Recipients, s.Persons, s.Runner, s.Exports}
	if s.Imports != nil {
		out = append(out, s.Imports)
	}
	return out
}

// check refuses to start where tenants are not kept apart, and logs what should be put
// right.
func (s *Strata) check(ctx context.Context) error {
	err := s.DB.Check(ctx)
	var found *tenancy.CheckError
	if !errors.As(err, &found) {
		return err
	}
	if warnings := found.Of(tenancy.Warn); warnings != nil {
		for _, p := range warnings.Problems {
			s.log.WarnContext(ctx, "tenants are kept apart, but not as well as they could be", "subject", p.Subject, "problem", p.Message, "want", p.Want)
		}
	}
	if refused := found.Of(tenancy.Refuse); refused != nil {
		return fmt.Errorf("strata: %w", refused)
	}
	return nil
}

// housekeeping is how often what expired is cleaned away.
const housekeeping = 5 * time.Minute

// Start begins the background work of this process: runs that were submitted here or
// whose process died, moves of domains, blueprints, changes of custom fields, indexes over
// them, word of changed tenants, and housekeeping. A process that only serves requests need
// not start; it then notices
// changed tenants after 30 s. ctx bounds the start only.
func (s *Strata) Start(ctx context.Context) error {
	if s.cancel != nil {
		return errors.New("strata: started already")
	}
	if err := s.Runner.Start(ctx); err != nil {
		return fmt.Errorf("strata: %w", err)
	}
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.cancel = cancel
	s.done.Go(func() { _ = s.Resolver.Run(work) }) // returns the context's error
	s.done.Go(func() { _ = s.Mover.Run(work) })
	s.done.Go(func() { _ = s.Blueprints.Work(work) })
	s.done.Go(func() { _ = s.FieldChanges.Work(work) })
	s.done.Go(func() { _ = s.Indexes.Run(work) })
	s.done.Go(func() { s.keepHouse(work) })
	return nil
}

// keepHouse does what is due because time has passed. In how many processes does not
// matter: each thing is done once.
func (s *Strata) keepHouse(ctx context.Context) {
	type chore struct {
		what string
		do   func(context.Context) (int, error)
	}
	chores := []chore{
		{"expire reservations", s.Limits.ExpireReservations},
		{"refresh access", func(ctx context.Context) (int, error) { return s.Limits.RefreshAccess(ctx, s.Tenancy) }},
		{"sweep idempotency keys", func(ctx context.Context) (int, error) { return tenancyhttp.SweepIdempotencyKeys(ctx, s.DB) }},
		{"check domain names again", s.Tenancy.RecheckDomains},
		{"settle unique fields", s.Fields.SettleUniques},
		{"purge recipients", s.Recipients.PurgeDeleted},
		{"sweep persons", s.Persons.Sweep},
		{"fold counts", s.Recipients.FoldCounts},
		{"reconcile counts", s.reconcileCounts},
		{"sweep exports", s.Exports.Sweep},
		{"forget old runs", s.Runner.Forget},
	}
	if s.Imports != nil {
		chores = append(chores, chore{"sweep imports", s.Imports.Sweep})
	}
	for {
		for _, c := range chores {
			if _, err := c.do(ctx); err != nil && ctx.Err() == nil {
				s.log.WarnContext(ctx, "housekeeping failed, trying again later", "chore", c.what, "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(housekeeping):
		}
	}
}

// reconcileCounts says when counts were wrong, which writes alone do not make them.
func (s *Strata) reconcileCounts(ctx context.Context) (int, error) {
	n, err := s.Recipients.ReconcileCounts(ctx)
	if n > 0 {
		s.log.WarnContext(ctx, "counts of recipients were wrong and are mended: the audit log says which", "domains", n)
	}
	return n, err
}

// Stop ends the background work: the batch in hand finishes, and the runs are handed
// over to whoever runs next. When ctx ends first the work is broken off, which loses
// nothing either. The Strata must not be used afterwards.
func (s *Strata) Stop(ctx context.Context) error {
	var err error
	if s.cancel != nil {
		err = s.Runner.Stop(ctx)
		s.cancel()
		s.done.Wait()
		s.cancel = nil
	}
	s.close()
	return err
}

func (s *Strata) close() {
	if s.Resolver != nil {
		s.Resolver.Close()
	}
	_ = s.DB.Close() // ends its own goroutine; the pool is the caller's
}
