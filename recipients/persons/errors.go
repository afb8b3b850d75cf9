package persons

import (
	"fmt"

	"github.com/stratakit/strata/internal/fault"
)

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

	// ErrNotCompleted is returned by Withdraw for what the recipient has never completed.
	ErrNotCompleted error = fault.New(fault.NotFound, "not_completed", "the recipient has not completed this")

	// ErrOfCompany is returned in a workspace by Withdraw for what was recorded for all
	// workspaces of the company.
	ErrOfCompany error = fault.New(fault.Conflict, "completion_of_company", "the company has recorded this for all its workspaces: it is for the company to withdraw")

	// errCompletionsMoved ends a run whose domain was moved to another company.
	errCompletionsMoved error = fault.New(fault.Conflict, "domain_moved", "the domain was moved to another company: who asked for this has nothing to say there")

	// ErrNoDomain is returned by Match for a workspace or company without a domain.
	ErrNoDomain error = fault.New(fault.Conflict, "no_domain", "there is no domain to match recipients in")
)

// CompletionConflictError is returned by Complete and CompleteMany when a recipient has
// completed the same with another time or other details. Nothing is written then.
type CompletionConflictError struct {
	// Differing are those that differ, in the order in which they were asked.
	Differing []DifferingTopic
}

// DifferingTopic is what a recipient has completed in another way than was said.
type DifferingTopic struct {
	Ref
	Topic
}

// Error names the first one.
func (e *CompletionConflictError) Error() string {
	d := e.Differing[0]
	more := ""
	if n := len(e.Differing); n > 1 {
		more = fmt.Sprintf(", and %d more", n-1)
	}
	return fmt.Sprintf("recipient %s has completed %s of %s with another time or other details: withdraw that first%s", d.RecipientID, d.Key, d.Product, more)
}

// Kind is fault.Conflict.
func (e *CompletionConflictError) Kind() fault.Kind { return fault.Conflict }

// Code is "completion_differs".
func (e *CompletionConflictError) Code() string { return "completion_differs" }

// Details are the members an HTTP answer has beside code and message.
func (e *CompletionConflictError) Details() map[string]any {
	return map[string]any{"differing": e.Differing}
}
