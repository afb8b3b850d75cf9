package blueprint

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stratakit/strata/internal/suggest"
	"github.com/stratakit/strata/tenancy"
)

// ID identifies a Blueprint.
type ID = tenancy.ID[Blueprint]

// Blueprint is what a company has defined once, for many of its workspaces.
type Blueprint struct {
	ID            ID        `json:"id"`
	Kind          string    `json:"kind"`
	Name          string    `json:"name"`
	LatestVersion int       `json:"latestVersion"`
	CreatedAt     time.Time `json:"createdAt"`
	UpdatedAt     time.Time `json:"updatedAt"`
}

// Version is one state of a blueprint. It never changes.
type Version struct {
	BlueprintID ID              `json:"blueprintId"`
	Version     int             `json:"version"`
	Body        json.RawMessage `json:"body"`
	Note        string          `json:"note,omitempty"`
	CreatedBy   string          `json:"createdBy,omitempty"`
	CreatedAt   time.Time       `json:"createdAt"`
}

// Config configures a Store. The zero value is legal.
type Config struct {
	// Workers is how many workspaces this process works on at a time. Default 2.
	Workers int
	// Poll is how often each of them looks for work that another process has asked for or
	// left behind. Default 2 s.
	Poll time.Duration
	// ApplyTimeout bounds one call of Spec.Apply, and with it how long what it has locked
	// stays locked. Default 1 min.
	ApplyTimeout time.Duration
	// MaxAttempts is how often a workspace is tried before it has failed. Default 5.
	MaxAttempts int
	// Backoff is the pause after the first attempt; it doubles with each, up to 1 min.
	// Default 1 s.
	Backoff time.Duration
	// Takeover is what is added to that pause before an attempt is taken for one whose
	// process has died: how long a process may take from writing down that it begins to
	// locking what it works on. Default 5 s.
	Takeover time.Duration
	// Log receives what goes wrong in the background. Default slog.Default().
	Log *slog.Logger
}

// Store keeps the blueprints of every company and deploys them. Every mutation is audited
// in its own transaction. It is safe for concurrent use.
type Store struct {
	db    *tenancy.DB
	audit tenancy.Auditor
	kinds map[string]*Kind
	names []string // of kinds
	cfg   Config
	hint  chan struct{} // there is work
}

// NewStore returns a Store over db that tells audit of every change and applies
// blueprints of the given kinds. A process without a kind leaves its work to those that
// have it, but can neither create nor plan nor override.
func NewStore(db *tenancy.DB, audit tenancy.Auditor, cfg *Config, kinds ...*Kind) (*Store, error) {
	if db == nil || audit == nil {
		return nil, errors.New("blueprint: NewStore needs a DB and an Auditor")
	}
	s := &Store{db: db, audit: audit, kinds: map[string]*Kind{}}
	if cfg != nil {
		s.cfg = *cfg
	}
	if s.cfg.Workers <= 0 {
		s.cfg.Workers = 2
	}
	if s.cfg.Poll <= 0 {
		s.cfg.Poll = 2 * time.Second
	}
	if s.cfg.ApplyTimeout <= 0 {
		s.cfg.ApplyTimeout = time.Minute
	}
	if s.cfg.MaxAttempts <= 0 {
		s.cfg.MaxAttempts = 5
	}
	if s.cfg.Backoff <= 0 {
		s.cfg.Backoff = time.Second
	}
	if s.cfg.Takeover <= 0 {
		s.cfg.Takeover = 5 * time.Second
	}
	if s.cfg.Log == nil {
		s.cfg.Log = slog.Default()
	}
	s.hint = make(chan struct{}, s.cfg.Workers)
	for _, k := range kinds {
		if k == nil {
			return nil, errors.New("blueprint: a kind is nil: make it with NewKind")
		}
		if k.err != nil {
			return nil, k.err
		}
		if s.kinds[k.name] != nil {
			return nil, fmt.Errorf("blueprint: two kinds have the name %q", k.name)
		}
		s.kinds[k.name], s.names = k, append(s.names, k.name)
	}
	return s, nil
}

// kind returns a kind by its name, or ErrUnknownKind.
func (s *Store) kind(name string) (*Kind, error) {
	if k := s.kinds[name]; k != nil {
		return k, nil
	}
	if near := suggest.Closest(name, s.names); near != "" {
		return nil, fmt.Errorf("kind %q (do you mean %q?): %w", name, near, ErrUnknownKind)
	}
	return nil, fmt.Errorf("kind %q: %w", name, ErrUnknownKind)
}

// company returns the company of ctx's tenant, or ErrCompanyLevel when it is deeper.
func company(ctx context.Context) (tenancy.CompanyID, error) {
	t, err := tenancy.TenantFrom(ctx)
	if err == nil && t.Level() != tenancy.LevelCompany {
		err = ErrCompanyLevel
	}
	return t.CompanyID, err
}

// companyTx is company, for a transaction of the caller's.
func companyTx(ctx context.Context, tx *tenancy.Tx) (tenancy.CompanyID, error) {
	id, err := company(ctx)
	if err == nil && tx.Tenant().CompanyID != id {
		err = errors.New("blueprint: the transaction is in the scope of another company than the context")
	}
	return id, err
}

// New is what Create needs: the name, which no other blueprint of the company has, and the
// definition as the T of its kind or as JSON.
type New struct {
	Kind, Name string
	Body       any
	Note       string // to version 1
}

// Create makes a blueprint with its version 1 in the company of ctx's tenant; it is
// deployed nowhere yet. Errors: *tenancy.ValidationError, ErrUnknownKind, ErrNameTaken,
// ErrCompanyLevel.
func (s *Store) Create(ctx context.Context, in New) (b Blueprint, err error) {
	err = s.db.InTx(ctx, func(tx *tenancy.Tx) error {
		b, err = s.CreateTx(ctx, tx, in)
		return err
	})
	return b, err
}

// CreateTx is Create in the caller's transaction.
func (s *Store) CreateTx(ctx context.Context, tx *tenancy.Tx, in New) (Blueprint, error) {
	c, err := companyTx(ctx, tx)
	if err != nil {
		return Blueprint{}, err
	}
	k, err := s.kind(in.Kind)
	if err != nil {
		return Blueprint{}, err
	}
	var v tenancy.ValidationError
	in.Name = strings.TrimSpace(in.Name)
	switch {
	case in.Name == "":
		v.Add("name", "required", "must not be empty")
	case !utf8.ValidString(in.Name) || strings.ContainsFunc(in.Name, unicode.IsControl):
		v.Add("name", "invalid_text", "must be UTF-8 without control characters")
	case utf8.RuneCountInString(in.Name) > 200:
		v.Add("name", "too_long", "must have at most 200 characters")
	}
	body, err := checked(&v, k, in.Body, in.Note)
	if err != nil {
		return Blueprint{}, err
	}
	rows, err := tx.Query(ctx, tx.SQL(`INSERT INTO strata.blueprints (company_id, id, kind, name) VALUES ($1, $2, $3, $4)
		ON CONFLICT (company_id, name) DO NOTHING RETURNING `+blueprintColumns), c, tenancy.NewID[Blueprint](), in.Kind, in.Name)
	b, err := one(rows, err, scanBlueprint)
	switch {
	case errors.Is(err, ErrNotFound):
		return Blueprint{}, fmt.Errorf("name %q: %w", in.Name, ErrNameTaken)
	case err != nil:
		return Blueprint{}, err
	}
	if _, err := s.insertVersion(ctx, tx, b, body, in.Note); err != nil {
		return Blueprint{}, err
	}
	return b, s.audit.RecordChange(ctx, tx, tenancy.Change{
		Action: "blueprint.created", ResourceType: "blueprint", ResourceID: b.ID.String(), Metadata: map[string]any{"kind": b.Kind, "name": b.Name},
	})
}

// Publish makes a definition the next version of a blueprint. Nothing changes in a
// workspace until it is deployed. Errors: *tenancy.ValidationError, ErrNotFound,
// ErrUnknownKind, ErrCompanyLevel.
func (s *Store) Publish(ctx context.Context, id ID, body any, note string) (v Version, err error) {
	err = s.db.InTx(ctx, func(tx *tenancy.Tx) error {
		v, err = s.PublishTx(ctx, tx, id, body, note)
		return err
	})
	return v, err
}

// PublishTx is Publish in the caller's transaction.
func (s *Store) PublishTx(ctx context.Context, tx *tenancy.Tx, id ID, body any, note string) (Version, error) {
	c, err := companyTx(ctx, tx)
	if err != nil {
		return Version{}, err
	}
	kind, err := readOne(ctx, tx, `SELECT kind FROM strata.blueprints WHERE company_id = $1 AND id = $2`, pgx.RowTo[string], c, id)
	if err != nil {
		return Version{}, err
	}
	k, err := s.kind(kind)
	if err != nil {
		return Version{}, err
	}
	raw, err := checked(&tenancy.ValidationError{}, k, body, note)
	if err != nil {
		return Version{}, err
	}
	// Only now: what is refused must not leave a number without a version, whatever the
	// caller does with its transaction.
	rows, err := tx.Query(ctx, tx.SQL(`UPDATE strata.blueprints SET latest_version = latest_version + 1, updated_at = now()
		WHERE company_id = $1 AND id = $2 RETURNING `+blueprintColumns), c, id)
	b, err := one(rows, err, scanBlueprint)
	if err != nil {
		return Version{}, err
	}
	v, err := s.insertVersion(ctx, tx, b, raw, note)
	if err != nil {
		return Version{}, err
	}
	return v, s.audit.RecordChange(ctx, tx, tenancy.Change{
		Action: "blueprint.published", ResourceType: "blueprint", ResourceID: b.ID.String(), Metadata: map[string]any{"version": v.Version, "note": note},
	})
}

// checked returns the body in the form it is stored in. What is wrong with body and note
// is reported together with what v holds already.
func checked(v *tenancy.ValidationError, k *Kind, body any, note string) (json.RawMessage, error) {
	if !utf8.ValidString(note) || strings.Contains(note, "\x00") || utf8.RuneCountInString(note) > 1000 {
		v.Add("note", "invalid_text", "must be UTF-8 of at most 1000 characters")
	}
	raw, err := k.parse(body)
	var wrong *tenancy.ValidationError
	if errors.As(err, &wrong) {
		v.Fields = append(v.Fields, wrong.Fields...)
		err = nil
	}
	if err == nil {
		err = v.OrNil()
	}
	return raw, err
}

func (s *Store) insertVersion(ctx context.Context, tx *tenancy.Tx, b Blueprint, body json.RawMessage, note string) (Version, error) {
	rows, err := tx.Query(ctx, tx.SQL(`INSERT INTO strata.blueprint_versions (company_id, blueprint_id, version, body, note, created_by)
		VALUES ($1, $2, $3, $4, $5, $6) RETURNING `+versionColumns),
		tx.Tenant().CompanyID, b.ID, b.LatestVersion, []byte(body), note, tenancy.ActorFrom(ctx).ID)
	v, err := one(rows, err, scanVersion)
	return v, unstorable(err, "body")
}

// unstorable says of what JSON can hold and jsonb cannot, such as U+0000, half a surrogate
// pair or a number of a million digits, what is wrong.
func unstorable(err error, field string) error {
	var pg *pgconn.PgError
	var v tenancy.ValidationError
	switch {
	case !errors.As(err, &pg) || !strings.HasPrefix(pg.Code, "22"):
		return err
	case pg.Code == "22P05":
		v.Add(field, "invalid_text", "must not contain the character U+0000")
	default:
		v.Add(field, "not_storable", "cannot be stored: "+pg.Message)
	}
	return v.OrNil()
}

// one returns the one row of a statement; none is ErrNotFound.
func one[T any](rows pgx.Rows, err error, scan pgx.RowToFunc[T]) (T, error) {
	if err != nil {
		var zero T
		return zero, err
	}
	out, err := pgx.CollectExactlyOneRow(rows, scan)
	if errors.Is(err, pgx.ErrNoRows) {
		return out, ErrNotFound
	}
	return out, err
}
