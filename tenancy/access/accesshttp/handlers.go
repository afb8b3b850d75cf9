package accesshttp

import (
	"net/http"

	"github.com/stratakit/strata/internal/web"
	"github.com/stratakit/strata/tenancy/access"
)

func (a *API) members(w http.ResponseWriter, r *http.Request) error {
	var q access.MemberQuery
	values := web.Query(r)
	q.Page.Page, q.Page.PageSize, q.Page.Cursor = values.Page()
	q.ActorID = values.String("actorId")
	q.Everywhere = values.OneOf("everywhere", "true", "false") == "true"
	if err := values.Err(); err != nil {
		return err
	}
	page, err := a.store.Members(r.Context(), q)
	if err != nil {
		return err
	}
	return web.WriteList(w, page.Items, web.Meta{
		Total: web.Total(page.Total), Page: page.Page, PageSize: page.PageSize, HasMore: page.HasMore, NextCursor: page.NextCursor,
	})
}

func (a *API) add(w http.ResponseWriter, r *http.Request) error {
	var in newMember
	if err := web.DecodeJSON(r, &in); err != nil {
		return err
	}
	m, err := a.store.AddMember(r.Context(), access.NewMember(in))
	if err != nil {
		return err
	}
	return web.WriteData(w, http.StatusCreated, m)
}

func (a *API) setRole(w http.ResponseWriter, r *http.Request) error {
	var in memberRole
	if err := web.DecodeJSON(r, &in); err != nil {
		return err
	}
	m, err := a.store.SetRole(r.Context(), r.PathValue("actorID"), in.Role)
	if err != nil {
		return err
	}
	return web.WriteData(w, http.StatusOK, m)
}

func (a *API) remove(w http.ResponseWriter, r *http.Request) error {
	if err := a.store.RemoveMember(r.Context(), r.PathValue("actorID")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (a *API) permissions(w http.ResponseWriter, _ *http.Request) error {
	return whole(w, a.catalog.Definitions())
}

func (a *API) roles(w http.ResponseWriter, r *http.Request) error {
	roles, err := a.store.Roles(r.Context())
	if err != nil {
		return err
	}
	return whole(w, roles)
}

func (a *API) createRole(w http.ResponseWriter, r *http.Request) error {
	var in newRole
	if err := web.DecodeJSON(r, &in); err != nil {
		return err
	}
	role, err := a.store.CreateRole(r.Context(), access.Role{Key: in.Key, Name: in.Name, Level: in.Level, Permissions: in.Permissions})
	if err != nil {
		return err
	}
	return web.WriteData(w, http.StatusCreated, role)
}

func (a *API) updateRole(w http.ResponseWriter, r *http.Request) error {
	var in roleChange
	if err := web.DecodeJSON(r, &in); err != nil {
		return err
	}
	role, err := a.store.UpdateRole(r.Context(), r.PathValue("key"), access.RoleChange(in))
	if err != nil {
		return err
	}
	return web.WriteData(w, http.StatusOK, role)
}

func (a *API) deleteRole(w http.ResponseWriter, r *http.Request) error {
	if err := a.store.DeleteRole(r.Context(), r.PathValue("key")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// whole answers with a list that has one page.
func whole[T any](w http.ResponseWriter, items []T) error {
	return web.WriteList(w, items, web.Meta{Total: web.Total(int64(len(items))), Page: 1, PageSize: len(items)})
}
