package library

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/uptrace/bun"

	"github.com/stratakit/strata/tenancy"
)

// platform stands for the company of what the platform owns. No company has this id.
func platform() tenancy.CompanyID {
	return tenancy.CompanyID{255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255}
}

// Platform returns a context for work on what the platform offers to every company. It
// replaces the tenant of ctx; the actor must be one that acts for the platform
// (tenancy.Actor.Platform), or everything in this package returns ErrNotPlatform.
func Platform(ctx context.Context) context.Context {
	return tenancy.WithTenant(ctx, tenancy.Tenant{CompanyID: platform(), Access: tenancy.AccessFull})
}

// scopeOf returns the tenant of ctx, which may be the platform.
func scopeOf(ctx context.Context) (tenancy.Tenant, error) {
	t, err := tenancy.TenantFrom(ctx)
	if err == nil && t.CompanyID == platform() && !tenancy.ActorFrom(ctx).Platform() {
		err = ErrNotPlatform
	}
	return t, err
}

// Rule is who sees what, as a condition on one table for one context: see the package's
// documentation. It does not change and is safe for concurrent use.
type Rule struct {
	text string // with ? for the arguments
	args []any
}

var aliasForm = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,62}$`)

// Visible returns the rule for ctx on a table that the statement calls alias, which has
// the columns company_id and owner_id. Errors: tenancy.ErrNoTenant, ErrNotPlatform, and
// one for an alias that would need quoting.
func (s *Store) Visible(ctx context.Context, alias string) (Rule, error) {
	if !aliasForm.MatchString(alias) {
		return Rule{}, fmt.Errorf("library: alias %q: want lower-case letters, digits and underscores", alias)
	}
	t, err := scopeOf(ctx)
	if err != nil {
		return Rule{}, err
	}
	all, c, w := platform(), t.CompanyID, t.WorkspaceID
	r := Rule{}
	switch {
	case c == all:
		r.text, r.args = `(@.company_id = ?)`, []any{all}
	case w.IsZero():
		// Of a company with thousands of workspaces few are deleted: they are the shorter list.
		r.text = s.db.SQL(`(@.company_id IN (?, ?) AND @.owner_id NOT IN (SELECT w.id FROM strata.workspaces w WHERE w.company_id = ? AND w.deleted_at IS NOT NULL))`)
		r.args = []any{all, c, c}
	default:
		r.text, r.args = `(@.company_id IN (?, ?) AND @.owner_id IN (?, ?, ?))`, []any{all, c, all, c, w}
	}
	r.text = strings.ReplaceAll(r.text, "@", alias)
	return r, nil
}

// SQL returns the rule as a condition in parentheses, with its parameters numbered from
// first, and their values.
func (r Rule) SQL(first int) (string, []any) {
	parts := strings.Split(r.text, "?")
	var b strings.Builder
	for i, part := range parts {
		if i > 0 {
			b.WriteString("$" + strconv.Itoa(first+i-1))
		}
		b.WriteString(part)
	}
	return b.String(), r.args
}

// Apply adds the rule to a query of bun: q.Apply(rule.Apply). It is the condition of a join
// with a table of one row and no columns, because one in WHERE would hold for half of the
// query when the caller has a WhereOr.
func (r Rule) Apply(q *bun.SelectQuery) *bun.SelectQuery {
	return q.Join(`JOIN (SELECT) AS strata_visible ON `+r.text, r.args...)
}
