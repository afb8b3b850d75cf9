package access

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stratakit/strata/tenancy"
)

// Store adds, changes, removes and lists the members of companies and workspaces and the
// roles that companies make for themselves. It allows a change to those who may make it, as
// the transaction sees them, and to nobody more than they have. Every mutation is audited
// in its own transaction. It is safe for concurrent use.
//
// A change takes the lock on the company's row and makes every process forget the company
// once it is committed: put many into one transaction.
type Store struct {
	db        *tenancy.DB
	guard     *Guard
	hierarchy *tenancy.Store
	audit     tenancy.Auditor
}

// NewStore returns a Store over guard's members. hierarchy announces the changes: it must
// know the Resolver of the process.
func NewStore(guard *Guard, hierarchy *tenancy.Store, audit tenancy.Auditor) (*Store, error) {
	if guard == nil || guard.db == nil || hierarchy == nil || audit == nil {
		return nil, errors.New("access: NewStore needs a Guard that knows members, a tenancy.Store and an Auditor")
	}
	return &Store{guard.db, guard, hierarchy, audit}, nil
}

// change is one change in progress.
type change struct {
	place tenancy.Tenant // the company or the workspace, and ctx is there
	own   granted        // what whoever makes the change has in place
}

// beginHere begins a change of the members of the company or workspace of tx's tenant.
func (s *Store) beginHere(ctx context.Context, tx *tenancy.Tx) (context.Context, change, error) {
	place := tx.Tenant()
	place.DomainID = tenancy.DomainID{}
	if place.WorkspaceID.IsZero() {
		return s.begin(ctx, tx, place, CompanyMembersManage)
	}
	return s.begin(ctx, tx, place, MembersManage)
}

// begin begins a change at place: changes of one company come one after the other, and what
// is read from here on is not changed by others. need is what the actor must have there.
func (s *Store) begin(ctx context.Context, tx *tenancy.Tx, place tenancy.Tenant, need Permission) (context.Context, change, error) {
	c := change{place: place}
	ctx = tenancy.WithTenant(ctx, place)
	if err := s.hierarchy.TouchCompanyTx(ctx, tx); err != nil {
		return ctx, c, err
	}
	if !c.place.WorkspaceID.IsZero() {
		if err := tx.LiveWorkspace(ctx); err != nil {
			return ctx, c, err
		}
	}
	tx.AfterCommit(func(context.Context) { s.guard.memory.forget(c.place.CompanyID) })
	var err error
	if c.own, err = s.guard.grantedTx(ctx, tx, place); err != nil {
		return ctx, c, err
	}
	switch {
	case c.own.set.IsEmpty():
		return ctx, c, tenancy.ErrNotFound
	case !s.guard.catalog.Has(c.own.set, need):
		return ctx, c, ErrForbidden
	}
	return ctx, c, nil
}

// within returns ErrExceedsOwn, naming why, when g allows what c's actor may not do itself.
func (s *Store) within(c change, role string, g granted) error {
	if more := s.guard.catalog.exceeds(g, c.own); len(more) > 0 {
		return fmt.Errorf("role %q (%s): %w", role, strings.Join(more, ", "), ErrExceedsOwn)
	}
	return nil
}

func (s *Store) record(ctx context.Context, tx *tenancy.Tx, action, resource, id string, metadata map[string]any) error {
	return s.audit.RecordChange(ctx, tx, tenancy.Change{Action: action, ResourceType: resource, ResourceID: id, Metadata: metadata})
}

// checkText notes in v what is wrong with a text of a person's or a product's making.
func checkText(v *tenancy.ValidationError, field, s string, most int) {
	switch {
	case s == "":
		v.Add(field, "required", "must not be empty")
	case !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl):
		v.Add(field, "invalid_text", "must be valid UTF-8 without control characters")
	case utf8.RuneCountInString(s) > most:
		v.Add(field, "too_long", fmt.Sprintf("must have at most %d characters", most))
	}
}

// taken turns a unique violation into what is there already.
func taken(err, there error) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "23505" {
		return there
	}
	return err
}
