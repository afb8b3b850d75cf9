package customfields

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/billing"
	"github.com/stratakit/strata/tenancy"
)

// Config configures a Registry. The zero value is legal.
type Config struct {
	// Lifetime is how long a set is used without asking PostgreSQL whether it is still
	// the current version: how late another process's change can be noticed. Default 2 s.
	Lifetime time.Duration
	// MaxWorkspaces bounds the sets kept in memory. Default 10,000.
	MaxWorkspaces int
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// Registry keeps the definitions of every workspace. It is safe for concurrent use.
//
// A set comes from memory; after Config.Lifetime its version is compared with
// PostgreSQL's, and only when that has moved on the definitions are read again, from
// Redis if it has that version, else from PostgreSQL. So Redis can never serve what a
// crashed writer failed to clear.
type Registry struct {
	db     *tenancy.DB
	shared *shared
	limits *billing.Limits
	audit  *audit.Recorder
	cfg    Config
	values string // the table of values; "" until HoldValues

	mu   sync.Mutex // guards sets
	sets map[tenancy.WorkspaceID]cached
}

type cached struct {
	set     *Set
	checked time.Time
}

// NewRegistry returns a Registry. A nil client is legal.
func NewRegistry(db *tenancy.DB, client redis.UniversalClient, limits *billing.Limits, recorder *audit.Recorder, cfg *Config) (*Registry, error) {
	if db == nil || limits == nil || recorder == nil {
		return nil, errors.New("customfields: NewRegistry needs a DB, Limits and a Recorder")
	}
	r := &Registry{db: db, limits: limits, audit: recorder, sets: map[tenancy.WorkspaceID]cached{}}
	if cfg != nil {
		r.cfg = *cfg
	}
	if r.cfg.Lifetime == 0 {
		r.cfg.Lifetime = 2 * time.Second
	}
	if r.cfg.MaxWorkspaces == 0 {
		r.cfg.MaxWorkspaces = 10_000
	}
	if r.cfg.Now == nil {
		r.cfg.Now = time.Now
	}
	r.shared = newShared(client, r.cfg.Now)
	return r, nil
}

// reader is a tenancy.DB or a tenancy.Tx.
type reader interface {
	Read(ctx context.Context, q string, args []any, scan func(pgx.Rows) error) error
}

// Set returns the fields of the workspace of ctx's tenant.
func (r *Registry) Set(ctx context.Context) (*Set, error) { return r.set(ctx, r.db, r.cfg.Lifetime) }

// Current is Set without Config.Lifetime: it asks PostgreSQL in any case. It is for work
// that keeps the set's Version and has to begin with the newest.
func (r *Registry) Current(ctx context.Context) (*Set, error) { return r.set(ctx, r.db, 0) }

// changedBy marks a transaction in which a Registry has changed definitions.
type changedBy struct{ *Registry }

// SetTx is Set inside a transaction, which must be in the scope of the same workspace: it
// needs no second connection and no Redis, and sees what the transaction has changed.
func (r *Registry) SetTx(ctx context.Context, tx *tenancy.Tx) (*Set, error) {
	t, err := workspace(ctx, tx)
	if err != nil {
		return nil, err
	}
	if tx.Marked(changedBy{r}) {
		return read(ctx, tx, t.WorkspaceID) // and kept nowhere: it may be rolled back
	}
	return r.set(ctx, tx, r.cfg.Lifetime)
}

// workspace returns the tenant of ctx. Row-level security shows nothing of its workspace
// to a transaction in the scope of another one, which would look like no definitions.
func workspace(ctx context.Context, tx *tenancy.Tx) (tenancy.Tenant, error) {
	t, err := tenancy.WorkspaceFrom(ctx)
	if err == nil && t.WorkspaceID != tx.Tenant().WorkspaceID {
		err = errors.New("customfields: the transaction is in the scope of another workspace than the context")
	}
	return t, err
}

// set returns a set that was compared with PostgreSQL less than lifetime ago, or now.
func (r *Registry) set(ctx context.Context, db reader, lifetime time.Duration) (*Set, error) {
	t, err := tenancy.WorkspaceFrom(ctx)
	if err != nil {
		return nil, err
	}
	now := r.cfg.Now()
	r.mu.Lock()
	have, ok := r.sets[t.WorkspaceID]
	r.mu.Unlock()
	if ok && now.Sub(have.checked) < lifetime {
		return have.set, nil
	}
	version, err := version(ctx, db, t.WorkspaceID)
	if err != nil {
		return nil, err
	}
	set := have.set
	if set == nil || set.Version != version {
		alone := db == r.db // else there is a connection in hand that others wait for
		set = nil
		if alone {
			set = r.shared.get(ctx, t.WorkspaceID, version)
		}
		if set == nil {
			if set, err = read(ctx, db, t.WorkspaceID); err != nil {
				return nil, err
			}
			if alone {
				r.shared.put(ctx, t.WorkspaceID, set)
			}
		}
	}
	r.keep(t.WorkspaceID, cached{set, now})
	return set, nil
}

// keep stores a set; when there are too many, any other goes.
func (r *Registry) keep(id tenancy.WorkspaceID, c cached) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if have, ok := r.sets[id]; ok && have.set.Version > c.set.Version {
		return // a slower reader comes with an older set
	}
	for other := range r.sets {
		if len(r.sets) < r.cfg.MaxWorkspaces {
			break
		}
		delete(r.sets, other)
	}
	r.sets[id] = c
}

// Version returns the current version of the definitions, straight from PostgreSQL. A
// workspace that never had a field is at 0.
func (r *Registry) Version(ctx context.Context) (int64, error) {
	t, err := tenancy.WorkspaceFrom(ctx)
	if err != nil {
		return 0, err
	}
	return version(ctx, r.db, t.WorkspaceID)
}

// VersionTx is Version inside a transaction.
func (r *Registry) VersionTx(ctx context.Context, tx *tenancy.Tx) (int64, error) {
	t, err := workspace(ctx, tx)
	if err != nil {
		return 0, err
	}
	return version(ctx, tx, t.WorkspaceID)
}

func version(ctx context.Context, db reader, workspace tenancy.WorkspaceID) (int64, error) {
	var version int64
	err := db.Read(ctx, `SELECT version FROM strata.custom_field_sets WHERE workspace_id = $1`, []any{workspace}, func(rows pgx.Rows) error {
		v, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[int64])
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		version = v
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("customfields: read the version: %w", err)
	}
	return version, nil
}

const fieldColumns = `f.id, f.key, coalesce(f.slot, f.key), f.label, f.description, f.type, f.options, f.archived_options, f.constraints, f.date_only, f.required,
	f.unique_state IN ('building', 'on'), CASE WHEN f.unique_state IN ('building', 'clearing') THEN f.unique_state ELSE '' END, f.unique_run,
	f.default_value, f.filterable, f.position, f.version, f.created_at, f.updated_at, f.archived_at, f.transition`

// columns are where fieldColumns go.
func (f *Field) columns() []any {
	return []any{
		&f.ID, &f.Key, &f.Slot, &f.Label, &f.Description, &f.Type, &f.Options, &f.ArchivedOptions, &f.Constraints, &f.DateOnly, &f.Required,
		&f.Unique, &f.UniqueState, &f.uniqueRun,
		&f.Default, &f.Filterable, &f.Position, &f.Version, &f.CreatedAt, &f.UpdatedAt, &f.ArchivedAt, &f.Transition,
	}
}

func scanField(row pgx.CollectableRow) (f Field, err error) {
	err = row.Scan(f.columns()...)
	return f, err
}

// read returns version and fields as one statement sees them.
func read(ctx context.Context, db reader, workspace tenancy.WorkspaceID) (*Set, error) {
	var version, layout int64
	var fields []Field
	err := db.Read(ctx, `SELECT s.version, s.layout, `+fieldColumns+` FROM strata.custom_field_sets s
		LEFT JOIN strata.custom_fields f ON f.workspace_id = s.workspace_id
		WHERE s.workspace_id = $1 ORDER BY f.position, f.key`, []any{workspace}, func(rows pgx.Rows) error {
		for rows.Next() {
			var f Field
			into := f.columns()
			none := rows.RawValues()[2] == nil // the only row of a workspace without fields
			if none {
				clear(into) // nothing of it is read
			}
			if err := rows.Scan(append([]any{&version, &layout}, into...)...); err != nil {
				return err
			}
			if !none {
				fields = append(fields, f)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("customfields: read the definitions: %w", err)
	}
	return newSet(version, layout, fields), nil
}

// forget drops the set of a changed workspace here and in Redis.
func (r *Registry) forget(ctx context.Context, id tenancy.WorkspaceID) {
	r.mu.Lock()
	delete(r.sets, id)
	r.mu.Unlock()
	r.shared.forget(ctx, id)
}

// List returns all fields of the workspace, those archived last.
func (r *Registry) List(ctx context.Context) ([]Field, error) {
	t, err := tenancy.WorkspaceFrom(ctx)
	if err != nil {
		return nil, err
	}
	return list(ctx, r.db, t.WorkspaceID)
}

func list(ctx context.Context, db reader, workspace tenancy.WorkspaceID) (fields []Field, err error) {
	err = db.Read(ctx, `SELECT `+fieldColumns+` FROM strata.custom_fields f WHERE f.workspace_id = $1
		ORDER BY f.archived_at IS NOT NULL, f.position, f.key`, []any{workspace}, func(rows pgx.Rows) (err error) {
		fields, err = pgx.CollectRows(rows, scanField)
		return err
	})
	return fields, err
}

// Create adds a field. ID, times and ArchivedAt are set by the registry. Errors:
// *tenancy.ValidationError, ErrKeyTaken, ErrKeyHeld, *billing.LimitError, tenancy.ErrNotFound
// when the workspace is deleted.
func (r *Registry) Create(ctx context.Context, f Field) (out Field, err error) {
	err = r.db.InTx(ctx, func(tx *tenancy.Tx) error {
		out, err = r.CreateTx(ctx, tx, f)
		return err
	})
	return out, err
}

// CreateTx is Create in the caller's transaction. Until that ends, other changes of the
// workspace's fields wait, and only its own SetTx sees the field.
func (r *Registry) CreateTx(ctx context.Context, tx *tenancy.Tx, f Field) (Field, error) {
	f.Options, f.ArchivedOptions = slices.Clone(f.Options), slices.Clone(f.ArchivedOptions)
	if err := f.check(); err != nil {
		return Field{}, err
	}
	t, err := r.change(ctx, tx)
	if err != nil {
		return Field{}, err
	}
	if err := tx.LiveWorkspace(ctx); err != nil {
		return Field{}, err
	}
	fields, err := list(ctx, tx, t.WorkspaceID)
	if err != nil {
		return Field{}, err
	}
	f.ID, f.ArchivedAt, f.Slot = tenancy.NewID[Field](), nil, FreeSlot(f.Key, fields)
	if err := r.held(ctx, tx, f.Key, f.ID); err != nil {
		return Field{}, err
	}
	rows, err := f.insert(ctx, tx, t)
	if err != nil {
		return Field{}, err
	}
	out, err := pgx.CollectExactlyOneRow(rows, scanField)
	if errors.Is(err, pgx.ErrNoRows) {
		return Field{}, fmt.Errorf("key %q: %w", f.Key, ErrKeyTaken)
	}
	if err != nil {
		return Field{}, err
	}
	if err := r.record(ctx, tx, "custom_field.created", out); err != nil {
		return Field{}, err
	}
	return out, r.limits.Consume(ctx, tx, billing.ResourceCustomFields, 1)
}

// insert writes f as a new row and returns it, or no row when its key is taken. Nobody has
// a value under a new key, so that it can be unique at once.
func (f *Field) insert(ctx context.Context, tx *tenancy.Tx, t tenancy.Tenant) (pgx.Rows, error) {
	return tx.Query(ctx, tx.SQL(`INSERT INTO strata.custom_fields AS f (workspace_id, id, company_id, key, archived_at, type, slot, unique_state,
			label, description, options, archived_options, constraints, date_only, required, default_value, filterable, position)
		VALUES ($1, $2, $3, $4, $5, $6, nullif($7, $4), CASE WHEN $8::bool THEN 'on' ELSE 'off' END, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18) ON CONFLICT (workspace_id, key) DO NOTHING RETURNING `+fieldColumns),
		append([]any{t.WorkspaceID, f.ID, t.CompanyID, f.Key, f.ArchivedAt, string(f.Type), f.Slot, f.Unique}, f.mutable()...)...)
}

// mutable are the values of the columns that can change, in the order of insert and UpdateTx.
func (f *Field) mutable() []any {
	list := func(options []string) []string { return append([]string{}, options...) } // the columns have no NULL
	var value []byte
	if f.prepare(); f.filled != nil {
		value = AppendValue(nil, f.filled)
	}
	return []any{f.Label, f.Description, list(f.Options), list(f.ArchivedOptions), f.Constraints, f.DateOnly, f.Required, value, f.Filterable, f.Position}
}

// Change is what Update changes; nil leaves as it is. Key and type never change, and an
// option is added, moved and archived, never removed.
type Change struct {
	Label           *string
	Description     *string
	Options         *[]string
	ArchivedOptions *[]string
	Constraints     *Constraints // all of them
	DateOnly        *bool
	Required        *bool
	Default         *any // a nil value takes the default away
	Unique          *bool
	Filterable      *bool
	Position        *int

	// Version makes the update conditional: it must be the field's version. 0 updates
	// whatever is there.
	Version int64
}

// Update changes a field. It touches no record: values that the definition would not take
// any more stay until they are written again. Errors: ErrNotFound, *tenancy.ValidationError,
// ErrOptionInUse, ErrVersion, ErrUniqueBusy, *DuplicatesError; ErrChanging for what decides
// which values the field takes, while a change goes through its records (Transition).
//
// A field that becomes unique is looked through before Update returns, in small transactions
// beside all other work, and a million records take a minute or so; with a *DuplicatesError
// all the rest of c is done. It waits for transactions that are writing, so that the caller
// must not have one open. When ctx ends before, or the process dies, SettleUniques goes on.
func (r *Registry) Update(ctx context.Context, key string, c Change) (out Field, err error) {
	err = r.db.InTx(ctx, func(tx *tenancy.Tx) error {
		out, err = r.UpdateTx(ctx, tx, key, c)
		return err
	})
	if err != nil || c.Unique == nil {
		return out, err
	}
	return r.settleUnique(ctx, out)
}

// UpdateTx is Update in the caller's transaction, with what CreateTx says of it. A field that
// becomes unique is looked through by SettleUniques, after the transaction.
func (r *Registry) UpdateTx(ctx context.Context, tx *tenancy.Tx, key string, c Change) (Field, error) {
	t, err := r.change(ctx, tx)
	if err != nil {
		return Field{}, err
	}
	f, err := r.lock(ctx, tx, t, key)
	if err != nil {
		return Field{}, err
	}
	if c.Version != 0 && c.Version != f.Version {
		return Field{}, fmt.Errorf("version %d was given, it is %d: %w", c.Version, f.Version, ErrVersion)
	}
	before := f
	c.apply(&f)
	if err := f.check(); err != nil {
		return Field{}, err
	}
	if before.Transition != nil && f.takesOther(&before) {
		return Field{}, before.changing()
	}
	uniqueState, err := r.turnUnique(before, f)
	if err != nil {
		return Field{}, err
	}
	for _, o := range slices.Concat(before.Options, before.ArchivedOptions) {
		if !slices.Contains(f.Options, o) && !slices.Contains(f.ArchivedOptions, o) {
			return Field{}, fmt.Errorf("option %q: %w", o, ErrOptionInUse)
		}
	}
	rows, err := tx.Query(ctx, tx.SQL(`UPDATE strata.custom_fields AS f SET (label, description, options, archived_options, constraints, date_only,
			required, default_value, filterable, position, unique_state, unique_run, version, updated_at) = ($3, $4, $5, $6, $7, $8, $9, $10, $11, $12,
			coalesce(nullif($13, ''), f.unique_state), f.unique_run + ($13 = 'building')::int, f.version + 1, now())
		WHERE workspace_id = $1 AND id = $2 RETURNING `+fieldColumns), append(append([]any{t.WorkspaceID, f.ID}, f.mutable()...), uniqueState)...)
	if err != nil {
		return Field{}, err
	}
	out, err := pgx.CollectExactlyOneRow(rows, scanField)
	if err != nil {
		return Field{}, err
	}
	return out, r.record(ctx, tx, "custom_field.updated", out)
}

func (c Change) apply(f *Field) {
	assign(&f.Label, c.Label)
	assign(&f.Description, c.Description)
	assign(&f.Options, c.Options)
	assign(&f.ArchivedOptions, c.ArchivedOptions)
	f.Options, f.ArchivedOptions = slices.Clone(f.Options), slices.Clone(f.ArchivedOptions)
	assign(&f.Constraints, c.Constraints)
	assign(&f.DateOnly, c.DateOnly)
	assign(&f.Required, c.Required)
	assign(&f.Default, c.Default)
	assign(&f.Unique, c.Unique)
	assign(&f.Filterable, c.Filterable)
	assign(&f.Position, c.Position)
}

func assign[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

// Archive hides a field: no new values, no filters. Its values stay in the records, and
// its key stays taken. Archiving twice is ErrNotFound; a field that is being changed is
// ErrChanging. lifecycle.Manager.Archive also looks who uses the field.
func (r *Registry) Archive(ctx context.Context, key string) error {
	return r.db.InTx(ctx, func(tx *tenancy.Tx) error { return r.ArchiveTx(ctx, tx, key) })
}

// ArchiveTx is Archive in the caller's transaction, with what CreateTx says of it.
func (r *Registry) ArchiveTx(ctx context.Context, tx *tenancy.Tx, key string) error {
	t, err := r.change(ctx, tx)
	if err != nil {
		return err
	}
	f, err := r.lock(ctx, tx, t, key)
	if err != nil {
		return err
	}
	if f.Transition != nil {
		return f.changing()
	}
	if _, err := tx.Exec(ctx, tx.SQL(`UPDATE strata.custom_fields SET archived_at = now(), updated_at = now(), version = version + 1 WHERE workspace_id = $1 AND id = $2`), t.WorkspaceID, f.ID); err != nil {
		return err
	}
	if err := r.record(ctx, tx, "custom_field.archived", f); err != nil {
		return err
	}
	return r.limits.Release(ctx, tx, billing.ResourceCustomFields, 1)
}

// change begins a change: it bumps the workspace's version, so that changes of one
// workspace queue behind each other, and returns the tenant.
func (r *Registry) change(ctx context.Context, tx *tenancy.Tx) (tenancy.Tenant, error) {
	t, err := workspace(ctx, tx)
	if err != nil {
		return t, err
	}
	tx.Mark(changedBy{r})
	tx.AfterCommit(func(ctx context.Context) { r.forget(ctx, t.WorkspaceID) })
	_, err = tx.Exec(ctx, tx.SQL(`INSERT INTO strata.custom_field_sets AS s (workspace_id, company_id) VALUES ($1, $2)
		ON CONFLICT (workspace_id) DO UPDATE SET version = s.version + 1`), t.WorkspaceID, t.CompanyID)
	if err != nil {
		return t, fmt.Errorf("customfields: %w", err)
	}
	return t, nil
}

func (r *Registry) lock(ctx context.Context, tx *tenancy.Tx, t tenancy.Tenant, key string) (Field, error) {
	rows, err := tx.Query(ctx, tx.SQL(`SELECT `+fieldColumns+` FROM strata.custom_fields f WHERE f.workspace_id = $1 AND f.key = $2 AND f.archived_at IS NULL FOR UPDATE`), t.WorkspaceID, key)
	if err != nil {
		return Field{}, err
	}
	return one(rows)
}

// one returns the only row, or ErrNotFound.
func one(rows pgx.Rows) (Field, error) {
	f, err := pgx.CollectExactlyOneRow(rows, scanField)
	if errors.Is(err, pgx.ErrNoRows) {
		return Field{}, ErrNotFound
	}
	return f, err
}

func (r *Registry) record(ctx context.Context, tx *tenancy.Tx, action string, f Field) error {
	return r.audit.RecordTx(ctx, tx, entry(action, f))
}

func entry(action string, f Field) audit.Entry {
	return audit.Entry{
		Action: action, ResourceType: "custom_field", ResourceID: f.ID.String(),
		Metadata: map[string]any{"key": f.Key, "type": f.Type, "label": f.Label},
	}
}
