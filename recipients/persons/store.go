package persons

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/tenancy"
)

// Store keeps the persons of every company. In the scope of a workspace, or of a domain in
// it, a call reaches what is inside the workspace; in the scope of a company it reaches all of
// it, and what is linked may lie in several workspaces. Whether the actor may do so is for the
// caller to ask (access.PersonsLink, access.PersonsLinkAcross).
//
// Every change is one transaction with its audit entries, one for each workspace that it
// touches. Changes of one company wait for each other, so that they neither deadlock nor lose
// anything. One that PostgreSQL ends in a deadlock with a write of recipients is tried again; a
// ...Tx cannot. A Store is safe for concurrent use.
type Store struct {
	db    *tenancy.DB
	audit *audit.Recorder
}

// NewStore returns a Store.
func NewStore(db *tenancy.DB, recorder *audit.Recorder) (*Store, error) {
	if db == nil || recorder == nil {
		return nil, errors.New("persons: NewStore needs a DB and a Recorder")
	}
	return &Store{db: db, audit: recorder}, nil
}

// scopeOf returns the workspace of ctx's tenant, or its company.
func scopeOf(ctx context.Context) (tenancy.Tenant, error) {
	t, err := tenancy.TenantFrom(ctx)
	t.DomainID = tenancy.DomainID{}
	return t, err
}

// inTx runs fn in a transaction in the scope of ctx, when nobody else changes persons of the
// company, and again when others deadlocked with it.
func (s *Store) inTx(ctx context.Context, fn func(ctx context.Context, c *change) error) error {
	scope, err := scopeOf(ctx)
	if err != nil {
		return err
	}
	ctx = tenancy.WithTenant(ctx, scope)
	// Whom a person has is known only once some recipients are locked. So those of a domain are
	// not locked in one order, and whoever locks many of them may wait for this and this for it.
	return s.db.InTxRetry(ctx, func(tx *tenancy.Tx) error { return s.begin(ctx, tx, scope, fn) })
}

// inCallersTx is inTx in the caller's transaction, which goes on after an error as before the
// call, and in the scope that it was in.
func (s *Store) inCallersTx(ctx context.Context, tx *tenancy.Tx, fn func(ctx context.Context, c *change) error) error {
	scope, err := scopeOf(ctx)
	if err != nil {
		return err
	}
	if tx.Tenant().CompanyID != scope.CompanyID {
		return errors.New("persons: the transaction is in the scope of another company than the context")
	}
	return tx.Savepoint(ctx, func(tx *tenancy.Tx) error {
		return tx.As(ctx, scope, func(ctx context.Context, tx *tenancy.Tx) error { return s.begin(ctx, tx, scope, fn) })
	})
}

func (s *Store) begin(ctx context.Context, tx *tenancy.Tx, scope tenancy.Tenant, fn func(ctx context.Context, c *change) error) error {
	// One lock for the company, and not one for each person and recipient: what is linked is
	// known only once it is read, and no order of rows would hold for merges in both directions.
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended('strata.persons/' || $1::text, 0))`, scope.CompanyID.String()); err != nil {
		return fmt.Errorf("persons: wait for other changes: %w", err)
	}
	c := &change{Store: s, tx: tx, scope: scope, touched: map[tenancy.WorkspaceID]map[string]bool{}}
	if err := fn(ctx, c); err != nil {
		return err
	}
	return c.settleCredits(ctx)
}

// change is one change of persons, in one transaction, while others of the company wait.
type change struct {
	*Store

	tx    *tenancy.Tx
	scope tenancy.Tenant // of the caller
	// touched are the recipients whose person changed, by their workspace.
	touched map[tenancy.WorkspaceID]map[string]bool
	credits credits
}

// asCompany runs fn where all of the company's persons are seen: for what follows from a
// change that the scope allows. Its statements name the company first.
func (c *change) asCompany(ctx context.Context, fn func(ctx context.Context) error) error {
	return c.tx.As(ctx, tenancy.Tenant{CompanyID: c.scope.CompanyID}, func(ctx context.Context, _ *tenancy.Tx) error { return fn(ctx) })
}

// reaches reports whether the caller's scope has all of a workspace. One that is zero, for what
// is across workspaces, only a company has.
func (c *change) reaches(workspace tenancy.WorkspaceID) bool {
	return c.scope.WorkspaceID.IsZero() || c.scope.WorkspaceID == workspace
}

// touch notes that the person of a recipient changes.
func (c *change) touch(l link) {
	if c.touched[l.workspace] == nil {
		c.touched[l.workspace] = map[string]bool{}
	}
	c.touched[l.workspace][l.RecipientID.String()] = true
	c.creditAll(l.Ref)
}

// record writes what happened into the trail of each workspace that was touched, with that
// workspace's recipients only. What several workspaces have to do with is in the company's.
func (c *change) record(ctx context.Context, action string, person ID, metadata map[string]any) error {
	e := audit.Entry{Action: action, ResourceType: "person", ResourceID: person.String()}
	if len(c.touched) != 1 {
		e.Metadata = metadata
		if err := c.audit.RecordTx(ctx, c.tx, e); err != nil {
			return err
		}
		metadata = nil
	}
	for workspace, ids := range c.touched {
		e.Metadata = map[string]any{"recipients": slices.Sorted(maps.Keys(ids))}
		maps.Copy(e.Metadata, metadata)
		in := tenancy.WithTenant(ctx, tenancy.Tenant{CompanyID: c.scope.CompanyID, WorkspaceID: workspace})
		if err := c.audit.RecordTx(in, c.tx, e); err != nil {
			return err
		}
	}
	return nil
}

// entry is an entry about something that is no single person.
func entry(action, id string, metadata map[string]any) audit.Entry {
	return audit.Entry{Action: action, ResourceType: "person", ResourceID: id, Metadata: metadata}
}

// exec runs a statement of the change.
func (c *change) exec(ctx context.Context, what, q string, args ...any) (int64, error) {
	tag, err := c.tx.Exec(ctx, c.tx.SQL(q), args...)
	if err != nil {
		return 0, fmt.Errorf("persons: %s: %w", what, err)
	}
	return tag.RowsAffected(), nil
}

// collect reads the rows of a statement.
func collect[T any](ctx context.Context, c *change, what string, scan pgx.RowToFunc[T], q string, args ...any) ([]T, error) {
	rows, err := c.tx.Query(ctx, c.tx.SQL(q), args...)
	if err != nil {
		return nil, fmt.Errorf("persons: %s: %w", what, err)
	}
	out, err := pgx.CollectRows(rows, scan)
	if err != nil {
		return nil, fmt.Errorf("persons: %s: %w", what, err)
	}
	return out, nil
}
