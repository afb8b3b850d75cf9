package recipientshttp

import (
	"errors"
	"net/http"

	"github.com/google/uuid"

	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/internal/web"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy/access"
)

// Bulk is the route of operations on many recipients.
type Bulk struct {
	store *recipients.Store
	ops   *bulk.Operations
}

var _ web.API = (*Bulk)(nil)

// NewBulk returns the route over ops, which are on the recipients of store. It serves every
// operation that is registered, a product's own too, to whoever may manage recipients.
func NewBulk(store *recipients.Store, ops *bulk.Operations) *Bulk { return &Bulk{store, ops} }

type bulkRequest struct {
	Op string `description:"set, delete, restore, enroll, withdraw, or one of a product's own." json:"op" required:"true"`

	Set       map[string]any      `description:"Of set: name, status, statusReason and fields.<key>; null clears a custom field." json:"set"`
	Add       map[string][]string `description:"Of set: options that fields.<key> of the type multi_select get."                  json:"add"`
	Remove    map[string][]string `description:"Of set: options that fields.<key> of the type multi_select lose."                 json:"remove"`
	Increment map[string]float64  `description:"Of set: what is added to fields.<key> of the type number."                        json:"increment"`

	Product string         `description:"Of enroll and withdraw: the extension."                       json:"product"`
	Data    map[string]any `description:"Of enroll: columns of the extension, the same for everybody." json:"data"`
	Args    map[string]any `description:"Of an operation of a product's own: what that takes."         json:"args"`

	IDs    []recipients.ID `description:"These recipients, instead of a filter, a search or all."                 json:"ids"`
	Filter string          `description:"Those that match, as in the list of recipients; with search, both."      json:"filter"`
	Search string          `description:"Those that are found, as in the list of recipients; with filter, both." json:"search"`
	All    bool            `description:"true for all recipients of the domain."                                  json:"all"`

	DryRun bool `description:"Only count, and show a few." json:"dryRun"`
}

// bulkAnswer is what was done at once, or what would be.
type bulkAnswer struct {
	Status    string `enum:"completed,dry_run" json:"status"`
	Affected  int64  `description:"How many were changed."                               json:"affected"`
	Unchanged int64  `description:"How many were so already."                            json:"unchanged"`
	Missing   int64  `description:"How many of the ids given are of no recipient there." json:"missing"`
	Failed    int64  `description:"How many were refused."                               json:"failed"`
	// Failures are those that were refused.
	Failures []bulk.Failure `json:"failures,omitempty"`
	// Estimated and Sample are of a dry run.
	Estimated *int64                 `description:"How many it is for."            json:"estimated,omitempty"`
	Sample    []recipients.Recipient `description:"A few of them, at most ten."    json:"sample,omitempty"`
}

// bulkQueued is the job that does it.
type bulkQueued struct {
	JobID     bulk.RunID `json:"jobId"`
	Status    bulk.State `enum:"queued" json:"status"`
	Estimated int64      `json:"estimated"`
}

// Routes returns the route.
func (a *Bulk) Routes() []web.Route {
	return []web.Route{{
		Method: http.MethodPost, Path: "/domains/{domainID}/recipients/bulk", Name: "changeRecipients",
		Summary:    "Change many recipients: up to 1,000 at once, more by a job",
		Permission: string(access.RecipientsManage), Request: bulkRequest{}, Response: bulkAnswer{}, Accepted: bulkQueued{}, Handle: a.submit,
	}}
}

// args are those of the operation, whose names are members of the request.
func (in *bulkRequest) args() (any, error) {
	given := map[string]any{}
	put := func(name string, value any, there bool) {
		if there {
			given[name] = value
		}
	}
	put("set", in.Set, in.Set != nil)
	put("add", in.Add, in.Add != nil)
	put("remove", in.Remove, in.Remove != nil)
	put("increment", in.Increment, in.Increment != nil)
	put("product", in.Product, in.Product != "")
	put("data", in.Data, in.Data != nil)
	if in.Args == nil {
		return given, nil
	}
	if len(given) > 0 {
		return nil, web.Invalid(web.FieldError{Field: "args", Code: "ambiguous", Message: "is for operations of a product's own, which take nothing beside it"})
	}
	return in.Args, nil
}

func (a *Bulk) submit(w http.ResponseWriter, r *http.Request) error {
	var in bulkRequest
	if err := web.DecodeJSON(r, &in); err != nil {
		return err
	}
	args, err := in.args()
	if err != nil {
		return err
	}
	res, err := a.ops.Submit(r.Context(), bulk.Request{
		Op: in.Op, Args: args, DryRun: in.DryRun,
		Selection: bulk.Selection{IDs: plain(in.IDs), Filter: in.Filter, Search: in.Search, All: in.All},
	})
	if err != nil {
		return err
	}
	if res.Status == bulk.StateQueued {
		return web.WriteJSON(w, http.StatusAccepted, bulkQueued{res.RunID, res.Status, res.Rows})
	}
	out := bulkAnswer{
		Status: string(res.Status), Affected: res.Changed, Unchanged: res.Unchanged, Missing: res.Missing,
		Failed: int64(len(res.Failures)), Failures: res.Failures,
	}
	if in.DryRun {
		out.Status, out.Estimated = "dry_run", &res.Rows
		if out.Sample, err = a.sample(r, res.Sample); err != nil {
			return err
		}
	}
	return web.WriteJSON(w, http.StatusOK, out)
}

// sample reads a few recipients, deleted or not.
func (a *Bulk) sample(r *http.Request, ids []uuid.UUID) ([]recipients.Recipient, error) {
	var out []recipients.Recipient
	for _, id := range ids {
		found, err := a.store.Get(r.Context(), recipients.ID(id))
		if errors.Is(err, recipients.ErrNotFound) {
			found, err = a.store.GetDeleted(r.Context(), recipients.ID(id))
		}
		switch {
		case err == nil:
			out = append(out, found)
		case !errors.Is(err, recipients.ErrNotFound): // it has just gone
			return nil, err
		}
	}
	return out, nil
}

func plain(ids []recipients.ID) []uuid.UUID {
	if ids == nil {
		return nil
	}
	out := make([]uuid.UUID, len(ids))
	for i, id := range ids {
		out[i] = uuid.UUID(id)
	}
	return out
}
