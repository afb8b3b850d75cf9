// Package web holds what all handlers share: how a route is described, how a request
// is read and how an answer or an error is written. It knows nothing of tenants.
package web

import (
	"cmp"
	"net/http"
	"strings"
)

// Route is one route of an API: what a server needs to protect it, to describe it and
// to serve it.
type Route struct {
	// Method and Path are those of net/http's ServeMux, without a prefix, such as
	// "/domains/{domainID}/recipients". The path values domainID, workspaceID and
	// companyID name the tenant. Without a Method the route takes every method and is
	// left out of the OpenAPI document.
	Method, Path string
	// Pattern is what ServeMux gets in place of Path, where it would refuse that beside another
	// route that both could match: Path with a parameter in place of a word. Where a path has
	// another word there, there is no such route. Empty: Path.
	Pattern string
	// Name is the operation's unique id, such as "listRecipients", Summary one line
	// for a person.
	Name, Summary string
	// Permission is what the principal must be allowed, as access.Permission names it.
	// Empty: any authenticated principal.
	Permission string
	// Public routes have no principal. A tenant named in the path is resolved all the same.
	Public bool
	// Untenanted marks a public route that is for no tenant, whatever the request names: its
	// answer tells of none.
	Untenanted bool
	// Read marks a POST that only reads, such as a search with a body.
	Read bool
	// WhenBlocked marks a route that reads and answers even while the subscription blocks
	// everything else: what is used, and a company's own data on its way out.
	WhenBlocked bool
	// WhenSuspended is the permission that lets a principal use the route although the
	// company, workspace or domain that the path names is suspended itself, and not one
	// above it: to read that level, to let it work again, to delete it. Empty: nobody may. The platform
	// may whatever the subscription allows, too.
	WhenSuspended string
	// WhileMoving marks a route that changes something and answers even while the domain is
	// being moved, when no other does: the move itself.
	WhileMoving bool
	// Long marks a route that is not held to the server's time limit: a stream, a file.
	Long bool
	// Status is the status of success. 0 means 200.
	Status int
	// Request and Response are zero values of the bodies' types, Query one of a struct
	// whose fields have "query" tags. Nil: none. They are for the OpenAPI document.
	Request, Response, Query any
	// Accepted is a zero value of the body of a 202, where a request may also become a job's.
	// Nil: it cannot.
	Accepted any
	// ContentType is that of the answer. Empty: application/json.
	ContentType string
	// Handle answers the request, or returns an error having written nothing.
	Handle func(w http.ResponseWriter, r *http.Request) error
}

// Registered returns the pattern for ServeMux.
func (rt Route) Registered() string { return cmp.Or(rt.Pattern, rt.Path) }

// Matches reports whether a request that ServeMux found by the pattern has the words of Path.
func (rt Route) Matches(r *http.Request) bool {
	if rt.Pattern == "" {
		return true
	}
	words := strings.Split(rt.Path, "/")
	for i, part := range strings.Split(rt.Pattern, "/") {
		if name, ok := strings.CutPrefix(part, "{"); ok && part != words[i] && r.PathValue(strings.TrimSuffix(name, "}")) != words[i] {
			return false
		}
	}
	return true
}

// Reads reports whether the route changes nothing.
func (rt Route) Reads() bool {
	return rt.Read || rt.Method == http.MethodGet || rt.Method == http.MethodHead
}

// API is a set of routes.
type API interface {
	// Routes returns the routes, the same ones each time.
	Routes() []Route
}
