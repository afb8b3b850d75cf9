// Package recipientshttp serves recipients.
package recipientshttp

import (
	"fmt"
	"net/http"
	"slices"

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
	StatusReason string            `json:"statusReason"`
	CustomFields map[string]any    `json:"customFields"`
}

type updateRequest struct {
	Email        *string            `json:"email"`
	Name         *string            `json:"name"`
	Status       *recipients.Status `json:"status"`
	StatusReason *string            `json:"statusReason"`
	CustomFields map[string]any     `json:"customFields"`
	Version      *int64             `json:"version"      validate:"omitempty,min=1"`
}

type listQuery struct {
	web.PageQuery

	Filter string `description:"CEL over email, name, status, statusReason, statusChangedAt, createdAt, updatedAt, fields.<key> and <extension>.<column>." query:"filter"`
	Search string `description:"Beginning of the address, or part of the name, in any case and without accents; one or two characters: beginning of a word."                       query:"search"`
	Sort   string `description:"createdAt, updatedAt, email, name or fields.<key>; - before it turns it around." query:"sort"`
	With   string `description:"Extensions whose rows come along, by name, separated by commas."          query:"with"`

	Deleted string `description:"true for what is deleted and not purged yet, instead of the others." enum:"true,false" query:"deleted"`
}

type getQuery struct {
	Deleted string `description:"true for one that is deleted and not purged yet." enum:"true,false" query:"deleted"`
	With    string `description:"Extensions whose rows come along, by name, separated by commas." query:"with"`
}

type purgeQuery struct {
	Purge string `description:"true to take it away for good, deleted or not." enum:"true,false" query:"purge"`
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
			Permission: read, Query: getQuery{}, Response: one, Handle: a.get,
		},
		{
			Method: http.MethodPatch, Path: base + "/{id}", Name: "updateRecipient", Summary: "Change a recipient; null clears a custom field",
			Permission: manage, Request: updateRequest{}, Response: one, Handle: a.update,
		},
		{
			Method: http.MethodDelete, Path: base + "/{id}", Name: "deleteRecipient", Summary: "Delete a recipient, which can be restored, or purge it; its address is free at once",
			Permission: manage, Query: purgeQuery{}, Status: http.StatusNoContent, Handle: a.delete,
		},
		{
			Method: http.MethodPost, Path: base + "/{id}/restore", Name: "restoreRecipient", Summary: "Bring a deleted recipient back",
			Permission: manage, Response: one, Handle: a.restore,
		},
	}
	return slices.Concat(routes, a.enrollmentRoutes(), a.statsRoutes())
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

// ifMatch is the versions that If-Match names.
func ifMatch(r *http.Request) ([]recipients.IfVersion, error) {
	numbers, err := web.IfMatchVersions(r, recipients.ErrVersion)
	versions := make([]recipients.IfVersion, len(numbers))
	for i, n := range numbers {
		versions[i] = recipients.IfVersion(n)
	}
	return versions, err
}

// flag reads a parameter that is true, false or not there.
func flag(v *web.Values, name string) bool { return v.OneOf(name, "true", "false") == "true" }

func (a *API) list(w http.ResponseWriter, r *http.Request) error {
	v := web.Query(r)
	var p tenancy.PageRequest
	p.Page, p.PageSize, p.Cursor = v.Page()
	q := recipients.Query{PageRequest: p, Filter: v.String("filter"), Search: v.String("search"), Sort: v.String("sort"), With: with(v.String("with")), Deleted: flag(v, "deleted")}
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
	out, err := a.store.Create(r.Context(), recipients.New{Email: in.Email, Name: in.Name, Status: in.Status, StatusReason: in.StatusReason, CustomFields: in.CustomFields})
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
	v, get := web.Query(r), a.store.Get
	names := with(v.String("with"))
	if flag(v, "deleted") {
		get = a.store.GetDeleted
	}
	if err := v.Err(); err != nil {
		return err
	}
	out, err := get(r.Context(), recipientID, names...)
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
	change := recipients.Change{Email: in.Email, Name: in.Name, Status: in.Status, StatusReason: in.StatusReason, CustomFields: in.CustomFields}
	change.Version, err = web.IfMatchVersion(r, recipients.ErrVersion, func() (int64, error) {
		now, err := a.store.Get(r.Context(), recipientID)
		return now.Version, err
	})
	if err != nil {
		return err
	}
	if change.Version == 0 && in.Version != nil {
		change.Version = *in.Version
	}
	out, err := a.store.Update(r.Context(), recipientID, change)
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
	v := web.Query(r)
	purge := flag(v, "purge")
	if err := v.Err(); err != nil {
		return err
	}
	versions, err := ifMatch(r)
	if err != nil {
		return err
	}
	if purge {
		err = a.store.Purge(r.Context(), []recipients.ID{recipientID}, versions...)
	} else {
		err = a.store.Delete(r.Context(), recipientID, versions...)
	}
	if err != nil {
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
	versions, err := ifMatch(r)
	if err != nil {
		return err
	}
	out, err := a.store.Restore(r.Context(), recipientID, versions...)
	if err != nil {
		return err
	}
	return write(w, http.StatusOK, out)
}
