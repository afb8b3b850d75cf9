// Package tenancyriver carries the tenant and the actor of a context into jobs of River and
// back out of them. Give one Middleware to the product's own River client:
//
//	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{
//		Middleware: []rivertype.Middleware{tenancyriver.New(resolver, nil)},
//		...
//	})
//
// A job that is inserted with a tenant in the context works in that tenant, as it is by then,
// whatever the context of the client holds; one inserted without works without. A job whose
// tenant is gone, because it was deleted or has moved to another company, is cancelled: to try
// it again would not bring the tenant back.
//
// A job that is unique (river.UniqueOpts) is so in its tenant: one of another tenant with the
// same arguments is another job.
//
// The ids stand in the job's metadata, under the key "strata"; the tenant itself does not,
// because plan, access and place may have changed since. Strata's own work (package bulk) does
// not need this.
package tenancyriver

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/stratakit/strata/tenancy"
)

// metadataKey is the member of a job's metadata that is ours.
const metadataKey = "strata"

// Config configures a Middleware. The zero value is legal.
type Config struct {
	// Later is how long a job waits whose tenant is suspended, or that met
	// tenancy.ErrMoving; it costs no attempt.
	// Default 5 min.
	Later time.Duration
}

// Middleware is for the Middleware of river.Config, of clients that insert, that work, or
// both. It is safe for concurrent use.
type Middleware struct {
	river.MiddlewareDefaults
	resolver *tenancy.Resolver
	cfg      Config
}

var (
	_ rivertype.JobInsertMiddleware = (*Middleware)(nil)
	_ rivertype.WorkerMiddleware    = (*Middleware)(nil)
)

// New returns a Middleware. resolver is asked when a job starts; a client that only inserts
// may pass nil.
func New(resolver *tenancy.Resolver, cfg *Config) *Middleware {
	m := &Middleware{resolver: resolver}
	if cfg != nil {
		m.cfg = *cfg
	}
	if m.cfg.Later == 0 {
		m.cfg.Later = 5 * time.Minute
	}
	return m
}

// stamp is what a job carries.
type stamp struct {
	CompanyID   tenancy.CompanyID   `json:"companyId,omitzero"`
	WorkspaceID tenancy.WorkspaceID `json:"workspaceId,omitzero"`
	DomainID    tenancy.DomainID    `json:"domainId,omitzero"`
	Actor       *tenancy.Actor      `json:"actor,omitempty"`
}

// InsertMany notes tenant and actor of ctx in the jobs. A job that carries them already, as
// one that is inserted again with its metadata does, keeps them.
func (m *Middleware) InsertMany(ctx context.Context, jobs []*rivertype.JobInsertParams, inner func(context.Context) ([]*rivertype.JobInsertResult, error)) ([]*rivertype.JobInsertResult, error) {
	var s stamp
	if t, err := tenancy.TenantFrom(ctx); err == nil {
		s.CompanyID, s.WorkspaceID, s.DomainID = t.CompanyID, t.WorkspaceID, t.DomainID
	}
	if actor := tenancy.ActorFrom(ctx); actor != (tenancy.Actor{Type: tenancy.ActorSystem}) {
		s.Actor = &actor
	}
	for _, job := range jobs {
		var err error
		if job.Metadata, err = stamped(job.Metadata, s); err == nil {
			err = separate(job)
		}
		if err != nil {
			return nil, fmt.Errorf("tenancyriver: metadata of a %s job: %w", job.Kind, err)
		}
	}
	return inner(ctx)
}

// separate keeps a unique job apart from those of other tenants: River knows of its arguments
// only, and would take that of one tenant for a duplicate of another's, which is never worked.
func separate(job *rivertype.JobInsertParams) error {
	if len(job.UniqueKey) == 0 {
		return nil
	}
	s, err := stampOf(job.Metadata)
	if err != nil || s.CompanyID.IsZero() {
		return err
	}
	deepest := s.CompanyID.String()
	switch {
	case !s.DomainID.IsZero():
		deepest = s.DomainID.String()
	case !s.WorkspaceID.IsZero():
		deepest = s.WorkspaceID.String()
	}
	key := sha256.Sum256(append([]byte(deepest), job.UniqueKey...))
	job.UniqueKey = key[:]
	return nil
}

func stampOf(metadata []byte) (stamp, error) {
	var m struct {
		Strata stamp `json:"strata"`
	}
	if len(bytes.TrimSpace(metadata)) == 0 {
		return m.Strata, nil
	}
	err := json.Unmarshal(metadata, &m)
	return m.Strata, err
}

func stamped(metadata []byte, s stamp) ([]byte, error) {
	if s == (stamp{}) {
		return metadata, nil
	}
	ours, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	members := map[string]json.RawMessage{}
	if len(bytes.TrimSpace(metadata)) > 0 {
		if err := json.Unmarshal(metadata, &members); err != nil {
			return nil, err
		}
	}
	if _, carried := members[metadataKey]; carried || members == nil {
		return metadata, nil // null is what River itself refuses
	}
	members[metadataKey] = ours
	return json.Marshal(members)
}

// Work restores tenant and actor and runs the job, or cancels it when its tenant is gone. A
// backend that does not answer fails the attempt.
func (m *Middleware) Work(ctx context.Context, job *rivertype.JobRow, inner func(context.Context) error) error {
	s, err := stampOf(job.Metadata)
	if err != nil {
		return river.JobCancel(fmt.Errorf("tenancyriver: the job's metadata is unreadable: %w", err))
	}
	tenant, err := m.resolve(ctx, s)
	switch {
	case errors.Is(err, tenancy.ErrNotFound):
		return river.JobCancel(fmt.Errorf("tenancyriver: the tenant of the job is gone: %w", err))
	case err != nil:
		return err
	case tenant.Suspended:
		return river.JobSnooze(m.cfg.Later)
	}
	actor := tenancy.Actor{Type: tenancy.ActorSystem}
	if s.Actor != nil {
		actor = *s.Actor
	}
	// Always both, so that nothing of the client's own context shows through.
	err = inner(tenancy.WithActor(tenancy.WithTenant(ctx, tenant), actor))
	if errors.Is(err, tenancy.ErrMoving) { // it is no fault of the job's
		return river.JobSnooze(m.cfg.Later)
	}
	return err
}

// resolve returns the tenant as it is now. One that has changed hands is not found.
func (m *Middleware) resolve(ctx context.Context, s stamp) (t tenancy.Tenant, err error) {
	switch {
	case s.CompanyID.IsZero():
		return t, nil
	case m.resolver == nil:
		return t, errors.New("tenancyriver: a client that works needs a Resolver: give one to New")
	case !s.DomainID.IsZero():
		t, err = m.resolver.ResolveDomain(ctx, s.DomainID)
	case !s.WorkspaceID.IsZero():
		t, err = m.resolver.ResolveWorkspace(ctx, s.WorkspaceID)
	default:
		t, err = m.resolver.ResolveCompany(ctx, s.CompanyID)
	}
	if err == nil && t.CompanyID != s.CompanyID {
		err = tenancy.ErrNotFound
	}
	return t, err
}
