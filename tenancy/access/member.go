package access

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/internal/emailaddr"
	"github.com/stratakit/strata/tenancy"
)

// Member is an actor with a role in a company, or in one of its workspaces.
type Member struct {
	// ActorID is the product's own identifier, as in tenancy.Actor: of a user, a key or
	// whatever else acts, which is why no two of them may share one.
	ActorID string `json:"actorId"`
	// Email is for lists; nothing is decided by it.
	Email string `json:"email,omitempty"`
	// Role is a built-in role or one of the company's own.
	Role string `json:"role"`
	// WorkspaceID is zero for a member of the company, whose role counts in all workspaces.
	WorkspaceID tenancy.WorkspaceID `json:"workspaceId,omitzero"`
	CreatedAt   time.Time           `json:"createdAt"`

	id tenancy.ID[Member]
}

// NewMember is what AddMember needs. Email may be empty.
type NewMember struct{ ActorID, Email, Role string }

const maxActorID = 200

const memberColumns = `id, actor_id, coalesce(email, ''), role, workspace_id, created_at`

func scanMember(row pgx.CollectableRow) (m Member, err error) {
	err = row.Scan(&m.id, &m.ActorID, &m.Email, &m.Role, &m.WorkspaceID, &m.CreatedAt)
	return m, err
}

func (in *NewMember) check(v *tenancy.ValidationError) {
	checkText(v, "actorId", in.ActorID, maxActorID)
	if in.Email = strings.TrimSpace(in.Email); in.Email != "" {
		if normal, err := emailaddr.Normalize(in.Email); err != nil {
			v.Add("email", "invalid_email", err.Error())
		} else {
			in.Email = normal
		}
	}
}

// AddMember makes an actor a member where ctx's tenant is: of the company at company level,
// else of the workspace. Whoever adds needs members.manage there, company_members.manage at
// a company, and everything that the role allows. Errors: *tenancy.ValidationError,
// ErrMemberExists, ErrForbidden, ErrExceedsOwn, tenancy.ErrNotFound for a place that is gone.
func (s *Store) AddMember(ctx context.Context, in NewMember) (m Member, err error) {
	err = s.db.InTx(ctx, func(tx *tenancy.Tx) error {
		m, err = s.AddMemberTx(ctx, tx, in)
		return err
	})
	return m, err
}

// AddMemberTx is AddMember in the caller's transaction, where tx's tenant is.
func (s *Store) AddMemberTx(ctx context.Context, tx *tenancy.Tx, in NewMember) (Member, error) {
	ctx, c, err := s.beginHere(ctx, tx)
	if err != nil {
		return Member{}, err
	}
	var v tenancy.ValidationError
	in.check(&v)
	role, err := s.assignable(ctx, tx, c, &v, in.Role)
	if err != nil {
		return Member{}, err
	}
	if err := v.OrNil(); err != nil {
		return Member{}, err
	}
	if err := s.within(c, in.Role, role); err != nil {
		return Member{}, err
	}
	return insertMember(ctx, tx, s.audit, c.place, in)
}

// insertMember is the statement of all who add members.
func insertMember(ctx context.Context, tx *tenancy.Tx, audit tenancy.Auditor, place tenancy.Tenant, in NewMember) (Member, error) {
	rows, err := tx.Query(ctx, tx.SQL(`INSERT INTO strata.members (company_id, id, workspace_id, actor_id, email, role, created_by)
		VALUES ($1, $2, $3, $4, nullif($5, ''), $6, $7) RETURNING `+memberColumns),
		place.CompanyID, tenancy.NewID[Member](), place.WorkspaceID, in.ActorID, in.Email, in.Role, tenancy.ActorFrom(ctx).ID)
	if err != nil {
		return Member{}, err
	}
	m, err := pgx.CollectExactlyOneRow(rows, scanMember)
	if err != nil {
		return Member{}, taken(err, fmt.Errorf("%q: %w", in.ActorID, ErrMemberExists))
	}
	return m, audit.RecordChange(ctx, tx, tenancy.Change{
		Action: "member.added", ResourceType: "member", ResourceID: m.ActorID, Metadata: map[string]any{"role": m.Role},
	})
}

// SetRole gives a member of the place of ctx's tenant another role. Whoever does needs what
// AddMember needs, and everything that the role it had allows too. Errors: ErrMemberNotFound,
// ErrLastOwner, and those of AddMember.
func (s *Store) SetRole(ctx context.Context, actorID, role string) (m Member, err error) {
	err = s.db.InTx(ctx, func(tx *tenancy.Tx) error {
		m, err = s.SetRoleTx(ctx, tx, actorID, role)
		return err
	})
	return m, err
}

// SetRoleTx is SetRole in the caller's transaction, where tx's tenant is.
func (s *Store) SetRoleTx(ctx context.Context, tx *tenancy.Tx, actorID, role string) (Member, error) {
	ctx, c, before, err := s.member(ctx, tx, actorID)
	if err != nil {
		return Member{}, err
	}
	var v tenancy.ValidationError
	grants, err := s.assignable(ctx, tx, c, &v, role)
	if err != nil {
		return Member{}, err
	}
	if err := v.OrNil(); err != nil {
		return Member{}, err
	}
	if err := s.within(c, role, grants); err != nil {
		return Member{}, err
	}
	if role != CompanyOwner {
		if err := notTheLastOwner(ctx, tx, before); err != nil {
			return Member{}, err
		}
	}
	rows, err := tx.Query(ctx, tx.SQL(`UPDATE strata.members SET role = $3, updated_at = now() WHERE company_id = $1 AND id = $2 RETURNING `+memberColumns),
		c.place.CompanyID, before.id, role)
	if err != nil {
		return Member{}, err
	}
	m, err := pgx.CollectExactlyOneRow(rows, scanMember)
	if err != nil {
		return Member{}, err
	}
	return m, s.record(ctx, tx, "member.role_changed", "member", actorID, map[string]any{"from": before.Role, "to": role})
}

// RemoveMember ends a membership at the place of ctx's tenant; others of the actor stay.
// Errors: ErrMemberNotFound, ErrLastOwner, ErrForbidden, ErrExceedsOwn for a member whose
// role allows more than whoever removes it may do.
func (s *Store) RemoveMember(ctx context.Context, actorID string) error {
	return s.db.InTx(ctx, func(tx *tenancy.Tx) error { return s.RemoveMemberTx(ctx, tx, actorID) })
}

// RemoveMemberTx is RemoveMember in the caller's transaction, where tx's tenant is.
func (s *Store) RemoveMemberTx(ctx context.Context, tx *tenancy.Tx, actorID string) error {
	ctx, c, m, err := s.member(ctx, tx, actorID)
	if err != nil {
		return err
	}
	if err := notTheLastOwner(ctx, tx, m); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, tx.SQL(`DELETE FROM strata.members WHERE company_id = $1 AND id = $2`), c.place.CompanyID, m.id); err != nil {
		return fmt.Errorf("access: remove a member: %w", err)
	}
	return s.record(ctx, tx, "member.removed", "member", actorID, map[string]any{"role": m.Role})
}

// member begins the change of a member of tx's place that its actor may change.
func (s *Store) member(ctx context.Context, tx *tenancy.Tx, actorID string) (context.Context, change, Member, error) {
	ctx, c, err := s.beginHere(ctx, tx)
	if err != nil {
		return ctx, c, Member{}, err
	}
	rows, err := tx.Query(ctx, tx.SQL(`SELECT `+memberColumns+` FROM strata.members
		WHERE company_id = $1 AND actor_id = $2 AND workspace_id IS NOT DISTINCT FROM $3`), c.place.CompanyID, actorID, c.place.WorkspaceID)
	if err != nil {
		return ctx, c, Member{}, err
	}
	m, err := pgx.CollectExactlyOneRow(rows, scanMember)
	if errors.Is(err, pgx.ErrNoRows) {
		return ctx, c, Member{}, ErrMemberNotFound
	}
	if err != nil {
		return ctx, c, Member{}, err
	}
	grants, _, err := s.role(ctx, tx, c.place.CompanyID, m.Role)
	if err != nil && !errors.Is(err, ErrRoleNotFound) {
		return ctx, c, Member{}, err
	}
	return ctx, c, m, s.within(c, m.Role, grants)
}

// notTheLastOwner returns ErrLastOwner when m is the only owner of its company. That no other
// owner goes meanwhile is what the lock of begin is for.
func notTheLastOwner(ctx context.Context, tx *tenancy.Tx, m Member) error {
	if m.Role != CompanyOwner || !m.WorkspaceID.IsZero() {
		return nil
	}
	var others bool
	if err := tx.QueryRow(ctx, tx.SQL(`SELECT EXISTS (SELECT FROM strata.members
		WHERE company_id = $1 AND workspace_id IS NULL AND role = $2 AND id <> $3)`), tx.Tenant().CompanyID, CompanyOwner, m.id).Scan(&others); err != nil {
		return fmt.Errorf("access: look for another owner: %w", err)
	}
	if !others {
		return ErrLastOwner
	}
	return nil
}
