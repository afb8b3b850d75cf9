// Package customfieldshttp serves the definitions of custom fields and checks filters.
package customfieldshttp

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/customfields/filter"
	"github.com/stratakit/strata/internal/web"
	"github.com/stratakit/strata/tenancy/access"
)

// API is the routes of custom fields.
type API struct {
	registry *customfields.Registry
	compile  Compile
}

var _ web.API = (*API)(nil)

// Compile compiles a filter for the workspace of ctx's tenant: recipients.Store.Filter.
type Compile func(ctx context.Context, expr string) (*filter.Filter, error)

// New returns the routes over registry. compile is for the filters that are checked.
func New(registry *customfields.Registry, compile Compile) *API {
	return &API{registry, compile}
}

type createRequest struct {
	Key             string                   `json:"key"             required:"true"` // the registry checks it with everything else
	Label           string                   `json:"label"`
	Description     string                   `json:"description"`
	Type            customfields.Type        `json:"type"            required:"true"`
	Options         []string                 `json:"options"`
	ArchivedOptions []string                 `json:"archivedOptions"`
	Constraints     customfields.Constraints `json:"constraints"`
	DateOnly        bool                     `json:"dateOnly"`
	Required        bool                     `json:"required"`
	Default         any                      `json:"default"`
	Unique          bool                     `json:"unique"`
	Filterable      *bool                    `json:"filterable"` // default true
	Position        int                      `json:"position"`
}

type updateRequest struct {
	Label           *string                   `json:"label"`
	Description     *string                   `json:"description"`
	Options         *[]string                 `json:"options"`
	ArchivedOptions *[]string                 `json:"archivedOptions"`
	Constraints     *customfields.Constraints `json:"constraints"`
	DateOnly        *bool                     `json:"dateOnly"`
	Required        *bool                     `json:"required"`
	Default         json.RawMessage           `json:"default"` // null takes it away
	Unique          *bool                     `json:"unique"`
	Filterable      *bool                     `json:"filterable"`
	Position        *int                      `json:"position"`
	Version         int64                     `json:"version"`
}

type listQuery struct {
	web.PageQuery

	Archived string `description:"true for the archived fields only, false for the others." query:"archived"`
}

// Routes returns the routes.
func (a *API) Routes() []web.Route {
	const base = "/workspaces/{workspaceID}/custom-fields"
	read, manage := string(access.FieldsRead), string(access.FieldsManage)
	return []web.Route{
		{
			Method: http.MethodGet, Path: base, Name: "listCustomFields", Summary: "List the custom fields of a workspace, archived ones last",
			Permission: read, Query: listQuery{}, Response: web.List[customfields.Field]{}, Handle: a.list,
		},
		{
			Method: http.MethodPost, Path: base, Name: "createCustomField", Summary: "Define a custom field",
			Permission: manage, Request: createRequest{}, Response: web.Data[customfields.Field]{}, Status: http.StatusCreated, Handle: a.create,
		},
		{
			Method: http.MethodGet, Path: base + "/{key}", Name: "getCustomField", Summary: "Read a custom field, archived or not",
			Permission: read, Response: web.Data[customfields.Field]{}, Handle: a.get,
		},
		{
			Method: http.MethodPatch, Path: base + "/{key}", Name: "updateCustomField", Summary: "Change a custom field; key and type stay, and so do the values that are stored",
			Permission: manage, Request: updateRequest{}, Response: web.Data[customfields.Field]{}, Handle: a.update,
		},
		{
			Method: http.MethodPost, Path: "/workspaces/{workspaceID}/filters/check", Name: "checkFilter", Summary: "Check a filter and name what it reads",
			Permission: string(access.RecipientsRead), Read: true, Request: checkRequest{}, Response: web.Data[Check]{}, Handle: a.check,
		},
	}
}

// write answers with one field, its version as the entity tag (RFC 9110 section 8.8.3).
func write(w http.ResponseWriter, status int, f customfields.Field) error {
	w.Header().Set("ETag", fmt.Sprintf(`"%d"`, f.Version))
	return web.WriteData(w, status, f)
}

func (a *API) list(w http.ResponseWriter, r *http.Request) error {
	v := web.Query(r)
	var q customfields.Query
	q.Page, q.PageSize, q.Cursor = v.Page()
	if archived := v.OneOf("archived", "true", "false"); archived != "" {
		only := archived == "true"
		q.Archived = &only
	}
	if err := v.Err(); err != nil {
		return err
	}
	page, err := a.registry.Page(r.Context(), q)
	if err != nil {
		return err
	}
	return web.WriteList(w, page.Items, web.Meta{
		Total: web.Total(page.Total), Page: page.Page, PageSize: page.PageSize, HasMore: page.HasMore, NextCursor: page.NextCursor,
	})
}

func (a *API) get(w http.ResponseWriter, r *http.Request) error {
	f, err := a.registry.Get(r.Context(), r.PathValue("key"))
	if err != nil {
		return err
	}
	return write(w, http.StatusOK, f)
}

func (a *API) create(w http.ResponseWriter, r *http.Request) error {
	var in createRequest
	if err := web.DecodeJSON(r, &in); err != nil {
		return err
	}
	f, err := a.registry.Create(r.Context(), customfields.Field{
		Key: in.Key, Label: in.Label, Description: in.Description, Type: in.Type, Options: in.Options, ArchivedOptions: in.ArchivedOptions,
		Constraints: in.Constraints, DateOnly: in.DateOnly, Required: in.Required, Default: in.Default, Unique: in.Unique,
		Filterable: in.Filterable == nil || *in.Filterable, Position: in.Position,
	})
	if err != nil {
		return err
	}
	return write(w, http.StatusCreated, f)
}

func (a *API) update(w http.ResponseWriter, r *http.Request) error {
	var in updateRequest
	if err := web.DecodeJSON(r, &in); err != nil {
		return err
	}
	version, err := web.IfMatchVersion(r, customfields.ErrVersion, func() (int64, error) {
		f, err := a.registry.Get(r.Context(), r.PathValue("key"))
		return f.Version, err
	})
	if err != nil {
		return err
	}
	if version != 0 {
		in.Version = version
	}
	c := customfields.Change{
		Label: in.Label, Description: in.Description, Options: in.Options, ArchivedOptions: in.ArchivedOptions, Constraints: in.Constraints,
		DateOnly: in.DateOnly, Required: in.Required, Unique: in.Unique, Filterable: in.Filterable, Position: in.Position, Version: in.Version,
	}
	if in.Default != nil {
		c.Default = new(any)
		if err := json.Unmarshal(in.Default, c.Default); err != nil {
			return err
		}
	}
	f, err := a.registry.Update(r.Context(), r.PathValue("key"), c)
	if err != nil {
		return err
	}
	return write(w, http.StatusOK, f)
}
