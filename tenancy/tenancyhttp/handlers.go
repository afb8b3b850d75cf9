package tenancyhttp

import (
	"context"
	"net/http"

	"github.com/stratakit/strata/internal/web"
	"github.com/stratakit/strata/tenancy"
)

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

func (a *API) renameCompany(w http.ResponseWriter, r *http.Request) error {
	return write(w, r, http.StatusOK, func(ctx context.Context, in rename) (tenancy.Company, error) {
		return a.store.RenameCompany(ctx, in.Name)
	})
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

func (a *API) renameWorkspace(w http.ResponseWriter, r *http.Request) error {
	return write(w, r, http.StatusOK, func(ctx context.Context, in rename) (tenancy.Workspace, error) {
		t, err := tenancy.WorkspaceFrom(ctx)
		if err != nil {
			return tenancy.Workspace{}, err
		}
		return a.store.RenameWorkspace(ctx, t.WorkspaceID, in.Name)
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
