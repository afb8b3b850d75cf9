// Package settingshttp serves the settings of companies, workspaces and domains.
package settingshttp

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"

	"github.com/stratakit/strata/internal/web"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/access"
	"github.com/stratakit/strata/tenancy/settings"
)

// API is the routes of settings.
type API struct{ store *settings.Store }

var _ web.API = (*API)(nil)

// New returns the routes over store.
func New(store *settings.Store) *API { return &API{store} }

type workspaceChange struct {
	Values map[string]json.RawMessage `description:"The new values, by key. What is not named stays." json:"values" validate:"required"`
}

type companyChange struct {
	Values map[string]json.RawMessage `description:"The new values, by key. What is not named stays." json:"values"`
	Locked map[string]bool            `description:"Whether workspaces may have no other value than the company's, by key." json:"locked"`
}

// Routes returns the routes. In a path {setting} is a key, such as imports.max_rows. What a
// company has set is read by those who may set it: some of it its workspaces must not
// inherit. What they do inherit they see in their own.
func (a *API) Routes() []web.Route {
	const (
		workspace = "/workspaces/{workspaceID}/settings"
		company   = "/companies/{companyID}/settings"
		domain    = "/domains/{domainID}/settings"
		one       = "/{setting}"
	)
	override, defaults, of := string(access.SettingsOverride), string(access.SettingsDefaults), string(access.WorkspaceRead)
	list, single := web.List[settings.Setting]{}, web.Data[settings.Setting]{}
	return []web.Route{
		{
			Method: http.MethodGet, Path: workspace, Name: "listWorkspaceSettings", Summary: "Every setting as it is in a workspace, and where its value comes from",
			Permission: of, Response: list, Handle: a.list,
		},
		{
			Method: http.MethodGet, Path: workspace + one, Name: "getWorkspaceSetting", Summary: "One setting, where its value comes from and what it hides",
			Permission: of, Response: single, Handle: a.explain,
		},
		{
			Method: http.MethodPatch, Path: workspace, Name: "updateWorkspaceSettings", Summary: "Give a workspace values of its own, all or none",
			Permission: override, Request: workspaceChange{}, Response: list, Handle: a.changeWorkspace,
		},
		{
			Method: http.MethodDelete, Path: workspace + one, Name: "clearWorkspaceSetting", Summary: "Take a workspace's own value away: what it inherits counts again",
			Permission: override, Status: http.StatusNoContent, Handle: a.clear,
		},
		{
			Method: http.MethodGet, Path: company, Name: "listCompanySettings", Summary: "Every setting as it is in a company, and where its value comes from",
			Permission: defaults, Response: list, Handle: a.list,
		},
		{
			Method: http.MethodGet, Path: company + one, Name: "getCompanySetting", Summary: "One setting of a company and what it hides",
			Permission: defaults, Response: single, Handle: a.explain,
		},
		{
			Method: http.MethodPatch, Path: company, Name: "updateCompanySettings", Summary: "Set and lock a company's values, all or none",
			Permission: defaults, Request: companyChange{}, Response: list, Handle: a.changeCompany,
		},
		{
			Method: http.MethodDelete, Path: company + one, Name: "clearCompanySetting", Summary: "Take a company's value away, and its lock with it",
			Permission: defaults, Status: http.StatusNoContent, Handle: a.clear,
		},
		{
			Method: http.MethodGet, Path: domain, Name: "listDomainSettings", Summary: "Every setting as it is in a domain; those kept by a move have the reason move",
			Permission: of, Response: list, Handle: a.list,
		},
		{
			Method: http.MethodDelete, Path: domain + one, Name: "clearDomainSetting", Summary: "Take away what a domain kept when it moved",
			Permission: override, Status: http.StatusNoContent, Handle: a.clear,
		},
	}
}

func (a *API) list(w http.ResponseWriter, r *http.Request) error {
	all, err := a.store.List(r.Context())
	if err != nil {
		return err
	}
	return writeList(w, all)
}

func writeList(w http.ResponseWriter, all []settings.Setting) error {
	return web.WriteList(w, all, web.Meta{Total: web.Total(int64(len(all))), Page: 1, PageSize: len(all)})
}

func (a *API) explain(w http.ResponseWriter, r *http.Request) error {
	s, err := a.store.Explain(r.Context(), r.PathValue("setting"))
	if err != nil {
		return err
	}
	return web.WriteData(w, http.StatusOK, s)
}

func (a *API) changeWorkspace(w http.ResponseWriter, r *http.Request) error {
	var in workspaceChange
	if err := web.DecodeJSON(r, &in); err != nil {
		return err
	}
	return a.change(w, r, companyChange{Values: in.Values})
}

func (a *API) changeCompany(w http.ResponseWriter, r *http.Request) error {
	var in companyChange
	if err := web.DecodeJSON(r, &in); err != nil {
		return err
	}
	return a.change(w, r, in)
}

// change answers with the settings that were named, as they are now.
func (a *API) change(w http.ResponseWriter, r *http.Request, in companyChange) error {
	c := settings.Change{Set: make(map[string]any, len(in.Values)), Lock: in.Locked}
	for name, raw := range in.Values {
		c.Set[name] = raw
	}
	if err := a.store.Change(r.Context(), c); err != nil {
		return at(err, in.Values)
	}
	all, err := a.store.List(r.Context())
	if err != nil {
		return err
	}
	named := slices.Concat(slices.Collect(maps.Keys(in.Values)), slices.Collect(maps.Keys(in.Locked)))
	return writeList(w, slices.DeleteFunc(all, func(s settings.Setting) bool { return !slices.Contains(named, s.Key) }))
}

// at says where in the body the settings are that something is wrong with.
func at(err error, values map[string]json.RawMessage) error {
	var v *tenancy.ValidationError
	if !errors.As(err, &v) {
		return err
	}
	out := &tenancy.ValidationError{Fields: slices.Clone(v.Fields)}
	for i, f := range out.Fields {
		if _, ok := values[f.Field]; ok {
			out.Fields[i].Field = "values." + f.Field
		} else {
			out.Fields[i].Field = "locked." + f.Field
		}
	}
	return out
}

func (a *API) clear(w http.ResponseWriter, r *http.Request) error {
	if err := a.store.Clear(r.Context(), r.PathValue("setting")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
