package persons

import (
	"time"

	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
)

// SuggestionID identifies a Suggestion.
type SuggestionID = tenancy.ID[Suggestion]

// State is what was decided about a Suggestion.
type State string

// The states.
const (
	Open     State = "open"
	Accepted State = "accepted"
	Rejected State = "rejected" // for good
)

// Suggestion is two recipients that may be one human.
type Suggestion struct {
	ID SuggestionID `json:"id"`
	// WorkspaceID is set when both recipients are of one workspace.
	WorkspaceID *tenancy.WorkspaceID `json:"workspaceId"`
	Recipients  [2]Candidate         `json:"recipients"`
	Method      Method               `json:"method"`
	Confidence  float64              `json:"confidence"`
	Evidence    Evidence             `json:"evidence"`
	State       State                `json:"state"`
	CreatedAt   time.Time            `json:"createdAt"`
	DecidedBy   string               `json:"decidedBy,omitempty"`
	DecidedAt   *time.Time           `json:"decidedAt"`
}

// Candidate is one of the recipients of a Suggestion, read from where it is kept.
type Candidate struct {
	Ref

	Email string `json:"email"`
	Name  string `json:"name"`
	// PersonID is set when it is linked to others already.
	PersonID *ID `json:"personId"`
}

// pair is two recipients, the lesser one first.
type pair struct {
	a, b      Ref
	workspace tenancy.WorkspaceID // of both, or zero
}

func pairOf(a, b Ref, aWorkspace, bWorkspace tenancy.WorkspaceID) pair {
	p := pair{a: a, b: b}
	if compareRefs(a, b) > 0 {
		p.a, p.b = b, a
	}
	if aWorkspace == bWorkspace {
		p.workspace = aWorkspace
	}
	return p
}

// columns returns pairs as arguments.
func columns(pairs []pair) (aDomains []tenancy.DomainID, aIDs []recipients.ID, bDomains []tenancy.DomainID, bIDs []recipients.ID, workspaces []tenancy.WorkspaceID) {
	for _, p := range pairs {
		aDomains, aIDs = append(aDomains, p.a.DomainID), append(aIDs, p.a.RecipientID)
		bDomains, bIDs = append(bDomains, p.b.DomainID), append(bIDs, p.b.RecipientID)
		workspaces = append(workspaces, p.workspace)
	}
	return aDomains, aIDs, bDomains, bIDs, workspaces
}
