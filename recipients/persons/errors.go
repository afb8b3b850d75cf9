package persons

import "github.com/stratakit/strata/internal/fault"

// The package's sentinel errors.
var (
	// ErrNotFound is returned for a person, a suggestion or a matching that is not there for
	// the tenant of the context, whoever's it is.
	ErrNotFound error = fault.New(fault.NotFound, "person_not_found", "not found")

	// ErrNotLinked is returned by Unlink for a recipient that has no person, and by UndoMerge
	// for a person that was not merged into another.
	ErrNotLinked error = fault.New(fault.Conflict, "not_linked", "there is no such link to undo")

	// ErrAcross is returned in a workspace for what would change a person that has recipients
	// in other workspaces too: the company decides on those.
	ErrAcross error = fault.New(fault.Conflict, "person_across_workspaces", "the person has recipients in other workspaces: this is for the company to change")

	// ErrTooMany is returned when a person would have more than MaxRecipients recipients.
	ErrTooMany error = fault.New(fault.Conflict, "person_too_large", "a person has at most 100 recipients")

	// ErrDecided is returned by Accept and Reject for a suggestion that is not open any more.
	ErrDecided error = fault.New(fault.Conflict, "suggestion_decided", "the suggestion was decided before")

	// ErrConflict is returned by Accept when the two persons have different strong identifiers.
	ErrConflict error = fault.New(fault.Conflict, "identifiers_conflict", "the recipients have different user principal names: link them by hand if they are one human all the same")

	// ErrNoDomain is returned by Match for a workspace or company without a domain.
	ErrNoDomain error = fault.New(fault.Conflict, "no_domain", "there is no domain to match recipients in")
)
