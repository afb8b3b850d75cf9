package recipients

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
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
type Store struct {
	db      *tenancy.DB
	fields  *customfields.Registry
	limits  *billing.Limits
	audit   *audit.Recorder
	scopes  *filter.Scopes
	indexes *indexes.TableIndexes
	timeout time.Duration

	registered map[string]*extension // by name
	extensions extensions
}

// NewStore returns a Store.
func NewStore(db *tenancy.DB, fields *customfields.Registry, limits *billing.Limits, recorder *audit.Recorder, cfg *Config) (*Store, error) {
	if db == nil || fields == nil || limits == nil || recorder == nil {
		return nil, errors.New("recipients: NewStore needs a DB, a Registry, Limits and a Recorder")
	}
	fields.HoldValues("strata.recipients")
	s := &Store{db: db, fields: fields, limits: limits, audit: recorder, timeout: 10 * time.Second}
	var preferences *settings.Store
	var registry *Registry
	if cfg != nil {
		registry = cfg.Extensions
		preferences = cfg.Settings
		s.indexes = cfg.Indexes
		if cfg.FilterTimeout > 0 {
			s.timeout = cfg.FilterTimeout
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
// where it can: over Columns, fields.<key> and the extensions, those of other products too. A
// statement needs the joins of filter.Filter.Joins. Errors: *filter.Error, tenancy.ErrNoTenant.
func (s *Store) Filter(ctx context.Context, expr string) (*filter.Filter, error) {
	scope, err := s.scopes.Of(ctx)
	if err != nil {
		return nil, err
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

const recipientColumns = `r.id, r.email, r.name, r.status, r.custom_fields, r.person_id, r.version, r.created_at, r.updated_at`

// scanRecipient reads recipientColumns, and into more what is selected after them. set is
// that of the workspace.
func scanRecipient(set *customfields.Set, row pgx.CollectableRow, more ...any) (r Recipient, err error) {
	var stored pgtype.DriverBytes
	err = row.Scan(append([]any{&r.ID, &r.Email, &r.Name, &r.Status, &stored, &r.PersonID, &r.Version, &r.CreatedAt, &r.UpdatedAt}, more...)...)
	if err != nil {
		return r, err
	}
	r.CreatedAt, r.UpdatedAt = r.CreatedAt.UTC(), r.UpdatedAt.UTC()
	r.CustomFields, err = set.Decode(stored)
	return r, err
}

// one returns the one row of a statement; none is ErrNotFound, a taken address ErrEmailTaken,
// a taken value a *customfields.TakenError.
func one(set *customfields.Set, rows pgx.Rows, err error) (Recipient, error) {
	if err != nil {
		return Recipient{}, err
	}
	r, err := pgx.CollectExactlyOneRow(rows, func(row pgx.CollectableRow) (Recipient, error) { return scanRecipient(set, row) })
	var pg *pgconn.PgError
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return r, ErrNotFound
	case errors.As(err, &pg) && pg.ConstraintName == "recipients_email":
		return r, ErrEmailTaken
	}
	return r, customfields.Taken(err)
}

// Get returns a recipient, or ErrNotFound.
func (s *Store) Get(ctx context.Context, id ID) (Recipient, error) {
	t, err := tenancy.DomainFrom(ctx)
	if err != nil {
		return Recipient{}, err
	}
	set, err := s.fields.Set(ctx)
	if err != nil {
		return Recipient{}, err
	}
	var out Recipient
	err = s.db.Read(ctx, `SELECT `+recipientColumns+` FROM strata.recipients r WHERE r.domain_id = $1 AND r.id = $2 AND r.deleted_at IS NULL`,
		[]any{t.DomainID, id}, func(rows pgx.Rows) (err error) {
			out, err = one(set, rows, nil)
			return err
		})
	return out, err
}

// Update changes a recipient. Errors: ErrNotFound, ErrVersion, ErrEmailTaken,
// *customfields.TakenError, *tenancy.ValidationError.
func (s *Store) Update(ctx context.Context, id ID, c Change) (Recipient, error) {
	return inTx(ctx, s, func(tx *tenancy.Tx) (Recipient, error) { return s.update(ctx, tx, id, c) })
}

// UpdateTx is Update in the caller's transaction: after an error, tx goes on as before the
// call.
func (s *Store) UpdateTx(ctx context.Context, tx *tenancy.Tx, id ID, c Change) (Recipient, error) {
	return inSavepoint(ctx, tx, func() (Recipient, error) { return s.update(ctx, tx, id, c) })
}

func (s *Store) update(ctx context.Context, tx *tenancy.Tx, id ID, c Change) (Recipient, error) {
	t, err := tenancy.DomainFrom(ctx)
	if err != nil {
		return Recipient{}, err
	}
	set, err := s.fields.SetTx(ctx, tx)
	if err != nil {
		return Recipient{}, err
	}
	var version int64
	var stored map[string]any
	err = tx.QueryRow(ctx, tx.SQL(`SELECT version, custom_fields FROM strata.recipients WHERE domain_id = $1 AND id = $2 AND deleted_at IS NULL FOR UPDATE`),
		t.DomainID, id).Scan(&version, &stored)
	if errors.Is(err, pgx.ErrNoRows) {
		return Recipient{}, ErrNotFound
	}
	if err != nil {
		return Recipient{}, err
	}
	if c.Version != 0 && c.Version != version {
		return Recipient{}, fmt.Errorf("version %d was given, it is %d: %w", c.Version, version, ErrVersion)
	}
	assignments, args, changed, err := assign(set, stored, c, []any{t.DomainID, id})
	if err != nil {
		return Recipient{}, err
	}
	rows, err := tx.Query(ctx, tx.SQL(`UPDATE strata.recipients r SET `+strings.Join(assignments, ", ")+` WHERE r.domain_id = $1 AND r.id = $2 RETURNING `+recipientColumns), args...)
	r, err := one(set, rows, err)
	if err != nil {
		return Recipient{}, err
	}
	return r, s.record(ctx, tx, "recipient.updated", id, changed)
}

// assign checks a change of a recipient that has the custom fields stored, and returns its
// SET clauses, with args after those given.
func assign(set *customfields.Set, stored map[string]any, c Change, args []any) (assignments []string, allArgs []any, changed []string, err error) {
	var v tenancy.ValidationError
	add := func(field, clause string, problem *tenancy.FieldError, values ...any) {
		if problem != nil {
			v.Fields = append(v.Fields, *problem)
			return
		}
		for _, value := range values {
			args = append(args, value)
			clause = strings.Replace(clause, "?", fmt.Sprintf("$%d", len(args)), 1)
		}
		assignments, changed = append(assignments, clause), append(changed, field)
	}
	if c.Email != nil {
		norm, problem := NormalizeEmail(*c.Email)
		add("email", "email = ?, email_norm = ?", problem, strings.TrimSpace(*c.Email), norm)
	}
	if c.Name != nil {
		name, problem := NormalizeName(*c.Name)
		add("name", "name = ?", problem, name)
	}
	if c.Status != nil {
		status, problem := NormalizeStatus(string(*c.Status))
		add("status", "status = ?", problem, string(status))
	}
	if len(c.CustomFields) > 0 {
		values, unset, err := set.NormalizePatch(stored, c.CustomFields)
		if err := collect(&v, err); err != nil {
			return nil, nil, nil, err
		}
		if unset == nil {
			unset = []string{}
		}
		add("customFields", "custom_fields = (r.custom_fields || ?::jsonb) - ?::text[]", nil, customfields.AppendJSON(nil, values), unset)
		changed = append(changed[:len(changed)-1], slices.Sorted(maps.Keys(c.CustomFields))...)
	}
	assignments = append(assignments, "version = r.version + 1", "updated_at = now()")
	return assignments, args, changed, v.OrNil()
}

// Delete hides a recipient and frees its address and its place in the plan. Errors:
// ErrNotFound.
func (s *Store) Delete(ctx context.Context, id ID) error {
	_, err := inTx(ctx, s, func(tx *tenancy.Tx) (Recipient, error) { return Recipient{}, s.remove(ctx, tx, id) })
	return err
}

// DeleteTx is Delete in the caller's transaction: after an error, tx goes on as before the
// call.
func (s *Store) DeleteTx(ctx context.Context, tx *tenancy.Tx, id ID) error {
	return tx.Savepoint(ctx, func(tx *tenancy.Tx) error { return s.remove(ctx, tx, id) })
}

func (s *Store) remove(ctx context.Context, tx *tenancy.Tx, id ID) error {
	t, err := tenancy.DomainFrom(ctx)
	if err != nil {
		return err
	}
	tag, err := tx.Exec(ctx, tx.SQL(`UPDATE strata.recipients SET deleted_at = now(), updated_at = now(), version = version + 1
		WHERE domain_id = $1 AND id = $2 AND deleted_at IS NULL`), t.DomainID, id)
	if err != nil {
		return err
	}
	if tag.RowsAffected() == 0 {
		return ErrNotFound
	}
	if err := s.record(ctx, tx, "recipient.deleted", id, nil); err != nil {
		return err
	}
	return s.limits.Release(ctx, tx, billing.ResourceRecipients, 1)
}

// Restore brings a deleted recipient back. Errors: ErrNotFound for one that is not
// there or not deleted, ErrEmailTaken, *customfields.TakenError, *billing.LimitError.
func (s *Store) Restore(ctx context.Context, id ID) (Recipient, error) {
	return inTx(ctx, s, func(tx *tenancy.Tx) (Recipient, error) {
		set, err := s.fields.SetTx(ctx, tx)
		if err != nil {
			return Recipient{}, err
		}
		rows, err := tx.Query(ctx, tx.SQL(`UPDATE strata.recipients r SET deleted_at = NULL, updated_at = now(), version = r.version + 1
			WHERE r.domain_id = $1 AND r.id = $2 AND r.deleted_at IS NOT NULL RETURNING `+recipientColumns), tx.Tenant().DomainID, id)
		r, err := one(set, rows, err)
		if err != nil {
			return r, err
		}
		if err := s.record(ctx, tx, "recipient.restored", id, nil); err != nil {
			return r, err
		}
		return r, s.limits.Consume(ctx, tx, billing.ResourceRecipients, 1)
	})
}

func inTx(ctx context.Context, s *Store, fn func(tx *tenancy.Tx) (Recipient, error)) (Recipient, error) {
	if _, err := tenancy.DomainFrom(ctx); err != nil {
		return Recipient{}, err
	}
	var out Recipient
	err := s.db.InTx(ctx, func(tx *tenancy.Tx) (err error) {
		out, err = fn(tx)
		return err
	})
	if err != nil {
		return Recipient{}, err
	}
	return out, nil
}

// inSavepoint runs fn so that an error undoes all that it did in tx, and no more: a limit
// is the last thing that refuses, when the row stands, and a taken address would abort the
// transaction.
func inSavepoint(ctx context.Context, tx *tenancy.Tx, fn func() (Recipient, error)) (Recipient, error) {
	var out Recipient
	err := tx.Savepoint(ctx, func(*tenancy.Tx) (err error) {
		out, err = fn()
		return err
	})
	if err != nil {
		return Recipient{}, err
	}
	return out, nil
}

func (s *Store) record(ctx context.Context, tx *tenancy.Tx, action string, id ID, changed []string) error {
	e := audit.Entry{Action: action, ResourceType: "recipient", ResourceID: id.String()}
	if len(changed) > 0 {
		e.Metadata = map[string]any{"fields": changed}
	}
	return s.audit.RecordTx(ctx, tx, e)
}
