// Package audithttp serves the audit trail.
package audithttp

import (
	"net/http"
	"time"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/internal/web"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/access"
)

// API is the routes of the audit trail.
type API struct{ recorder *audit.Recorder }

var _ web.API = (*API)(nil)

// New returns the routes over recorder.
func New(recorder *audit.Recorder) *API { return &API{recorder} }

// query documents what list reads.
type query struct {
	web.PageQuery

	ActorID      string    `query:"actorId"`
	Action       string    `query:"action"`
	ResourceType string    `query:"resourceType"`
	ResourceID   string    `query:"resourceId"`
	Status       string    `enum:"success,failure"                                              query:"status"`
	From         time.Time `description:"Entries from this time on."                            query:"from"`
	To           time.Time `description:"Entries before this time, which is itself not included." query:"to"`
}

// Routes returns the routes.
func (a *API) Routes() []web.Route {
	return []web.Route{
		{
			Method: http.MethodGet, Path: "/workspaces/{workspaceID}/audit", Name: "listWorkspaceAudit", Summary: "List what was done in a workspace, newest first",
			Permission: string(access.AuditRead), Query: query{}, Response: web.List[audit.Entry]{}, Handle: a.list,
		},
		{
			Method: http.MethodGet, Path: "/companies/{companyID}/audit", Name: "listCompanyAudit", Summary: "List what was done in a company, newest first",
			Permission: string(access.CompanyAuditRead), Query: query{}, Response: web.List[audit.Entry]{}, Handle: a.list,
		},
	}
}

// list answers for the tenant of the context: the path decides which entries those are.
func (a *API) list(w http.ResponseWriter, r *http.Request) error {
	v := web.Query(r)
	var p tenancy.PageRequest
	p.Page, p.PageSize, p.Cursor = v.Page()
	q := audit.Query{
		PageRequest: p,
		ActorID:     v.String("actorId"), Action: v.String("action"),
		ResourceType: v.String("resourceType"), ResourceID: v.String("resourceId"),
		Status: audit.Status(v.OneOf("status", string(audit.Success), string(audit.Failure))),
		From:   v.Time("from"), To: v.Time("to"),
	}
	if err := v.Err(); err != nil {
		return err
	}
	page, err := a.recorder.List(r.Context(), q)
	if err != nil {
		return err
	}
	return web.WriteList(w, page.Items, web.Meta{
		Total: web.Total(page.Total), TotalIsEstimate: page.TotalIsEstimate,
		Page: page.Page, PageSize: page.PageSize, HasMore: page.HasMore, NextCursor: page.NextCursor,
	})
}
