package tenancy

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Change is one mutation, as the audit trail is told of it. Who did it, from where and
// for which tenant comes from the context.
type Change struct {
	Action       string // such as "workspace.created"
	ResourceType string // such as "workspace"
	ResourceID   string
	Metadata     map[string]any
}

// Auditor writes a Change in the transaction that makes it. audit.Recorder is one.
type Auditor interface {
	RecordChange(ctx context.Context, tx *Tx, c Change) error
}

// Provisioner prepares what else a new company needs, in the transaction that creates
// it. billing.Limits is one: it starts the subscription and its counters.
type Provisioner interface {
	Provision(ctx context.Context, tx *Tx, plan string) error
}

// Configuration is what a workspace owns beside its domains. customfields.Registry is one.
type Configuration interface {
	// WorkspaceDeleted gives back what counts towards the plan, in the transaction that
	// deletes the workspace of ctx's tenant and in its scope.
	WorkspaceDeleted(ctx context.Context, tx *Tx) error
}

// StoreConfig configures a Store. The zero value is legal.
type StoreConfig struct {
	// Provisioner runs inside CreateCompany. Nil: nothing more is prepared.
	Provisioner Provisioner
	// Resolver is told to forget what changed, right after the commit. Nil: the caches
	// of other processes notice within their own lifetime.
	Resolver *Resolver
	// Limits is asked inside CreateWorkspace and CreateDomain, and told inside
	// DeleteWorkspace and DeleteDomain. Nil: no limit. billing.Limits is one.
	Limits interface {
		Consume(ctx context.Context, tx *Tx, resource string, n int64) error
		Release(ctx context.Context, tx *Tx, resource string, n int64) error
	}
	// Owners makes NewCompany.Owner a member inside CreateCompany. Nil: a company cannot be
	// created with one. access.Founder is one.
	Owners interface {
		AddOwnerTx(ctx context.Context, tx *Tx, owner Owner) error
	}
	// Configuration is told inside DeleteWorkspace. Nil: nothing more is given back.
	Configuration Configuration
	// Features may add and take away what the size of the company of ctx's tenant asks
	// for, such as what its plan does not have. Nil: the size decides.
	Features func(ctx context.Context, bySize Features) Features
	// Proof configures how names of domains are proven.
	Proof ProofConfig
}

// Store creates, reads, changes and lists companies, workspaces and domains. Every
// mutation is audited in its own transaction. It is safe for concurrent use.
type Store struct {
	db    *DB
	audit Auditor
	cfg   StoreConfig
}

// NewStore returns a Store over db that tells audit of every change.
func NewStore(db *DB, audit Auditor, cfg *StoreConfig) (*Store, error) {
	if db == nil || audit == nil {
		return nil, errors.New("tenancy: NewStore needs a DB and an Auditor")
	}
	s := &Store{db: db, audit: audit}
	if cfg != nil {
		s.cfg = *cfg
	}
	if err := s.cfg.Proof.setDefaults(); err != nil {
		return nil, err
	}
	return s, nil
}

// Bootstrap creates a company with one workspace and one domain in one transaction:
// all that a product with a single customer ever needs. The workspace is named like the
// company. Errors are those of CreateCompany and CreateDomain; a *ValidationError names
// what is wrong with either.
func (s *Store) Bootstrap(ctx context.Context, company NewCompany, domain NewDomain) (Tenant, error) {
	var v ValidationError
	company.check(&v)
	s.checkOwner(&v, company.Owner)
	checkDomainName(&v, domain.DomainName)
	if err := v.OrNil(); err != nil {
		return Tenant{}, err
	}
	var t Tenant
	err := s.createCompany(ctx, company, func(ctx context.Context, tx *Tx, c Company) error {
		w, err := s.createWorkspaceTx(ctx, tx, NewWorkspace{Name: c.Name, Slug: c.Slug})
		if err != nil {
			return err
		}
		d, err := s.createDomainTx(ctx, tx, w.ID, domain)
		if err != nil {
			return err
		}
		t = Tenant{CompanyID: c.ID, WorkspaceID: w.ID, DomainID: d.ID, Plan: c.Plan, Access: c.Access}
		return nil
	})
	return t, err
}

// CreateCompany creates a company. It needs no tenant in ctx: the company is the
// scope of its own creation. Errors: *ValidationError, ErrConflict for a taken slug.
func (s *Store) CreateCompany(ctx context.Context, in NewCompany) (Company, error) {
	var out Company
	err := s.createCompany(ctx, in, func(_ context.Context, _ *Tx, c Company) error {
		out = c
		return nil
	})
	return out, err
}

// check fills in the defaults and notes in v what is wrong.
func (in *NewCompany) check(v *ValidationError) {
	in.Name = checkName(v, "name", in.Name)
	in.Slug = checkSlug(v, in.Slug, in.Name)
	if in.Plan == "" {
		in.Plan = DefaultPlan
	}
}

// checkOwner refuses an owner that nobody would make a member.
func (s *Store) checkOwner(v *ValidationError, owner Owner) {
	if owner != (Owner{}) && s.cfg.Owners == nil {
		v.Add("owner", "not_supported", "must be left out: this installation keeps no members")
	}
}

func (s *Store) createCompany(ctx context.Context, in NewCompany, then func(context.Context, *Tx, Company) error) error {
	var v ValidationError
	in.check(&v)
	s.checkOwner(&v, in.Owner)
	if err := v.OrNil(); err != nil {
		return err
	}
	id := NewID[Company]()
	ctx = WithTenant(ctx, Tenant{CompanyID: id, Plan: in.Plan, Access: AccessFull})
	return s.db.InTx(ctx, func(tx *Tx) error {
		rows, err := tx.Query(ctx, tx.SQL(`INSERT INTO strata.companies (id, name, slug, plan) VALUES ($1, $2, $3, $4) RETURNING `+companyColumns),
			id, in.Name, in.Slug, in.Plan)
		c, err := collectOne(rows, err, scanCompany)
		if err != nil {
			return taken(err, "slug", in.Slug)
		}
		s.forgetAfter(tx) // its slug may have been asked for too early
		if s.cfg.Provisioner != nil {
			if err := s.cfg.Provisioner.Provision(ctx, tx, in.Plan); err != nil {
				return err
			}
		}
		if err := s.audit.RecordChange(ctx, tx, Change{
			Action: "company.created", ResourceType: "company", ResourceID: c.ID.String(),
			Metadata: map[string]any{"name": c.Name, "slug": c.Slug, "plan": c.Plan},
		}); err != nil {
			return err
		}
		if in.Owner != (Owner{}) {
			if err := s.cfg.Owners.AddOwnerTx(ctx, tx, in.Owner); err != nil {
				return err
			}
		}
		return then(ctx, tx, c)
	})
}

// CreateWorkspace creates a workspace in the company of ctx's tenant. Errors:
// *ValidationError, ErrConflict for a slug the company already uses, ErrNotFound when
// the company is gone, billing's *LimitError.
func (s *Store) CreateWorkspace(ctx context.Context, in NewWorkspace) (Workspace, error) {
	var w Workspace
	err := s.db.InTx(ctx, func(tx *Tx) (err error) {
		w, err = s.createWorkspaceTx(ctx, tx, in)
		return err
	})
	return w, err
}

func (s *Store) createWorkspaceTx(ctx context.Context, tx *Tx, in NewWorkspace) (Workspace, error) {
	var v ValidationError
	in.Name = checkName(&v, "name", in.Name)
	in.Slug = checkSlug(&v, in.Slug, in.Name)
	if err := v.OrNil(); err != nil {
		return Workspace{}, err
	}
	if err := lockCompany(ctx, tx); err != nil {
		return Workspace{}, err
	}
	company := tx.Tenant().CompanyID
	rows, err := tx.Query(ctx, tx.SQL(`INSERT INTO strata.workspaces (company_id, id, name, slug)
		SELECT c.id, $2, $3, $4 FROM strata.companies c WHERE c.id = $1 AND c.deleted_at IS NULL RETURNING `+workspaceColumns),
		company, NewID[Workspace](), in.Name, in.Slug)
	w, err := collectOne(rows, err, scanWorkspace)
	if err != nil {
		return Workspace{}, taken(err, "slug", in.Slug)
	}
	if err := s.audit.RecordChange(WithTenant(ctx, Tenant{CompanyID: company, WorkspaceID: w.ID}), tx, Change{
		Action: "workspace.created", ResourceType: "workspace", ResourceID: w.ID.String(),
		Metadata: map[string]any{"name": w.Name, "slug": w.Slug},
	}); err != nil {
		return Workspace{}, err
	}
	return w, s.consume(ctx, tx, "workspaces")
}

// CreateDomain creates a domain in a workspace of the company of ctx's tenant. Its name
// needs no proof, and other companies may have one of the same name: see VerifyDomain. It
// has to be one that somebody can register, below a public suffix (publicsuffix.org), or
// for development one below example, internal, invalid, local, localhost or test. Errors:
// *ValidationError, ErrConflict for a name the workspace already has, ErrNotFound when
// the workspace is gone or not the company's, billing's *LimitError.
func (s *Store) CreateDomain(ctx context.Context, workspace WorkspaceID, in NewDomain) (Domain, error) {
	var d Domain
	err := s.db.InTx(ctx, func(tx *Tx) (err error) {
		d, err = s.createDomainTx(ctx, tx, workspace, in)
		return err
	})
	return d, err
}

func (s *Store) createDomainTx(ctx context.Context, tx *Tx, workspace WorkspaceID, in NewDomain) (Domain, error) {
	var v ValidationError
	name := checkDomainName(&v, in.DomainName)
	if err := v.OrNil(); err != nil {
		return Domain{}, err
	}
	if err := lockCompany(ctx, tx); err != nil {
		return Domain{}, err
	}
	company := tx.Tenant().CompanyID
	rows, err := tx.Query(ctx, tx.SQL(`INSERT INTO strata.domains (company_id, workspace_id, id, domain_name)
		SELECT w.company_id, w.id, $3, $4 FROM strata.workspaces w WHERE w.company_id = $1 AND w.id = $2 AND w.deleted_at IS NULL
			AND EXISTS (SELECT FROM strata.companies WHERE id = $1 AND deleted_at IS NULL)
		RETURNING `+domainColumns),
		company, workspace, NewID[Domain](), name)
	d, err := collectOne(rows, err, scanDomain)
	if err != nil {
		return Domain{}, taken(err, "domain name", name)
	}
	if err := s.audit.RecordChange(WithTenant(ctx, Tenant{CompanyID: company, WorkspaceID: workspace, DomainID: d.ID}), tx, Change{
		Action: "domain.created", ResourceType: "domain", ResourceID: d.ID.String(),
		Metadata: map[string]any{"domainName": d.DomainName},
	}); err != nil {
		return Domain{}, err
	}
	s.forgetAfter(tx) // a look-up that came too early is remembered as "not found"
	return d, s.consume(ctx, tx, "domains")
}

// forgotten marks a transaction after whose commit a company has been forgotten.
type forgotten struct {
	store   *Store
	company CompanyID
}

// forgetAfter makes every process forget the company once tx has committed.
func (s *Store) forgetAfter(tx *Tx) {
	if s.cfg.Resolver == nil {
		return
	}
	key := forgotten{s, tx.Tenant().CompanyID}
	tx.AfterCommit(func(ctx context.Context) {
		// Once for all that changed together. It is marked only here: what a savepoint undid
		// has marked nothing.
		if !tx.Marked(key) {
			tx.Mark(key)
			s.cfg.Resolver.Forget(ctx, key.company)
		}
	})
}

func (s *Store) consume(ctx context.Context, tx *Tx, resource string) error {
	if s.cfg.Limits == nil {
		return nil
	}
	return s.cfg.Limits.Consume(ctx, tx, resource, 1)
}

// collectOne returns the one row of a statement; none is ErrNotFound.
func collectOne[T any](rows pgx.Rows, err error, scan pgx.RowToFunc[T]) (T, error) {
	if err != nil {
		var zero T
		return zero, err
	}
	out, err := pgx.CollectExactlyOneRow(rows, scan)
	if errors.Is(err, pgx.ErrNoRows) {
		return out, ErrNotFound
	}
	return out, err
}

// taken turns a unique violation into ErrConflict that says what is taken.
func taken(err error, what, value string) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "23505" {
		return fmt.Errorf("%s %q: %w", what, value, ErrConflict)
	}
	return err
}
