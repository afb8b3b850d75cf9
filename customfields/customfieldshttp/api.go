// Package customfieldshttp serves the definitions of custom fields and checks filters.
package customfieldshttp

import (
	"net/http"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/customfields/filter"
	"github.com/stratakit/strata/internal/web"
	"github.com/stratakit/strata/tenancy/access"
)

// API is the routes of custom fields.
type API struct {
	registry *customfields.Registry
	columns  []filter.Column
}

var _ web.API = (*API)(nil)

// New returns the routes over registry. columns are those that filters may use beside
// the fields: recipients.Columns().
func New(registry *customfields.Registry, columns []filter.Column) *API {
	return &API{registry, columns}
}

type createRequest struct {
	Key        string            `json:"key"        required:"true"` // the registry checks it with everything else
	Label      string            `json:"label"`
	Type       customfields.Type `json:"type"       required:"true"`
	Options    []string          `json:"options"`
	Required   bool              `json:"required"`
	Filterable *bool             `json:"filterable"` // default true
	Position   int               `json:"position"`
}

type updateRequest struct {
	Label      *string   `json:"label"`
	Options    *[]string `json:"options"`
	Required   *bool     `json:"required"`
	Filterable *bool     `json:"filterable"`
	Position   *int      `json:"position"`
}

type checkRequest struct {
	Filter string `json:"filter" validate:"required"`
}

// Check is the answer to a filter that is in order.
type Check struct {
	OK         bool     `json:"ok"`
	References []string `json:"references"`
}

// Routes returns the routes.
func (a *API) Routes() []web.Route {
	const base = "/workspaces/{workspaceID}/custom-fields"
	read, manage := string(access.FieldsRead), string(access.FieldsManage)
	return []web.Route{
		{
			Method: http.MethodGet, Path: base, Name: "listCustomFields", Summary: "List the custom fields of a workspace, archived ones last",
			Permission: read, Response: web.List[customfields.Field]{}, Handle: a.list,
		},
		{
			Method: http.MethodPost, Path: base, Name: "createCustomField", Summary: "Define a custom field",
			Permission: manage, Request: createRequest{}, Response: web.Data[customfields.Field]{}, Status: http.StatusCreated, Handle: a.create,
		},
		{
			Method: http.MethodPatch, Path: base + "/{key}", Name: "updateCustomField", Summary: "Change label, options, required, filterable or position",
			Permission: manage, Request: updateRequest{}, Response: web.Data[customfields.Field]{}, Handle: a.update,
		},
		{
			Method: http.MethodDelete, Path: base + "/{key}", Name: "archiveCustomField", Summary: "Archive a custom field; its values stay",
			Permission: manage, Status: http.StatusNoContent, Handle: a.archive,
		},
		{
			Method: http.MethodPost, Path: "/workspaces/{workspaceID}/filters/check", Name: "checkFilter", Summary: "Check a filter and name what it reads",
			Permission: string(access.RecipientsRead), Read: true, Request: checkRequest{}, Response: web.Data[Check]{}, Handle: a.check,
		},
	}
}

func (a *API) list(w http.ResponseWriter, r *http.Request) error {
	fields, err := a.registry.List(r.Context())
	if err != nil {
		return err
	}
	return web.WriteList(w, fields, web.Meta{Total: web.Total(int64(len(fields))), Page: 1, PageSize: len(fields)})
}

func (a *API) create(w http.ResponseWriter, r *http.Request) error {
	var in createRequest
	if err := web.DecodeJSON(r, &in); err != nil {
		return err
	}
	f, err := a.registry.Create(r.Context(), customfields.Field{
		Key: in.Key, Label: in.Label, Type: in.Type, Options: in.Options, Required: in.Required,
		Filterable: in.Filterable == nil || *in.Filterable, Position: in.Position,
	})
	if err != nil {
		return err
	}
	return web.WriteData(w, http.StatusCreated, f)
}

func (a *API) update(w http.ResponseWriter, r *http.Request) error {
	var in updateRequest
	if err := web.DecodeJSON(r, &in); err != nil {
		return err
	}
	f, err := a.registry.Update(r.Context(), r.PathValue("key"), customfields.Change{
		Label: in.Label, Options: in.Options, Required: in.Required, Filterable: in.Filterable, Position: in.Position,
	})
	if err != nil {
		return err
	}
	return web.WriteData(w, http.StatusOK, f)
}

func (a *API) archive(w http.ResponseWriter, r *http.Request) error {
	if err := a.registry.Archive(r.Context(), r.PathValue("key")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (a *API) check(w http.ResponseWriter, r *http.Request) error {
	var in checkRequest
	if err := web.DecodeJSON(r, &in); err != nil {
		return err
	}
	set, err := a.registry.Set(r.Context())
	if err != nil {
		return err
	}
	f, err := filter.Compile(filter.Schema{Fields: set, Columns: a.columns}, in.Filter)
	if err != nil {
		return err
	}
	references := f.References()
	if references == nil {
		references = []string{}
	}
	return web.WriteData(w, http.StatusOK, Check{OK: true, References: references})
}
