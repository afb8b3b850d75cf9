package tenancyhttp

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/stratakit/strata/internal/web"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/access"
)

// admit decides whether the request may run and returns the context it runs in. What
// it answers to somebody else's company is what it answers to one that is not there,
// and it comes before everything that would tell them apart. Only while neither
// PostgreSQL nor Redis answers an id that this process remembers is 404, and another 503.
func (s *Server) admit(rt web.Route, r *http.Request) (context.Context, error) {
	if !readable(r) {
		return nil, tenancy.ErrNotFound
	}
	actor := tenancy.Actor{Type: tenancy.ActorSystem}
	if !rt.Public {
		var err error
		if actor, err = s.authenticate(r); err != nil {
			return nil, err
		}
	}
	if actor.IP == "" {
		actor.IP = s.client(r)
	}
	if actor.UserAgent == "" {
		actor.UserAgent = r.UserAgent()
	}
	actor.RequestID = web.RequestID(r.Context())
	ctx := tenancy.WithActor(r.Context(), actor)
	if rt.Untenanted {
		return ctx, nil
	}

	named, err := s.tenants(r)
	if err != nil {
		return nil, err
	}
	permission := access.Permission(rt.Permission)
	if len(named) == 0 {
		// There is no place to be a member of: only what the product says of the actor counts,
		// and of one without a company it says nothing.
		c := s.cfg.Guard.Catalog()
		has := !actor.CompanyID.IsZero() && c.Has(c.Role(actor.Role), permission)
		if permission != "" && !actor.Platform() && !has {
			return nil, ErrForbidden
		}
		return ctx, nil
	}
	for _, tenant := range named { // before anything is said that is true of one of them only
		if err := s.cfg.Guard.Require(tenancy.WithTenant(ctx, tenant), ""); err != nil {
			return nil, err
		}
	}
	tenant, err := deepest(named)
	if err != nil {
		return nil, err
	}
	ctx = context.WithValue(tenancy.WithTenant(ctx, tenant), guardKey{}, s.cfg.Guard)
	if err := s.usable(ctx, tenant, rt); err != nil {
		return nil, err
	}
	return ctx, s.cfg.Guard.Require(ctx, permission)
}

// whileAdmitted returns a context that ends, soon after, when the request would not be
// admitted any more: a stream must not outlive the session, the access or the domain that
// it was opened with. A backend that does not answer ends nothing.
func (s *Server) whileAdmitted(ctx context.Context, rt web.Route, r *http.Request) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer cancel()
		tick := time.NewTicker(s.again)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if _, err := s.admit(rt, r.WithContext(ctx)); err != nil && !web.Unavailable(err) {
				return
			}
		}
	}()
	return ctx, cancel
}

// readable reports whether the path is text. No name of anything has other bytes, and
// PostgreSQL would refuse to look for it.
func readable(r *http.Request) bool {
	return utf8.ValidString(r.URL.Path) && !strings.ContainsRune(r.URL.Path, 0)
}

// authenticate asks who makes the request. Whatever the reason for not knowing, the
// client learns only that; unless it is a backend that is down.
func (s *Server) authenticate(r *http.Request) (tenancy.Actor, error) {
	actor, err := s.principal(r)
	if err != nil {
		if web.Unavailable(err) {
			return tenancy.Actor{}, err
		}
		s.cfg.Log.DebugContext(r.Context(), "no principal", "error", err, "requestId", web.RequestID(r.Context()))
		return tenancy.Actor{}, ErrUnauthenticated
	}
	if actor == (tenancy.Actor{}) {
		return tenancy.Actor{}, ErrUnauthenticated
	}
	return actor, nil
}

// usable says what the state of the tenant of ctx allows.
func (s *Server) usable(ctx context.Context, t tenancy.Tenant, rt web.Route) error {
	if t.Suspended {
		if rt.WhenSuspended == "" || t.SuspendedLevel != t.Level() {
			return tenancy.ErrSuspended
		}
		err := s.cfg.Guard.Require(ctx, access.Permission(rt.WhenSuspended))
		if errors.Is(err, ErrForbidden) {
			err = tenancy.ErrSuspended
		}
		if err != nil {
			return err
		}
	}
	switch {
	case t.Moving && !rt.Reads() && !rt.WhileMoving:
		return tenancy.ErrMoving
	case rt.WhenSuspended != "" && tenancy.ActorFrom(ctx).Platform(): // whoever does not pay can be suspended, resumed and deleted
		return nil
	case t.Access == tenancy.AccessFull, rt.Reads() && (t.Access == tenancy.AccessReadOnly || rt.WhenBlocked):
		return nil
	case t.Access == tenancy.AccessReadOnly:
		return tenancy.ErrReadOnly
	}
	return tenancy.ErrBlocked // and whatever is not known
}

type guardKey struct{}

// needs is Guard.Require for the handlers of this package, when what they need is in the
// body: it asks the Guard of the Server that admitted the request.
func needs(ctx context.Context, p access.Permission) error {
	guard, ok := ctx.Value(guardKey{}).(*access.Guard)
	if !ok {
		return ErrForbidden
	}
	return guard.Require(ctx, p)
}
