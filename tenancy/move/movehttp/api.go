// Package movehttp serves the move of a domain to another workspace.
package movehttp

import (
	"context"
	"net/http"

	"github.com/stratakit/strata/internal/web"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/access"
	"github.com/stratakit/strata/tenancy/move"
)

// API is the routes of moves.
type API struct{ mover *move.Mover }

var _ web.API = (*API)(nil)

// New returns the routes over mover.
func New(mover *move.Mover) *API { return &API{mover} }

type target struct {
	WorkspaceID tenancy.WorkspaceID `json:"workspaceId" validate:"required"`
}

// queued is the answer to what goes on in the background.
type queued struct {
	JobID     move.ID `json:"jobId"`
	Status    string  `json:"status"`
	Estimated int64   `json:"estimated"` // rows
}

// State is a move as clients see it.
type State struct {
	move.Move

	Rewritten  int64   `json:"rewritten"`
	Rows       int64   `json:"rows"`
	Percentage float64 `json:"percentage"`
	Error      string  `json:"error"`
}

func stateOf(m move.Move) State {
	s := State{Move: m, Error: m.PublicError()}
	s.Rewritten, s.Rows = m.Rows()
	switch {
	case m.State.Final():
		s.Percentage = 100
	case s.Rows > 0:
		s.Percentage = 100 * float64(s.Rewritten) / float64(s.Rows)
	}
	return s
}

// Routes returns the routes.
func (a *API) Routes() []web.Route {
	const base = "/domains/{domainID}/move"
	permission := string(access.DomainMove)
	return []web.Route{
		{
			Method: http.MethodPost, Path: base, Name: "moveDomain", Summary: "Move a domain to another workspace; it takes no writes until that is done or cancelled",
			Permission: permission, WhileMoving: true, Request: target{}, Response: queued{}, Status: http.StatusAccepted, Handle: a.start,
		},
		{
			Method: http.MethodGet, Path: base, Name: "getMove", Summary: "How far the latest move of a domain is",
			Permission: permission, Response: web.Data[State]{}, Handle: a.one(a.mover.Get),
		},
		{
			Method: http.MethodPost, Path: base + "/preview", Name: "previewMove", Summary: "What a move would do, and what is in its way",
			Permission: permission, Read: true, Request: target{}, Response: web.Data[move.Preview]{}, Handle: a.preview,
		},
		{
			Method: http.MethodPost, Path: base + "/cancel", Name: "cancelMove", Summary: "Cancel a move that is not done; what was rewritten is rewritten back",
			Permission: permission, WhileMoving: true, Response: web.Data[State]{}, Handle: a.one(a.mover.Cancel),
		},
		{
			Method: http.MethodPost, Path: base + "/retry", Name: "retryMove", Summary: "Let a failed move go on",
			Permission: permission, WhileMoving: true, Response: web.Data[State]{}, Handle: a.one(a.mover.Retry),
		},
	}
}

func (a *API) start(w http.ResponseWriter, r *http.Request) error {
	var in target
	if err := web.DecodeJSON(r, &in); err != nil {
		return err
	}
	m, err := a.mover.Start(r.Context(), in.WorkspaceID)
	if err != nil {
		return err
	}
	_, rows := m.Rows()
	return web.WriteJSON(w, http.StatusAccepted, queued{JobID: m.ID, Status: "queued", Estimated: rows})
}

func (a *API) preview(w http.ResponseWriter, r *http.Request) error {
	var in target
	if err := web.DecodeJSON(r, &in); err != nil {
		return err
	}
	p, err := a.mover.Preview(r.Context(), in.WorkspaceID)
	if err != nil {
		return err
	}
	return web.WriteData(w, http.StatusOK, p)
}

// one answers with the move that do returns.
func (a *API) one(do func(context.Context) (move.Move, error)) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		m, err := do(r.Context())
		if err != nil {
			return err
		}
		return web.WriteData(w, http.StatusOK, stateOf(m))
	}
}
