package tenancyhttp

import (
	"context"
	"net/http"

	"github.com/stratakit/strata/internal/web"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/access"
)

func (a *API) companies(w http.ResponseWriter, r *http.Request) error {
	return list(w, r, a.store.Companies)
}

func (a *API) createCompany(w http.ResponseWriter, r *http.Request) error {
	return write(w, r, http.StatusCreated, func(ctx context.Context, in newCompany) (tenancy.Company, error) {
		return a.store.CreateCompany(ctx, tenancy.NewCompany(in))
	})
}

func (a *API) company(w http.ResponseWriter, r *http.Request) error {
	c, err := a.store.Company(r.Context())
	if err != nil {
		return err
	}
	return web.WriteData(w, http.StatusOK, c)
}

func (a *API) updateCompany(w http.ResponseWriter, r *http.Request) error {
	return write(w, r, http.StatusOK, func(ctx context.Context, in update) (tenancy.Company, error) {
		if err := in.allowed(ctx, access.PlatformManage); err != nil {
			return tenancy.Company{}, err
		}
		return a.store.UpdateCompany(ctx, tenancy.Update(in))
	})
}

// allowed holds an update that suspends or resumes to the permission for that. What is
// suspended can be resumed, and nothing else done with it.
func (u update) allowed(ctx context.Context, suspend access.Permission) error {
	if u.Suspended != nil {
		return needs(ctx, suspend)
	}
	t, err := tenancy.TenantFrom(ctx)
	if err == nil && t.Suspended {
		err = tenancy.ErrSuspended
	}
	return err
}

func (a *API) deleteCompany(w http.ResponseWriter, r *http.Request) error {
	if err := a.store.DeleteCompany(r.Context()); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (a *API) features(w http.ResponseWriter, r *http.Request) error {
	f, err := a.store.Features(r.Context())
	if err != nil {
		return err
	}
	return web.WriteData(w, http.StatusOK, f)
}

func (a *API) workspaces(w http.ResponseWriter, r *http.Request) error {
	return list(w, r, a.store.Workspaces)
}

func (a *API) createWorkspace(w http.ResponseWriter, r *http.Request) error {
	return write(w, r, http.StatusCreated, func(ctx context.Context, in newWorkspace) (tenancy.Workspace, error) {
		return a.store.CreateWorkspace(ctx, tenancy.NewWorkspace(in))
	})
}

func (a *API) workspace(w http.ResponseWriter, r *http.Request) error {
	t, err := tenancy.WorkspaceFrom(r.Context())
	if err != nil {
		return err
	}
	found, err := a.store.Workspace(r.Context(), t.WorkspaceID)
	if err != nil {
		return err
	}
	return web.WriteData(w, http.StatusOK, found)
}

func (a *API) updateWorkspace(w http.ResponseWriter, r *http.Request) error {
	return write(w, r, http.StatusOK, func(ctx context.Context, in update) (tenancy.Workspace, error) {
		if err := in.allowed(ctx, access.WorkspaceSuspend); err != nil {
			return tenancy.Workspace{}, err
		}
		t, err := tenancy.WorkspaceFrom(ctx)
		if err != nil {
			return tenancy.Workspace{}, err
		}
		return a.store.UpdateWorkspace(ctx, t.WorkspaceID, tenancy.Update(in))
	})
}

func (a *API) deleteWorkspace(w http.ResponseWriter, r *http.Request) error {
	t, err := tenancy.WorkspaceFrom(r.Context())
	if err != nil {
		return err
	}
	if err := a.store.DeleteWorkspace(r.Context(), t.WorkspaceID); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (a *API) domains(w http.ResponseWriter, r *http.Request) error {
	return list(w, r, func(ctx context.Context, p tenancy.PageRequest) (tenancy.Page[tenancy.Domain], error) {
		t, err := tenancy.WorkspaceFrom(ctx)
		if err != nil {
			return tenancy.Page[tenancy.Domain]{}, err
		}
		return a.store.Domains(ctx, t.WorkspaceID, p)
	})
}

func (a *API) createDomain(w http.ResponseWriter, r *http.Request) error {
	return write(w, r, http.StatusCreated, func(ctx context.Context, in newDomain) (tenancy.Domain, error) {
		t, err := tenancy.WorkspaceFrom(ctx)
		if err != nil {
			return tenancy.Domain{}, err
		}
		return a.store.CreateDomain(ctx, t.WorkspaceID, tenancy.NewDomain(in))
	})
}

func (a *API) domain(w http.ResponseWriter, r *http.Request) error {
	return ofDomain(w, r, a.store.Domain)
}

func (a *API) updateDomain(w http.ResponseWriter, r *http.Request) error {
	return write(w, r, http.StatusOK, func(ctx context.Context, in updateDomain) (tenancy.Domain, error) {
		t, err := tenancy.DomainFrom(ctx)
		if err != nil {
			return tenancy.Domain{}, err
		}
		return a.store.SetDomainSuspended(ctx, t.DomainID, *in.Suspended)
	})
}

func (a *API) deleteDomain(w http.ResponseWriter, r *http.Request) error {
	t, err := tenancy.DomainFrom(r.Context())
	if err != nil {
		return err
	}
	if err := a.store.DeleteDomain(r.Context(), t.DomainID); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (a *API) domainProof(w http.ResponseWriter, r *http.Request) error {
	return ofDomain(w, r, a.store.DomainProof)
}

func (a *API) verifyDomain(w http.ResponseWriter, r *http.Request) error {
	return ofDomain(w, r, a.store.VerifyDomain)
}

// ofDomain answers with what do says of the domain that the path names.
func ofDomain[T any](w http.ResponseWriter, r *http.Request, do func(context.Context, tenancy.DomainID) (T, error)) error {
	t, err := tenancy.DomainFrom(r.Context())
	if err != nil {
		return err
	}
	out, err := do(r.Context(), t.DomainID)
	if err != nil {
		return err
	}
	return web.WriteData(w, http.StatusOK, out)
}

// write reads the body, does the one thing and answers with what came of it.
func write[In, Out any](w http.ResponseWriter, r *http.Request, status int, do func(context.Context, In) (Out, error)) error {
	var in In
	if err := web.DecodeJSON(r, &in); err != nil {
		return err
	}
	out, err := do(r.Context(), in)
	if err != nil {
		return err
	}
	return web.WriteData(w, status, out)
}

// list answers with the page that the query asks for.
func list[T any](w http.ResponseWriter, r *http.Request, read func(context.Context, tenancy.PageRequest) (tenancy.Page[T], error)) error {
	var p tenancy.PageRequest
	q := web.Query(r)
	p.Page, p.PageSize, p.Cursor = q.Page()
	if err := q.Err(); err != nil {
		return err
	}
	page, err := read(r.Context(), p)
	if err != nil {
		return err
	}
	return web.WriteList(w, page.Items, web.Meta{
		Total: web.Total(page.Total), TotalIsEstimate: page.TotalIsEstimate,
		Page: page.Page, PageSize: page.PageSize, HasMore: page.HasMore, NextCursor: page.NextCursor,
	})
}
