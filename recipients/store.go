package recipients

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/billing"
	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/customfields/filter"
	"github.com/stratakit/strata/customfields/indexes"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/settings"
)

// Config configures a Store. The zero value is legal.
type Config struct {
	// Settings has the time zone of a workspace and what its filters may cost
	// (filter.Settings). Default none: UTC, and filter.DefaultMaxCost.
	Settings *settings.Store
	// FilterTimeout bounds a statement of List and Count. Default 10 s.
	FilterTimeout time.Duration
	// PurgeAfter is how long what is deleted can be restored before PurgeDeleted takes it
	// away for good: recipients, and with their domains, workspaces and companies all of
	// theirs. Default 30 days.
	PurgeAfter time.Duration
	// Now is the clock of PurgeDeleted and ReconcileCounts. Default time.Now.
	Now func() time.Time
	// Indexes knows which custom fields have an index of their own, and learns how long
	// lists take. Default none.
	Indexes *indexes.TableIndexes
	// Extensions are those of the products of this process; no other Store has them. Default
	// none: filters and lists still know what other products have stored.
	Extensions *Registry
}

// Store keeps the recipients of every domain; each call works in the domain of its
// context's tenant. Every write validates core and custom fields with all errors at
// once, is counted against the plan and audited in its transaction; the audit entry
// names the recipient by id and the changed fields by key, never a person's data. A
// Store is safe for concurrent use.
//
// Each write has a form for up to MaxBatch recipients, which does all of them or none with a
// few statements, and returns all that is wrong as one *tenancy.ValidationError whose fields
// begin with the index of the row, such as "[3].email". And each has a form ...Tx for a
// transaction of the caller, which after an error goes on as before the call. The others try
// again when PostgreSQL ends a deadlock of theirs with somebody else; a ...Tx cannot.
type Store struct {
	db      *tenancy.DB
	fields  *customfields.Registry
	limits  *billing.Limits
	audit   *audit.Recorder
	scopes  *filter.Scopes
	indexes *indexes.TableIndexes
	timeout time.Duration

	purgeAfter time.Duration
	now        func() time.Time
	reconciled atomic.Int64 // the last turn of ReconcileCounts

	registered map[string]*extension // by name
	extensions extensions
}

// NewStore returns a Store.
func NewStore(db *tenancy.DB, fields *customfields.Registry, limits *billing.Limits, recorder *audit.Recorder, cfg *Config) (*Store, error) {
	if db == nil || fields == nil || limits == nil || recorder == nil {
		return nil, errors.New("recipients: NewStore needs a DB, a Registry, Limits and a Recorder")
	}
	fields.HoldValues("strata.recipients")
	s := &Store{
		db: db, fields: fields, limits: limits, audit: recorder, timeout: 10 * time.Second,
		purgeAfter: 30 * 24 * time.Hour, now: time.Now,
	}
	var preferences *settings.Store
	var registry *Registry
	if cfg != nil {
		registry = cfg.Extensions
		preferences = cfg.Settings
		s.indexes = cfg.Indexes
		if cfg.FilterTimeout > 0 {
			s.timeout = cfg.FilterTimeout
		}
		if cfg.PurgeAfter > 0 {
			s.purgeAfter = cfg.PurgeAfter
		}
		if cfg.Now != nil {
			s.now = cfg.Now
		}
	}
	var err error
	if s.scopes, err = filter.NewScopes(fields, preferences); err != nil {
		return nil, err
	}
	if err := registry.bind(s); err != nil {
		return nil, err
	}
	return s, s.extensions.set(s.registered, nil)
}

// Filter compiles a filter over recipients for the workspace of ctx's tenant, from memory
// where it can: over Columns, fields.<key> and the extensions, those of other products too. In
// the scope of a company there are no custom fields, because each workspace has its own. A
// statement needs the joins of filter.Filter.Joins. Errors: *filter.Error, tenancy.ErrNoTenant.
func (s *Store) Filter(ctx context.Context, expr string) (*filter.Filter, error) {
	t, err := tenancy.TenantFrom(ctx)
	if err != nil {
		return nil, err
	}
	var scope filter.Scope
	if t.Level() > tenancy.LevelCompany {
		if scope, err = s.scopes.Of(ctx); err != nil {
			return nil, err
		}
	}
	f, err := s.extensions.now().filters.Compile(scope, expr)
	var wrong *filter.Error
	if !errors.As(err, &wrong) {
		return f, err
	}
	// It may ask for what another product has come to have.
	if changed, readErr := s.readExtensions(ctx); readErr != nil || !changed {
		return nil, errors.Join(readErr, err)
	}
	return s.extensions.now().filters.Compile(scope, expr)
}

const recipientColumns = `r.id, r.email, r.name, r.status, r.status_reason, r.status_changed_at, r.custom_fields, r.person_id, r.version, r.created_at, r.updated_at, r.deleted_at`

// scanRecipient reads recipientColumns, and into more what is selected after them. set is
// that of the workspace.
func scanRecipient(set *customfields.Set, row pgx.CollectableRow, more ...any) (r Recipient, err error) {
	var stored pgtype.DriverBytes
	if err = r.scan(row, &stored, more...); err == nil {
		r.CustomFields, err = set.Decode(stored)
	}
	return r, err
}

// scan reads recipientColumns, the custom fields as they are stored into fields.
func (r *Recipient) scan(row pgx.CollectableRow, fields any, more ...any) error {
	err := row.Scan(append([]any{
		&r.ID, &r.Email, &r.Name, &r.Status, &r.StatusReason, &r.StatusChangedAt, fields, &r.PersonID,
		&r.Version, &r.CreatedAt, &r.UpdatedAt, &r.DeletedAt,
	}, more...)...)
	r.CreatedAt, r.UpdatedAt = r.CreatedAt.UTC(), r.UpdatedAt.UTC()
	for _, at := range []**time.Time{&r.StatusChangedAt, &r.DeletedAt} {
		if *at != nil {
			utc := (*at).UTC()
			*at = &utc
		}
	}
	return err
}

// Get returns a recipient, or ErrNotFound, with its rows in extensions: those of Query.With.
func (s *Store) Get(ctx context.Context, id ID, with ...string) (Recipient, error) {
	return withoutLost(ctx, s, func() (Recipient, error) { return s.get(ctx, id, live, with) })
}

// GetDeleted is Get for a recipient that is deleted and not purged yet.
func (s *Store) GetDeleted(ctx context.Context, id ID, with ...string) (Recipient, error) {
	return withoutLost(ctx, s, func() (Recipient, error) { return s.get(ctx, id, deleted, with) })
}

func (s *Store) get(ctx context.Context, id ID, which string, with []string) (out Recipient, err error) {
	t, err := tenancy.DomainFrom(ctx)
	if err != nil {
		return out, err
	}
	set, err := s.fields.Set(ctx)
	if err != nil {
		return out, err
	}
	x, err := s.with(ctx, with)
	if err != nil {
		return out, err
	}
	targets, put := x.scan()
	err = s.db.Read(ctx, `SELECT `+recipientColumns+x.columns()+` FROM strata.recipients r`+x.joins()+` WHERE r.domain_id = $1 AND r.id = $2 AND `+which,
		[]any{t.DomainID, id}, func(rows pgx.Rows) (err error) {
			out, err = pgx.CollectExactlyOneRow(rows, func(row pgx.CollectableRow) (Recipient, error) { return scanRecipient(set, row, targets...) })
			if err != nil {
				return err
			}
			return put(&out)
		})
	if errors.Is(err, pgx.ErrNoRows) {
		return Recipient{}, ErrNotFound
	}
	return out, err
}
