package access

import (
	"fmt"

	"github.com/stratakit/strata/internal/fault"
)

// The package's sentinel errors.
var (
	// ErrForbidden is returned for what an actor may not do where it may do something else.
	// Where it may do nothing the answer is tenancy.ErrNotFound.
	ErrForbidden error = fault.New(fault.Forbidden, "forbidden", "your role does not allow this")
	// ErrExceedsOwn is returned for giving, changing or taking away a role that allows more
	// than whoever does it may do there.
	ErrExceedsOwn error = fault.New(fault.Forbidden, "exceeds_own_permissions", "allows what you may not do yourself")
	// ErrLastOwner is returned for removing or demoting the only owner of a company.
	ErrLastOwner error = fault.New(fault.Conflict, "last_owner", "a company keeps at least one owner: make another one first")
	// ErrMemberNotFound is returned for an actor that is no member there.
	ErrMemberNotFound error = fault.New(fault.NotFound, "member_not_found", "member not found")
	// ErrMemberExists is returned by AddMember for an actor that is a member there already.
	ErrMemberExists error = fault.New(fault.Conflict, "already_member", "is a member already: change the role instead")
	// ErrRoleNotFound is returned for a role that the company has not made.
	ErrRoleNotFound error = fault.New(fault.NotFound, "role_not_found", "role not found")
	// ErrRoleExists is returned by CreateRole for a key that the company uses already.
	ErrRoleExists error = fault.New(fault.Conflict, "role_exists", "the company already has a role with this key")
	// ErrTooManyRoles is returned by CreateRole when the company has MaxRoles.
	ErrTooManyRoles error = fault.New(fault.Conflict, "too_many_roles", fmt.Sprintf("a company has at most %d roles of its own", MaxRoles))
)

// RoleInUseError is returned by DeleteRole for a role that members have.
type RoleInUseError struct {
	Key     string
	Members int64
}

// Error says how many members have it.
func (e *RoleInUseError) Error() string {
	return fmt.Sprintf("role %q: %d memberships have it: give them another one first", e.Key, e.Members)
}

// Kind is fault.Conflict.
func (e *RoleInUseError) Kind() fault.Kind { return fault.Conflict }

// Code is "role_in_use".
func (e *RoleInUseError) Code() string { return "role_in_use" }

// Details returns the number of members for the answer.
func (e *RoleInUseError) Details() map[string]any { return map[string]any{"members": e.Members} }
