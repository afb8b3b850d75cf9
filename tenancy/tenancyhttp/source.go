package tenancyhttp

import (
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/stratakit/strata/internal/fault"
	"github.com/stratakit/strata/tenancy"
)

// ErrTenantMismatch is the answer to a request whose sources name different tenants, such as
// a host of one company and a path of another, when its principal may touch them all. Who
// may not gets tenancy.ErrNotFound.
var ErrTenantMismatch error = fault.New(fault.Malformed, "tenant_mismatch", "the request names different tenants: its path, headers and host must agree")

// Named is the tenant that one part of a request names; the zero Named names none. Of the
// ids the deepest counts, and those above it have to fit. Slug names a company.
type Named struct {
	CompanyID   tenancy.CompanyID
	WorkspaceID tenancy.WorkspaceID
	DomainID    tenancy.DomainID
	Slug        string
}

// Source reads the tenant that a part of a request names. An error ends the request: one of
// this library's packages with its status, any other with 500. See Config.Sources.
type Source func(r *http.Request) (Named, error)

// FromPath reads the path values domainID, workspaceID and companyID of http.ServeMux.
func FromPath(r *http.Request) (Named, error) {
	var n Named
	var err error
	if n.DomainID, err = pathID[tenancy.Domain](r, "domainID"); err != nil {
		return n, err
	}
	if n.WorkspaceID, err = pathID[tenancy.Workspace](r, "workspaceID"); err != nil {
		return n, err
	}
	n.CompanyID, err = pathID[tenancy.Company](r, "companyID")
	return n, err
}

// FromHeader returns a Source that reads the id of a company, workspace or domain from a
// header, such as FromHeader(tenancy.LevelDomain, "X-Domain-Id"). What is no id is answered
// as an id that nobody has; the header twice with different ids is a mismatch.
func FromHeader(level tenancy.Level, header string) Source {
	return func(r *http.Request) (n Named, err error) {
		values := r.Header.Values(header)
		if len(values) == 0 {
			return n, nil
		}
		for _, v := range values[1:] {
			if v != values[0] {
				return n, ErrTenantMismatch
			}
		}
		switch level {
		case tenancy.LevelCompany:
			n.CompanyID, err = parseID[tenancy.Company](values[0])
		case tenancy.LevelWorkspace:
			n.WorkspaceID, err = parseID[tenancy.Workspace](values[0])
		case tenancy.LevelDomain:
			n.DomainID, err = parseID[tenancy.Domain](values[0])
		case tenancy.LevelNone:
			err = fmt.Errorf("tenancyhttp: FromHeader(%s, %q) names no level", level, header)
		}
		return n, err
	}
}

// FromHost returns a Source that reads a company's slug from the host: with the base
// "app.example.com" acme.app.example.com is a request for the company acme. The base itself
// and hosts that do not end in it name none.
func FromHost(base string) Source {
	suffix := "." + strings.ToLower(strings.Trim(base, "."))
	return func(r *http.Request) (Named, error) {
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		slug, ok := strings.CutSuffix(strings.ToLower(strings.TrimSuffix(host, ".")), suffix)
		if !ok {
			return Named{}, nil
		}
		return Named{Slug: slug}, nil // a slug has no dot: a.b is nobody's
	}
}

// pathID reads a path value. One that the route's path does not have is zero; one that it
// has is an id, or the request is for nobody.
func pathID[T any](r *http.Request, name string) (tenancy.ID[T], error) {
	if !strings.Contains(r.Pattern, "{"+name+"}") {
		return tenancy.ID[T]{}, nil
	}
	return parseID[T](r.PathValue(name))
}

func parseID[T any](s string) (tenancy.ID[T], error) {
	id, err := tenancy.ParseID[T](s)
	if err == nil && id.IsZero() {
		err = tenancy.ErrNotFound
	}
	return id, err
}

// tenants resolves what each source names.
func (s *Server) tenants(r *http.Request) ([]tenancy.Tenant, error) {
	var tenants []tenancy.Tenant
	for _, source := range s.cfg.Sources {
		n, err := source(r)
		if err != nil {
			return nil, err
		}
		if n == (Named{}) {
			continue
		}
		t, err := s.resolve(r, n)
		if err != nil {
			return nil, err
		}
		tenants = append(tenants, t)
	}
	return tenants, nil
}

// resolve resolves the deepest id of n and holds the others to it.
func (s *Server) resolve(r *http.Request, n Named) (t tenancy.Tenant, err error) {
	ctx := r.Context()
	switch {
	case !n.DomainID.IsZero():
		t, err = s.resolver.ResolveDomain(ctx, n.DomainID)
	case !n.WorkspaceID.IsZero():
		t, err = s.resolver.ResolveWorkspace(ctx, n.WorkspaceID)
	case !n.CompanyID.IsZero():
		t, err = s.resolver.ResolveCompany(ctx, n.CompanyID)
	default:
		return s.resolver.ResolveCompanySlug(ctx, n.Slug)
	}
	if err != nil {
		return t, err
	}
	if !n.WorkspaceID.IsZero() && n.WorkspaceID != t.WorkspaceID || !n.CompanyID.IsZero() && n.CompanyID != t.CompanyID {
		return t, tenancy.ErrNotFound
	}
	if n.Slug != "" {
		owner, err := s.resolver.ResolveCompanySlug(ctx, n.Slug)
		if err != nil {
			return t, err
		}
		if owner.CompanyID != t.CompanyID {
			return t, tenancy.ErrNotFound
		}
	}
	return t, nil
}

// deepest returns the deepest of tenants, which must all lie on its way down.
func deepest(tenants []tenancy.Tenant) (tenancy.Tenant, error) {
	var t tenancy.Tenant
	for _, other := range tenants {
		if other.Level() > t.Level() {
			t, other = other, t
		}
		if !other.CompanyID.IsZero() && other.CompanyID != t.CompanyID ||
			!other.WorkspaceID.IsZero() && other.WorkspaceID != t.WorkspaceID ||
			!other.DomainID.IsZero() && other.DomainID != t.DomainID {
			return t, ErrTenantMismatch
		}
	}
	return t, nil
}
