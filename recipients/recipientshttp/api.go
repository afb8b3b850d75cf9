// Package recipientshttp serves recipients.
package recipientshttp

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/stratakit/strata/internal/web"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/access"
)

// API is the routes of recipients.
type API struct{ store *recipients.Store }

var _ web.API = (*API)(nil)

// New returns the routes over store.
func New(store *recipients.Store) *API { return &API{store} }

type createRequest struct {
	Email        string            `json:"email"        required:"true"` // the store checks it with everything else
	Name         string            `json:"name"`
	Status       recipients.Status `json:"status"`
	CustomFields map[string]any    `json:"customFields"`
}

type updateRequest struct {
	Email        *string            `json:"email"`
	Name         *string            `json:"name"`
	Status       *recipients.Status `json:"status"`
	CustomFields map[string]any     `json:"customFields"`
	Version      int64              `json:"version"`
}

type listQuery struct {
	web.PageQuery

	Filter string `description:"CEL over email, name, status, createdAt, updatedAt and fields.<key>." query:"filter"`
	Search string `description:"Beginning of the address, or part of the name, in any case and without accents; one or two characters: beginning of a word."                       query:"search"`
	Sort   string `description:"createdAt, updatedAt, email, name or fields.<key>; - before it turns it around." query:"sort"`
}

// Routes returns the routes.
func (a *API) Routes() []web.Route {
	const base = "/domains/{domainID}/recipients"
	read, manage := string(access.RecipientsRead), string(access.RecipientsManage)
	one := web.Data[recipients.Recipient]{}
	routes := []web.Route{
		{
			Method: http.MethodGet, Path: base, Name: "listRecipients", Summary: "List recipients by filter, search and sort",
			Permission: read, Query: listQuery{}, Response: web.List[recipients.Recipient]{}, Handle: a.list,
		},
		{
			Method: http.MethodPost, Path: base, Name: "createRecipient", Summary: "Add a recipient",
			Permission: manage, Request: createRequest{}, Response: one, Status: http.StatusCreated, Handle: a.create,
		},
		{
			Method: http.MethodGet, Path: base + "/{id}", Name: "getRecipient", Summary: "Read a recipient",
			Permission: read, Response: one, Handle: a.get,
		},
		{
			Method: http.MethodPatch, Path: base + "/{id}", Name: "updateRecipient", Summary: "Change a recipient; null clears a custom field",
			Permission: manage, Request: updateRequest{}, Response: one, Handle: a.update,
		},
		{
			Method: http.MethodDelete, Path: base + "/{id}", Name: "deleteRecipient", Summary: "Delete a recipient; its address is free at once",
			Permission: manage, Status: http.StatusNoContent, Handle: a.delete,
		},
		{
			Method: http.MethodPost, Path: base + "/{id}/restore", Name: "restoreRecipient", Summary: "Bring a deleted recipient back",
			Permission: manage, Response: one, Handle: a.restore,
		},
	}
	return append(routes, a.statsRoutes()...)
}

// id is the recipient that the path names; anything that is no id names none.
func id(r *http.Request) (recipients.ID, error) {
	parsed, err := tenancy.ParseID[recipients.Recipient](r.PathValue("id"))
	if err != nil {
		return recipients.ID{}, recipients.ErrNotFound
	}
	return parsed, nil
}

// write answers with one recipient, its version as the entity tag (RFC 9110 section 8.8.3).
func write(w http.ResponseWriter, status int, r recipients.Recipient) error {
	w.Header().Set("ETag", fmt.Sprintf(`"%d"`, r.Version))
	return web.WriteData(w, status, r)
}

func (a *API) list(w http.ResponseWriter, r *http.Request) error {
	v := web.Query(r)
	var p tenancy.PageRequest
	p.Page, p.PageSize, p.Cursor = v.Page()
	q := recipients.Query{PageRequest: p, Filter: v.String("filter"), Search: v.String("search"), Sort: v.String("sort")}
	if err := v.Err(); err != nil {
		return err
	}
	page, err := a.store.List(r.Context(), q)
	if err != nil {
		return err
	}
	return web.WriteList(w, page.Items, web.Meta{
		Total: web.Total(page.Total), TotalIsEstimate: page.TotalIsEstimate,
		Page: page.Page, PageSize: page.PageSize, HasMore: page.HasMore, NextCursor: page.NextCursor,
	})
}

func (a *API) create(w http.ResponseWriter, r *http.Request) error {
	var in createRequest
	if err := web.DecodeJSON(r, &in); err != nil {
		return err
	}
	out, err := a.store.Create(r.Context(), recipients.New{Email: in.Email, Name: in.Name, Status: in.Status, CustomFields: in.CustomFields})
	if err != nil {
		return err
	}
	return write(w, http.StatusCreated, out)
}

func (a *API) get(w http.ResponseWriter, r *http.Request) error {
	recipientID, err := id(r)
	if err != nil {
		return err
	}
	out, err := a.store.Get(r.Context(), recipientID)
	if err != nil {
		return err
	}
	return write(w, http.StatusOK, out)
}

func (a *API) update(w http.ResponseWriter, r *http.Request) error {
	recipientID, err := id(r)
	if err != nil {
		return err
	}
	var in updateRequest
	if err := web.DecodeJSON(r, &in); err != nil {
		return err
	}
	if match := r.Header.Get("If-Match"); match != "" && match != "*" {
		version, err := strconv.ParseInt(strings.Trim(match, `"`), 10, 64)
		if err != nil || version < 1 {
			return recipients.ErrVersion
		}
		in.Version = version
	}
	out, err := a.store.Update(r.Context(), recipientID, recipients.Change{
		Email: in.Email, Name: in.Name, Status: in.Status, CustomFields: in.CustomFields, Version: in.Version,
	})
	if err != nil {
		return err
	}
	return write(w, http.StatusOK, out)
}

func (a *API) delete(w http.ResponseWriter, r *http.Request) error {
	recipientID, err := id(r)
	if err != nil {
		return err
	}
	if err := a.store.Delete(r.Context(), recipientID); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (a *API) restore(w http.ResponseWriter, r *http.Request) error {
	recipientID, err := id(r)
	if err != nil {
		return err
	}
	out, err := a.store.Restore(r.Context(), recipientID)
	if err != nil {
		return err
	}
	return write(w, http.StatusOK, out)
}
