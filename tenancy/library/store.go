package library

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stratakit/strata/tenancy"
)

// Config configures a Store. The zero value is legal.
type Config struct {
	// MaxBody is how large the body of an item may be as JSON, in bytes. Default 1 MiB.
	MaxBody int
}

// Store keeps the items of every type and knows who sees them. Work with items is done
// through a Type. It is safe for concurrent use.
type Store struct {
	db    *tenancy.DB
	audit tenancy.Auditor
	cfg   Config

	mu    sync.Mutex // guards types
	types map[string]bool
}

// NewStore returns a Store over db that tells audit of every change.
func NewStore(db *tenancy.DB, audit tenancy.Auditor, cfg *Config) (*Store, error) {
	if db == nil || audit == nil {
		return nil, errors.New("library: NewStore needs a DB and an Auditor")
	}
	s := &Store{db: db, audit: audit, types: map[string]bool{}}
	if cfg != nil {
		s.cfg = *cfg
	}
	if s.cfg.MaxBody == 0 {
		s.cfg.MaxBody = 1 << 20
	}
	if s.cfg.MaxBody < 0 {
		return nil, fmt.Errorf("library: Config.MaxBody is %d: want a number of bytes, or 0 for 1 MiB", s.cfg.MaxBody)
	}
	return s, nil
}

// register notes a type's name: two types of one name would read each other's bodies.
func (s *Store) register(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.types[name] {
		return fmt.Errorf("library: there is a type %q already", name)
	}
	s.types[name] = true
	return nil
}

// reader is a tenancy.DB or a tenancy.Tx.
type reader interface {
	Read(ctx context.Context, q string, args []any, scan func(pgx.Rows) error) error
}

// get returns an item that can be seen from ctx, or ErrNotFound.
func (s *Store) get(ctx context.Context, db reader, kind string, id ID) (row, error) {
	visible, err := s.Visible(ctx, "i")
	if err != nil {
		return row{}, err
	}
	where, args := visible.SQL(3)
	var out row
	err = db.Read(ctx, `SELECT `+columns+` FROM strata.library_items i WHERE `+where+` AND i.id = $1 AND i.type = $2 AND i.deleted_at IS NULL`,
		append([]any{id, kind}, args...), func(rows pgx.Rows) (err error) {
			out, err = pgx.CollectExactlyOneRow(rows, scanRow)
			return err
		})
	if errors.Is(err, pgx.ErrNoRows) {
		err = ErrNotFound
	}
	return out, err
}

// own is get for a change: ErrNotOwner for what is only inherited.
func (s *Store) own(ctx context.Context, tx *tenancy.Tx, kind string, id ID) (row, error) {
	t, err := writing(ctx, tx)
	if err != nil {
		return row{}, err
	}
	r, err := s.get(ctx, tx, kind, id)
	if err == nil && !r.ownedBy(t) {
		err = ErrNotOwner
	}
	return r, err
}

// writing begins a change. It returns the scope of ctx, which must be that of tx too:
// row-level security would hide what is not. A context may be older than the end of its
// tenant, so that is looked up.
func writing(ctx context.Context, tx *tenancy.Tx) (tenancy.Tenant, error) {
	t, err := scopeOf(ctx)
	if err != nil {
		return t, err
	}
	if in := tx.Tenant(); in.CompanyID != t.CompanyID || in.WorkspaceID != t.WorkspaceID {
		return t, errors.New("library: the transaction is in the scope of another tenant than the context")
	}
	if t.CompanyID == platform() {
		return t, nil
	}
	err = tx.Read(ctx, `SELECT true FROM strata.companies c WHERE c.id = $1 AND c.deleted_at IS NULL AND ($2::uuid IS NULL
		OR EXISTS (SELECT FROM strata.workspaces w WHERE w.company_id = $1 AND w.id = $2 AND w.deleted_at IS NULL))`,
		[]any{t.CompanyID, t.WorkspaceID}, func(rows pgx.Rows) error {
			_, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[bool])
			return err
		})
	if errors.Is(err, pgx.ErrNoRows) {
		err = ErrNotFound
	}
	return t, err
}

// insert writes a new item of the scope t.
func (s *Store) insert(ctx context.Context, tx *tenancy.Tx, t tenancy.Tenant, kind string, r row) (row, error) {
	var source *ID
	var sourceVersion *int64
	if r.Source != nil {
		source, sourceVersion = &r.Source.ID, &r.Source.Version
	}
	return write(ctx, tx, r.Name, `INSERT INTO strata.library_items AS i
		(company_id, workspace_id, id, type, name, name_norm, body, source_id, source_version, created_by)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) RETURNING `+columns,
		t.CompanyID, t.WorkspaceID, tenancy.NewID[Envelope](), kind, r.Name, r.nameNorm, r.body, source, sourceVersion, tenancy.ActorFrom(ctx).ID)
}

// update writes the name, the body and the version of the source of an item that was read
// as r.Version, or returns ErrVersionConflict.
func (s *Store) update(ctx context.Context, tx *tenancy.Tx, r row) (row, error) {
	var sourceVersion *int64
	if r.Source != nil {
		sourceVersion = &r.Source.Version
	}
	out, err := write(ctx, tx, r.Name, `UPDATE strata.library_items AS i SET name = $4, name_norm = $5, body = $6, source_version = $7,
		version = i.version + 1, body_version = CASE WHEN i.body = $6 THEN i.body_version ELSE i.version + 1 END, updated_at = now()
		WHERE i.company_id = $1 AND i.id = $2 AND i.version = $3 AND i.deleted_at IS NULL RETURNING `+columns,
		r.Owner.CompanyID, r.ID, r.Version, r.Name, r.nameNorm, r.body, sourceVersion)
	if errors.Is(err, pgx.ErrNoRows) {
		err = ErrVersionConflict
	}
	return out, err
}

// write runs a statement that returns the item it has written. It fails alone: the caller's
// transaction can go on.
func write(ctx context.Context, tx *tenancy.Tx, name, q string, args ...any) (row, error) {
	var out row
	err := tx.Savepoint(ctx, func(tx *tenancy.Tx) error {
		return tx.Read(ctx, q, args, func(rows pgx.Rows) (err error) {
			out, err = pgx.CollectExactlyOneRow(rows, scanRow)
			return err
		})
	})
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return out, err
	}
	switch {
	case pg.Code == "23505":
		return out, fmt.Errorf("%q: %w", name, ErrNameTaken)
	case strings.HasPrefix(pg.Code, "22"): // what JSON can say and PostgreSQL cannot keep, such as NUL
		v := &tenancy.ValidationError{}
		v.Add("body", "not_storable", "cannot be stored: "+pg.Message)
		return out, v
	}
	return out, err
}

// record writes what happened to an item into the audit trail, where its owner finds it.
func (s *Store) record(ctx context.Context, tx *tenancy.Tx, kind, action string, r row, metadata map[string]any) error {
	all := map[string]any{"type": kind, "name": r.Name, "version": r.Version}
	for key, value := range metadata {
		all[key] = value
	}
	ctx = tenancy.WithTenant(ctx, tenancy.Tenant{CompanyID: r.Owner.CompanyID, WorkspaceID: r.Owner.WorkspaceID})
	return s.audit.RecordChange(ctx, tx, tenancy.Change{
		Action: "library_item." + action, ResourceType: "library_item", ResourceID: r.ID.String(), Metadata: all,
	})
}
