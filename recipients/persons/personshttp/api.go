// Package personshttp serves persons: what is suggested, links by hand, matchings, completions
// and credits, inside a workspace and across the workspaces of a company.
package personshttp

import (
	"context"
	"net/http"
	"slices"

	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/internal/web"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/recipients/persons"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/access"
)

// API is the routes of persons.
type API struct {
	store     *persons.Store
	matcher   *persons.Matcher
	completer *persons.Completer
}

var _ web.API = (*API)(nil)

// New returns the routes over what is given.
func New(store *persons.Store, matcher *persons.Matcher, completer *persons.Completer) *API {
	return &API{store, matcher, completer}
}

type linkRequest struct {
	Recipients []persons.Ref `json:"recipients" required:"true"` // the store says how many
}

type mergeRequest struct {
	Into persons.ID `json:"into" required:"true" validate:"required"`
	From persons.ID `json:"from" required:"true" validate:"required"`
}

type suggestionsQuery struct {
	State    string `default:"open" enum:"open,accepted,rejected"                query:"state"`
	PageSize int    `default:"50"   description:"Items in a page." maximum:"500" minimum:"1" query:"pageSize"`
	Cursor   string `description:"meta.nextCursor of the page before."           query:"cursor"`
}

// matching is a Matching with what of its error is for everybody.
type matching struct {
	persons.Matching

	Error string `json:"error"`
}

// Routes returns the routes.
func (a *API) Routes() []web.Route {
	inside := a.routes("/workspaces/{workspaceID}/persons", "", " inside a workspace", access.PersonsLink)
	across := a.routes("/companies/{companyID}/persons", "Company", " of all workspaces of a company", access.PersonsLinkAcross)
	return slices.Concat(inside, across, a.credits())
}

func (a *API) routes(base, of, where string, permission access.Permission) []web.Route {
	person, job := web.Data[persons.Person]{}, web.Data[matching]{}
	routes := []web.Route{
		{
			Method: http.MethodGet, Path: base, Name: "list" + of + "PersonSuggestions", Summary: "List pairs of recipients that may be one human" + where,
			Query: suggestionsQuery{}, Response: web.List[persons.Suggestion]{}, Handle: a.suggestions,
		},
		{
			Method: http.MethodGet, Path: base + "/{personID}", Name: "get" + of + "Person", Summary: "Read a person with its recipients" + where,
			Response: person, Handle: a.get,
		},
		{
			Method: http.MethodPost, Path: base + "/link", Name: "link" + of + "Person", Summary: "Say that recipients are one human" + where,
			Request: linkRequest{}, Response: person, Handle: a.link,
		},
		{
			Method: http.MethodPost, Path: base + "/unlink", Name: "unlink" + of + "Person", Summary: "Take a recipient out of its person" + where,
			Request: persons.Ref{}, Status: http.StatusNoContent, Handle: a.unlink,
		},
		{
			Method: http.MethodPost, Path: base + "/merge", Name: "merge" + of + "Persons", Summary: "Make one person of two" + where,
			Request: mergeRequest{}, Response: person, Handle: a.merge,
		},
		{
			Method: http.MethodPost, Path: base + "/{personID}/undo-merge", Name: "undo" + of + "PersonMerge", Summary: "Take a person out of the one that it was merged into" + where,
			Status: http.StatusNoContent, Handle: a.undoMerge,
		},
		{
			Method: http.MethodPost, Path: base + "/suggestions/{suggestionID}/accept", Name: "accept" + of + "PersonSuggestion", Summary: "Link the two recipients of a suggestion" + where,
			Response: person, Handle: a.accept,
		},
		{
			Method: http.MethodPost, Path: base + "/suggestions/{suggestionID}/reject", Name: "reject" + of + "PersonSuggestion", Summary: "Never suggest these two recipients again" + where,
			Status: http.StatusNoContent, Handle: a.reject,
		},
		{
			Method: http.MethodPost, Path: base + "/match", Name: "match" + of + "Persons", Summary: "Look for recipients that are one human" + where,
			Response: job, Status: http.StatusAccepted, Handle: a.match,
		},
		{
			Method: http.MethodGet, Path: base + "/matches/{matchID}", Name: "get" + of + "PersonMatching", Summary: "See how a matching goes" + where,
			Response: job, Handle: a.matching,
		},
		{
			Method: http.MethodPost, Path: base + "/matches/{matchID}/cancel", Name: "cancel" + of + "PersonMatching", Summary: "Cancel a matching" + where + "; what it has found stays",
			Response: job, Handle: a.cancel,
		},
	}
	for i := range routes {
		routes[i].Permission = string(permission)
	}
	return routes
}

// id reads an id of the path. Anything that is no id names nothing.
func id[T any](r *http.Request, name string) (tenancy.ID[T], error) {
	parsed, err := tenancy.ParseID[T](r.PathValue(name))
	if err != nil {
		return tenancy.ID[T]{}, persons.ErrNotFound
	}
	return parsed, nil
}

func (a *API) suggestions(w http.ResponseWriter, r *http.Request) error {
	v := web.Query(r)
	q := persons.SuggestionQuery{
		PageSize: v.Int("pageSize", 0), Cursor: v.String("cursor"),
		State: persons.State(v.OneOf("state", string(persons.Open), string(persons.Accepted), string(persons.Rejected))),
	}
	if err := v.Err(); err != nil {
		return err
	}
	page, err := a.store.Suggestions(r.Context(), q)
	if err != nil {
		return err
	}
	return web.WriteList(w, page.Items, web.Meta{
		Total: web.Total(page.Total), Page: page.Page, PageSize: page.PageSize, HasMore: page.HasMore, NextCursor: page.NextCursor,
	})
}

// write answers with a person as it is now.
func (a *API) write(w http.ResponseWriter, r *http.Request, person persons.ID) error {
	p, err := a.store.Get(r.Context(), person)
	if err != nil {
		return err
	}
	return web.WriteData(w, http.StatusOK, p)
}

func (a *API) get(w http.ResponseWriter, r *http.Request) error {
	person, err := id[recipients.Person](r, "personID")
	if err != nil {
		return err
	}
	return a.write(w, r, person)
}

func (a *API) link(w http.ResponseWriter, r *http.Request) error {
	var in linkRequest
	if err := web.DecodeJSON(r, &in); err != nil {
		return err
	}
	person, err := a.store.Link(r.Context(), in.Recipients)
	if err != nil {
		return err
	}
	return a.write(w, r, person)
}

func (a *API) unlink(w http.ResponseWriter, r *http.Request) error {
	var in persons.Ref
	if err := web.DecodeJSON(r, &in); err != nil {
		return err
	}
	return done(w, a.store.Unlink(r.Context(), in))
}

func (a *API) merge(w http.ResponseWriter, r *http.Request) error {
	var in mergeRequest
	if err := web.DecodeJSON(r, &in); err != nil {
		return err
	}
	person, err := a.store.Merge(r.Context(), in.Into, in.From)
	if err != nil {
		return err
	}
	return a.write(w, r, person)
}

func (a *API) undoMerge(w http.ResponseWriter, r *http.Request) error {
	person, err := id[recipients.Person](r, "personID")
	if err != nil {
		return err
	}
	if err := web.NoBody(r); err != nil {
		return err
	}
	return done(w, a.store.UndoMerge(r.Context(), person))
}

func (a *API) accept(w http.ResponseWriter, r *http.Request) error {
	suggestion, err := id[persons.Suggestion](r, "suggestionID")
	if err != nil {
		return err
	}
	if err := web.NoBody(r); err != nil {
		return err
	}
	person, err := a.store.Accept(r.Context(), suggestion)
	if err != nil {
		return err
	}
	return a.write(w, r, person)
}

func (a *API) reject(w http.ResponseWriter, r *http.Request) error {
	suggestion, err := id[persons.Suggestion](r, "suggestionID")
	if err != nil {
		return err
	}
	if err := web.NoBody(r); err != nil {
		return err
	}
	return done(w, a.store.Reject(r.Context(), suggestion))
}

// done answers a change that has nothing to show.
func done(w http.ResponseWriter, err error) error {
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (a *API) match(w http.ResponseWriter, r *http.Request) error {
	if err := web.NoBody(r); err != nil {
		return err
	}
	m, err := a.matcher.Match(r.Context())
	if err != nil {
		return err
	}
	return web.WriteData(w, http.StatusAccepted, matching{m, ""})
}

func (a *API) matching(w http.ResponseWriter, r *http.Request) error {
	return a.writeMatching(w, r, a.matcher.Matching)
}

func (a *API) cancel(w http.ResponseWriter, r *http.Request) error {
	if err := web.NoBody(r); err != nil {
		return err
	}
	return a.writeMatching(w, r, a.matcher.Cancel)
}

// writeMatching answers with the matching of the path that get returns.
func (a *API) writeMatching(w http.ResponseWriter, r *http.Request, get func(context.Context, bulk.RunID) (persons.Matching, error)) error {
	run, err := id[bulk.Run](r, "matchID")
	if err != nil {
		return err
	}
	m, err := get(r.Context(), run)
	if err != nil {
		return err
	}
	return web.WriteData(w, http.StatusOK, matching{m, m.PublicError()})
}
