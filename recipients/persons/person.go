package persons

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
)

// ID identifies a person.
type ID = tenancy.ID[recipients.Person]

// LinkID identifies a Link.
type LinkID = tenancy.ID[Link]

// MaxRecipients is how many recipients a person may have. One that would have more is not one
// human: something that many share was taken for an identifier.
const MaxRecipients = 100

// Ref names a recipient: its id alone says nothing without its domain.
type Ref struct {
	DomainID    tenancy.DomainID `json:"domainId"    validate:"required"`
	RecipientID recipients.ID    `json:"recipientId" validate:"required"`
}

func compareRefs(a, b Ref) int {
	return cmp.Or(bytes.Compare(a.DomainID[:], b.DomainID[:]), bytes.Compare(a.RecipientID[:], b.RecipientID[:]))
}

// sorted returns refs in their order, each once.
func sorted(refs []Ref) []Ref {
	out := slices.Clone(refs)
	slices.SortFunc(out, compareRefs)
	return slices.Compact(out)
}

// Method is what said that two recipients are one human.
type Method string

// The methods, in the order in which they are believed.
const (
	ByUPN            Method = "upn"             // the same user principal name
	ByEmailName      Method = "email_name"      // the same name, and the same part before the @
	ByNameDepartment Method = "name_department" // the same name in the same department
	Manual           Method = "manual"          // a user
)

// Person is one human, as far as the tenant of the context may see: in a workspace that is
// the recipients of the workspace, also of a person who has others elsewhere.
type Person struct {
	ID ID `json:"id"`
	// WorkspaceID is set for a person inside one workspace.
	WorkspaceID *tenancy.WorkspaceID `json:"workspaceId"`
	Links       []Link               `json:"recipients"`
	CreatedAt   time.Time            `json:"createdAt"`
}

// Link is a recipient of a Person and why it is one. Address, name and status are read from
// the recipient and stand nowhere else.
type Link struct {
	ID LinkID `json:"linkId"`
	Ref

	WorkspaceID tenancy.WorkspaceID `json:"workspaceId"`
	Email       string              `json:"email"`
	Name        string              `json:"name"`
	Status      recipients.Status   `json:"status"`

	Method Method `json:"method"`
	// Confidence is from 0 to 1; a link by hand has 1.
	Confidence float64 `json:"confidence"`
	// Evidence says which rule matched and the hash of what is the same. In a workspace, that of
	// a person across workspaces says no more.
	Evidence Evidence  `json:"evidence"`
	LinkedBy string    `json:"linkedBy"`
	LinkedAt time.Time `json:"linkedAt"`
}

// Evidence is why two recipients are thought to be one human. It holds no personal data.
type Evidence struct {
	// Key is the hash of what is the same; empty for a link by hand.
	Key string `json:"key,omitempty"`
	// Recipients is how many recipients had the key when it was found: of all that were looked
	// through, or for what is inside one workspace those in it.
	Recipients int `json:"recipients,omitempty"`
	// Doubt says why the link was not made by itself, although the rule would: "names_differ",
	// "same_domain", "identifiers_conflict" or "rejected_before".
	Doubt string `json:"doubt,omitempty"`
	// SuggestionID is the suggestion that was accepted.
	SuggestionID string `json:"suggestionId,omitempty"`
}
