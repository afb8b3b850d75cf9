package customfieldshttp

import (
	"context"
	"net/http"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/customfields/lifecycle"
	"github.com/stratakit/strata/internal/web"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/access"
)

// Changes is the routes of what is done to fields that have values.
type Changes struct{ manager *lifecycle.Manager }

var _ web.API = (*Changes)(nil)

// NewChanges returns the routes over manager.
func NewChanges(manager *lifecycle.Manager) *Changes { return &Changes{manager} }

type renameRequest struct {
	Key string `json:"key" required:"true"` // whether there is such a field comes first, here and below
}

type convertRequest struct {
	Type       customfields.Type `json:"type"       required:"true"`
	Options    []string          `json:"options"    description:"Those of a select or multi_select. Default: those it has, or what its values make."`
	DryRun     bool              `json:"dryRun"     description:"Only say what would become of the values."`
	AcceptLoss int64             `json:"acceptLoss" description:"How many values may be lost because they cannot be converted."`
	Force      bool              `json:"force"      description:"Convert although filters break."`
}

type removeOptionRequest struct {
	Option      string `json:"option"      required:"true"`
	Replacement string `json:"replacement" description:"What records get that have the option. Default: none."`
	Force       bool   `json:"force"       description:"Remove it although filters mention it."`
}

type archiveQuery struct {
	Force string `description:"true archives a field that filters mention." query:"force"`
}

// Run is a run as clients see it.
type Run struct {
	lifecycle.Run

	Error string `json:"error"`
}

// converted is the answer to a conversion: the run, or, with dryRun, what it would do.
type converted struct {
	*Run

	Preview *lifecycle.Preview `json:"preview,omitempty"`
}

func runOf(r lifecycle.Run) Run { return Run{r, r.PublicError()} }

// Routes returns the routes.
func (c *Changes) Routes() []web.Route {
	const (
		field = "/workspaces/{workspaceID}/custom-fields/{key}"
		runs  = "/workspaces/{workspaceID}/custom-field-runs"
	)
	read, manage := string(access.FieldsRead), string(access.FieldsManage)
	return []web.Route{
		{
			Method: http.MethodDelete, Path: field, Name: "archiveCustomField", Summary: "Archive a custom field that no filter mentions; its values stay",
			Permission: manage, Query: archiveQuery{}, Status: http.StatusNoContent, Handle: c.archive,
		},
		{
			Method: http.MethodPost, Path: field + "/restore", Name: "restoreCustomField", Summary: "Bring an archived custom field back, with its values",
			Permission: manage, Response: web.Data[customfields.Field]{}, Handle: c.restore,
		},
		{
			Method: http.MethodPost, Path: field + "/rename", Name: "renameCustomField", Summary: "Give a custom field another key, in the filters too",
			Permission: manage, Request: renameRequest{}, Response: web.Data[customfields.Field]{}, Handle: c.rename,
		},
		{
			Method: http.MethodPost, Path: field + "/convert", Name: "convertCustomField", Summary: "Give a custom field another type; its values are converted in the background",
			Permission: manage, Request: convertRequest{}, Response: web.Data[converted]{}, Status: http.StatusAccepted, Handle: c.convert,
		},
		{
			Method: http.MethodPost, Path: field + "/options/remove", Name: "removeCustomFieldOption", Summary: "Take an option of a custom field away, from the records too",
			Permission: manage, Request: removeOptionRequest{}, Response: web.Data[Run]{}, Status: http.StatusAccepted, Handle: c.removeOption,
		},
		{
			Method: http.MethodPost, Path: field + "/purge", Name: "purgeCustomField", Summary: "Delete an archived custom field and all its values",
			Permission: manage, Response: web.Data[Run]{}, Status: http.StatusAccepted, Handle: c.purge,
		},
		{
			Method: http.MethodGet, Path: field + "/dependents", Name: "listCustomFieldDependents", Summary: "List the filters that mention a custom field",
			Permission: read, Response: web.List[lifecycle.Dependent]{}, Handle: c.dependents,
		},
		{
			Method: http.MethodGet, Path: runs, Name: "listCustomFieldRuns", Summary: "List the changes of custom fields that go through the records, the newest first",
			Permission: read, Query: web.PageQuery{}, Response: web.List[Run]{}, Handle: c.list,
		},
		{
			Method: http.MethodGet, Path: runs + "/{runID}", Name: "getCustomFieldRun", Summary: "How far a change of a custom field is",
			Permission: read, Response: web.Data[Run]{}, Handle: c.one(http.StatusOK, (*lifecycle.Manager).Run),
		},
		{
			Method: http.MethodPost, Path: runs + "/{runID}/cancel", Name: "cancelCustomFieldRun", Summary: "Cancel a change of a custom field that can still be undone",
			Permission: manage, Response: web.Data[Run]{}, Status: http.StatusAccepted, Handle: c.one(http.StatusAccepted, (*lifecycle.Manager).Cancel),
		},
		{
			Method: http.MethodPost, Path: runs + "/{runID}/retry", Name: "retryCustomFieldRun", Summary: "Let a failed change of a custom field go on",
			Permission: manage, Response: web.Data[Run]{}, Status: http.StatusAccepted, Handle: c.one(http.StatusAccepted, (*lifecycle.Manager).Retry),
		},
	}
}

func (c *Changes) archive(w http.ResponseWriter, r *http.Request) error {
	q := web.Query(r)
	force := q.OneOf("force", "true", "false") == "true"
	if err := q.Err(); err != nil {
		return err
	}
	if err := c.manager.Archive(r.Context(), r.PathValue("key"), force); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (c *Changes) restore(w http.ResponseWriter, r *http.Request) error {
	f, err := c.manager.Restore(r.Context(), r.PathValue("key"))
	if err != nil {
		return err
	}
	return write(w, http.StatusOK, f)
}

func (c *Changes) rename(w http.ResponseWriter, r *http.Request) error {
	var in renameRequest
	if err := web.DecodeJSON(r, &in); err != nil {
		return err
	}
	f, err := c.manager.Rename(r.Context(), r.PathValue("key"), in.Key)
	if err != nil {
		return err
	}
	return write(w, http.StatusOK, f)
}

func (c *Changes) convert(w http.ResponseWriter, r *http.Request) error {
	var in convertRequest
	if err := web.DecodeJSON(r, &in); err != nil {
		return err
	}
	opts := &lifecycle.ConvertOptions{Options: in.Options, AcceptLoss: in.AcceptLoss, Force: in.Force}
	if in.DryRun {
		p, err := c.manager.Preview(r.Context(), r.PathValue("key"), in.Type, opts)
		if err != nil {
			return err
		}
		return web.WriteData(w, http.StatusOK, converted{Preview: &p})
	}
	run, err := c.manager.Convert(r.Context(), r.PathValue("key"), in.Type, opts)
	if err != nil {
		return err
	}
	answer := runOf(run)
	return web.WriteData(w, http.StatusAccepted, converted{Run: &answer})
}

func (c *Changes) removeOption(w http.ResponseWriter, r *http.Request) error {
	var in removeOptionRequest
	if err := web.DecodeJSON(r, &in); err != nil {
		return err
	}
	run, err := c.manager.RemoveOption(r.Context(), r.PathValue("key"), in.Option, in.Replacement, in.Force)
	if err != nil {
		return err
	}
	return web.WriteData(w, http.StatusAccepted, runOf(run))
}

func (c *Changes) purge(w http.ResponseWriter, r *http.Request) error {
	run, err := c.manager.Purge(r.Context(), r.PathValue("key"))
	if err != nil {
		return err
	}
	return web.WriteData(w, http.StatusAccepted, runOf(run))
}

func (c *Changes) dependents(w http.ResponseWriter, r *http.Request) error {
	found, err := c.manager.Dependents(r.Context(), r.PathValue("key"))
	if err != nil {
		return err
	}
	return web.WriteList(w, found, web.Meta{Total: web.Total(int64(len(found))), Page: 1, PageSize: len(found)})
}

func (c *Changes) list(w http.ResponseWriter, r *http.Request) error {
	q := web.Query(r)
	var p tenancy.PageRequest
	p.Page, p.PageSize, p.Cursor = q.Page()
	if err := q.Err(); err != nil {
		return err
	}
	page, err := c.manager.Runs(r.Context(), p)
	if err != nil {
		return err
	}
	out := make([]Run, len(page.Items))
	for i, run := range page.Items {
		out[i] = runOf(run)
	}
	return web.WriteList(w, out, web.Meta{
		Total: web.Total(page.Total), Page: page.Page, PageSize: page.PageSize, HasMore: page.HasMore, NextCursor: page.NextCursor,
	})
}

// one answers with the run that do returns.
func (c *Changes) one(status int, do func(*lifecycle.Manager, context.Context, lifecycle.RunID) (lifecycle.Run, error)) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		id, err := tenancy.ParseID[lifecycle.Run](r.PathValue("runID"))
		if err != nil {
			return lifecycle.ErrRunNotFound
		}
		run, err := do(c.manager, r.Context(), id)
		if err != nil {
			return err
		}
		return web.WriteData(w, status, runOf(run))
	}
}
