package tenancy

import "time"

// Company owns billing: subscription, plan, limits.
type Company struct {
	ID          CompanyID  `json:"id"`
	Name        string     `json:"name"`
	Slug        string     `json:"slug"`
	Plan        string     `json:"plan"`
	Access      Access     `json:"access"`
	CreatedAt   time.Time  `json:"createdAt"`
	UpdatedAt   time.Time  `json:"updatedAt"`
	SuspendedAt *time.Time `json:"suspendedAt,omitempty"`
}

// Workspace owns configuration: custom field definitions, connections, roles, settings.
type Workspace struct {
	ID          WorkspaceID `json:"id"`
	CompanyID   CompanyID   `json:"companyId"`
	Name        string      `json:"name"`
	Slug        string      `json:"slug"`
	CreatedAt   time.Time   `json:"createdAt"`
	UpdatedAt   time.Time   `json:"updatedAt"`
	SuspendedAt *time.Time  `json:"suspendedAt,omitempty"`
}

// Domain owns data: the partition every hot query pivots on.
type Domain struct {
	ID          DomainID    `json:"id"`
	WorkspaceID WorkspaceID `json:"workspaceId"`
	CompanyID   CompanyID   `json:"companyId"`
	DomainName  string      `json:"domainName"`
	CreatedAt   time.Time   `json:"createdAt"`
	UpdatedAt   time.Time   `json:"updatedAt"`
	SuspendedAt *time.Time  `json:"suspendedAt,omitempty"`
	// VerifiedAt is since when the name is proven to be the company's; nil while it is
	// not. In the whole installation one domain of a name is verified at most.
	VerifiedAt *time.Time `json:"verifiedAt,omitempty"`
}

// NewCompany is what CreateCompany needs. Slug may be empty: it is made from Name.
// Plan may be empty: DefaultPlan. Owner may be zero: the company has no member then, and
// only platform actors, or those whose role the product knows, can make one.
type NewCompany struct {
	Name, Slug, Plan string
	Owner            Owner
}

// Owner is the actor that a new company belongs to. Email may be empty.
type Owner struct {
	// ActorID is the product's own identifier, as in Actor.
	ActorID string `json:"actorId"`
	Email   string `json:"email,omitempty"`
}

// NewWorkspace is what CreateWorkspace needs. Slug may be empty: it is made from Name.
type NewWorkspace struct{ Name, Slug string }

// NewDomain is what CreateDomain needs.
type NewDomain struct{ DomainName string }

// DefaultPlan is the plan of a company that was created without one.
const DefaultPlan = "free"
