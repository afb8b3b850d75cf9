package tenancy

import "context"

// Level is how deep in the hierarchy a Tenant reaches.
type Level int

// The levels, from none to the partition that owns the data.
const (
	LevelNone Level = iota
	LevelCompany
	LevelWorkspace
	LevelDomain
)

// String returns the level's name as it is used in messages.
func (l Level) String() string {
	switch l {
	case LevelCompany:
		return "company"
	case LevelWorkspace:
		return "workspace"
	case LevelDomain:
		return "domain"
	case LevelNone:
	}
	return "none"
}

// Access is what a company's subscription lets its users do.
type Access string

// The three kinds of access.
const (
	AccessFull     Access = "full"
	AccessReadOnly Access = "read_only"
	AccessBlocked  Access = "blocked"
)

// Tenant is one place in the hierarchy, resolved and true at Version. At company
// level WorkspaceID and DomainID are zero, at workspace level DomainID is. It is a
// small value: copy it.
type Tenant struct {
	CompanyID   CompanyID   `json:"companyId"`
	WorkspaceID WorkspaceID `json:"workspaceId,omitzero"`
	DomainID    DomainID    `json:"domainId,omitzero"`

	// Plan is the company's plan key, Access what its subscription allows now.
	Plan   string `json:"plan"`
	Access Access `json:"access"`

	// Suspended is set while any of the three levels is suspended.
	Suspended bool `json:"suspended,omitempty"`
	// SuspendedLevel is the highest of those that are. LevelNone together with Suspended
	// means that this is not known.
	SuspendedLevel Level `json:"suspendedLevel,omitempty"`

	// Moving is set while the domain is being moved to another workspace: it is read, and
	// takes no writes.
	Moving bool `json:"moving,omitempty"`

	// Version grows with every change of any of the three rows; of two Tenants for
	// the same ids the one with the larger Version is the newer.
	Version int64 `json:"version"`

	// Stale is set on a Tenant served from memory past its lifetime because neither
	// Redis nor PostgreSQL answered.
	Stale bool `json:"-"`
}

// Level returns how deep t reaches.
func (t Tenant) Level() Level {
	switch {
	case !t.DomainID.IsZero():
		return LevelDomain
	case !t.WorkspaceID.IsZero():
		return LevelWorkspace
	case !t.CompanyID.IsZero():
		return LevelCompany
	}
	return LevelNone
}

// ActorType says what kind of principal acts.
type ActorType string

// The actor types. The zero Actor is the system itself.
const (
	ActorSystem             ActorType = "system"
	ActorUser               ActorType = "user"
	ActorAdmin              ActorType = "admin"
	ActorAPIKey             ActorType = "api_key"
	ActorAdminImpersonation ActorType = "admin_impersonation"
)

// Actor is who acts, and from where: what the audit trail writes down.
type Actor struct {
	// ID is the product's own identifier of the user, key or administrator. Memberships are
	// those of an ID, whatever the Type: no two actors may share one.
	ID    string
	Type  ActorType
	Email string

	// CompanyID is the only company the actor may touch, whatever its Type. It is zero for
	// ActorAdmin and ActorSystem, which may then touch any, and for one that may touch all it
	// is a member of; what Role says then counts nowhere.
	CompanyID CompanyID

	// Role is what the product says the actor is: a role, built in or the company's own, that
	// counts in the whole company beside what memberships grant (package access). Empty: only
	// memberships count.
	Role string

	// IP, UserAgent and RequestID describe the request, when there was one.
	IP        string
	UserAgent string
	RequestID string
}

// Platform reports whether the actor acts for the platform and not for a company: an
// administrator of one company, as a product may call it, is none of all the others.
func (a Actor) Platform() bool {
	return (a.Type == ActorAdmin || a.Type == ActorSystem) && a.CompanyID.IsZero()
}

// contextKey is unexported so that only this package can put a tenant or an actor
// into a context.
type contextKey int

const (
	tenantKey contextKey = iota
	actorKey
	beforeCommitKey
	withDeletedKey
)

// WithTenant returns a context in which all work is done for t.
func WithTenant(ctx context.Context, t Tenant) context.Context {
	return context.WithValue(ctx, tenantKey, t)
}

// TenantFrom returns the tenant of ctx, or ErrNoTenant. "No tenant" never means
// "all tenants".
func TenantFrom(ctx context.Context) (Tenant, error) {
	t, ok := ctx.Value(tenantKey).(Tenant)
	if !ok || t.CompanyID.IsZero() {
		return Tenant{}, ErrNoTenant
	}
	return t, nil
}

// DomainFrom returns the tenant of ctx when it is a domain, else ErrNoTenant or an
// error that names the level the context has.
func DomainFrom(ctx context.Context) (Tenant, error) { return tenantAt(ctx, LevelDomain) }

// WorkspaceFrom is DomainFrom for a workspace or anything below it.
func WorkspaceFrom(ctx context.Context) (Tenant, error) { return tenantAt(ctx, LevelWorkspace) }

func tenantAt(ctx context.Context, want Level) (Tenant, error) {
	t, err := TenantFrom(ctx)
	if err != nil {
		return Tenant{}, err
	}
	if t.Level() < want {
		return Tenant{}, &LevelError{Want: want, Have: t.Level()}
	}
	return t, nil
}

// WithActor returns a context in which a acts.
func WithActor(ctx context.Context, a Actor) context.Context {
	return context.WithValue(ctx, actorKey, a)
}

// ActorFrom returns the actor of ctx; without one the system acts.
func ActorFrom(ctx context.Context) Actor {
	if a, ok := ctx.Value(actorKey).(Actor); ok {
		return a
	}
	return Actor{Type: ActorSystem}
}
