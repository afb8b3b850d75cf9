package tenancy

import (
	"context"
	"strings"
)

// Update says what changes of a company or a workspace. What is nil stays.
type Update struct {
	// Name is the new name. It does not change the slug.
	Name *string
	// Slug is the new slug. The old one is free at once.
	Slug *string
	// Suspended suspends, or lets work again. While something is suspended every request
	// for it or for what is below gets ErrSuspended.
	Suspended *bool
}

func (u *Update) check() error {
	var v ValidationError
	if *u == (Update{}) {
		v.Add("name", "required", "nothing would change: give a name, a slug or suspended")
	}
	if u.Name != nil {
		name := checkName(&v, "name", *u.Name)
		u.Name = &name
	}
	if u.Slug != nil {
		checkSlug(&v, *u.Slug, "") // an empty one is not made from the name: links would break unasked
	}
	return v.OrNil()
}

// changes is what the audit trail is told: of one Update that does both, that something
// was renamed and that it was suspended.
func (u *Update) changes(resource string) []Change {
	var changes []Change
	renamed := map[string]any{}
	if u.Name != nil {
		renamed["name"] = *u.Name
	}
	if u.Slug != nil {
		renamed["slug"] = *u.Slug
	}
	if len(renamed) > 0 {
		changes = append(changes, Change{Action: resource + ".renamed", ResourceType: resource, Metadata: renamed})
	}
	if u.Suspended != nil {
		changes = append(changes, suspension(resource, *u.Suspended))
	}
	return changes
}

func suspension(resource string, suspended bool) Change {
	if suspended {
		return Change{Action: resource + ".suspended", ResourceType: resource}
	}
	return Change{Action: resource + ".resumed", ResourceType: resource}
}

// suspendedSQL is what suspended_at becomes; $n is true, false, or NULL for no change.
func suspendedSQL(n string) string {
	return strings.ReplaceAll(`suspended_at = CASE WHEN $n::boolean THEN coalesce(suspended_at, now()) WHEN NOT $n THEN NULL ELSE suspended_at END`, "$n", n)
}

// UpdateCompany changes the company of ctx's tenant. Errors: *ValidationError,
// ErrConflict for a slug that another company has, ErrNotFound.
func (s *Store) UpdateCompany(ctx context.Context, u Update) (Company, error) {
	if err := u.check(); err != nil {
		return Company{}, err
	}
	c, err := change(ctx, s, u.changes("company"),
		`UPDATE strata.companies SET name = coalesce($2, name), slug = coalesce($3, slug), `+suspendedSQL("$4")+`, `+touched+`
			WHERE id = $1 AND deleted_at IS NULL RETURNING `+companyColumns,
		scanCompany, func(c Company) string { return c.ID.String() }, u.Name, u.Slug, u.Suspended)
	return c, u.taken(err)
}

// UpdateWorkspace changes a workspace of the company of ctx's tenant. Errors:
// *ValidationError, ErrConflict for a slug that another of the company's has, ErrNotFound.
func (s *Store) UpdateWorkspace(ctx context.Context, id WorkspaceID, u Update) (Workspace, error) {
	if err := u.check(); err != nil {
		return Workspace{}, err
	}
	ctx, err := inWorkspace(ctx, id)
	if err != nil {
		return Workspace{}, err
	}
	w, err := change(ctx, s, u.changes("workspace"),
		`UPDATE strata.workspaces SET name = coalesce($3, name), slug = coalesce($4, slug), `+suspendedSQL("$5")+`, `+touched+`
			WHERE company_id = $1 AND id = $2 AND deleted_at IS NULL RETURNING `+workspaceColumns,
		scanWorkspace, func(w Workspace) string { return w.ID.String() }, id, u.Name, u.Slug, u.Suspended)
	return w, u.taken(err)
}

func (u *Update) taken(err error) error {
	if u.Slug == nil {
		return err
	}
	return taken(err, "slug", *u.Slug)
}

// RenameCompany gives the company of ctx's tenant a new name. The slug stays.
func (s *Store) RenameCompany(ctx context.Context, name string) (Company, error) {
	return s.UpdateCompany(ctx, Update{Name: &name})
}

// RenameWorkspace gives a workspace of the company of ctx's tenant a new name. The slug
// stays.
func (s *Store) RenameWorkspace(ctx context.Context, id WorkspaceID, name string) (Workspace, error) {
	return s.UpdateWorkspace(ctx, id, Update{Name: &name})
}

// SetCompanySuspended suspends the company of ctx's tenant, or lets it work again.
func (s *Store) SetCompanySuspended(ctx context.Context, suspended bool) (Company, error) {
	return s.UpdateCompany(ctx, Update{Suspended: &suspended})
}

// SetWorkspaceSuspended suspends a workspace of the company of ctx's tenant, or lets it
// work again.
func (s *Store) SetWorkspaceSuspended(ctx context.Context, id WorkspaceID, suspended bool) (Workspace, error) {
	return s.UpdateWorkspace(ctx, id, Update{Suspended: &suspended})
}
