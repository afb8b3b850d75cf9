package access

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/internal/suggest"
	"github.com/stratakit/strata/tenancy"
)

// MaxRoles is how many roles of its own a company can have.
const MaxRoles = 200

// Role is a named set of permissions.
type Role struct {
	// Key is what members have as their role: lower-case letters, digits and underscores.
	Key  string `json:"key"`
	Name string `json:"name"`
	// Level is LevelWorkspace for a role that members of a workspace can have, who are in no
	// other for it. It never changes.
	Level Level `json:"level"`
	// Permissions are those of the role, also those of products that this process does not
	// know.
	Permissions []Permission `json:"permissions"`
	// BuiltIn is set for the library's own, which nobody changes.
	BuiltIn bool `json:"builtIn"`
}

const maxName = 200

var roleKey = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)

const roleColumns = `key, name, level, permissions`

func scanRole(row pgx.CollectableRow) (r Role, err error) {
	err = row.Scan(&r.Key, &r.Name, &r.Level, &r.Permissions)
	return r, err
}

// CreateRole makes a role for the company of ctx's tenant. Whoever does needs roles.manage
// and every permission of the role. BuiltIn is ignored; an empty Name is the key. Errors:
// *tenancy.ValidationError, ErrRoleExists, ErrTooManyRoles, ErrForbidden, ErrExceedsOwn.
func (s *Store) CreateRole(ctx context.Context, r Role) (out Role, err error) {
	err = s.db.InTx(ctx, func(tx *tenancy.Tx) error {
		out, err = s.CreateRoleTx(ctx, tx, r)
		return err
	})
	return out, err
}

// CreateRoleTx is CreateRole in the caller's transaction, for tx's company.
func (s *Store) CreateRoleTx(ctx context.Context, tx *tenancy.Tx, r Role) (Role, error) {
	ctx, c, err := s.beginCompany(ctx, tx)
	if err != nil {
		return Role{}, err
	}
	var v tenancy.ValidationError
	if _, reserved := builtInLevel(r.Key); reserved {
		v.Add("key", "reserved", "is a built-in role: take another key")
	} else if !roleKey.MatchString(r.Key) {
		v.Add("key", "invalid_key", "must be 1 to 63 lower-case letters, digits and underscores, the first a letter, such as campaign_editor")
	}
	if r.Level != LevelCompany && r.Level != LevelWorkspace {
		v.Add("level", "not_allowed", "must be company or workspace")
	}
	if r.Name = strings.TrimSpace(r.Name); r.Name == "" {
		r.Name = r.Key
	}
	if r.Name != "" {
		checkText(&v, "name", r.Name, maxName)
	}
	names := s.checkPermissions(&v, r.Level, r.Permissions, nil)
	if err := v.OrNil(); err != nil {
		return Role{}, err
	}
	if err := s.within(c, r.Key, s.guard.catalog.named(names)); err != nil {
		return Role{}, err
	}
	var n int
	if err := tx.QueryRow(ctx, tx.SQL(`SELECT count(*) FROM strata.roles WHERE company_id = $1`), c.place.CompanyID).Scan(&n); err != nil {
		return Role{}, fmt.Errorf("access: count the roles: %w", err)
	}
	if n >= MaxRoles {
		return Role{}, ErrTooManyRoles
	}
	rows, err := tx.Query(ctx, tx.SQL(`INSERT INTO strata.roles (company_id, key, name, level, permissions, created_by)
		VALUES ($1, $2, $3, $4, $5, $6) RETURNING `+roleColumns), c.place.CompanyID, r.Key, r.Name, string(r.Level), names, tenancy.ActorFrom(ctx).ID)
	if err != nil {
		return Role{}, err
	}
	out, err := pgx.CollectExactlyOneRow(rows, scanRole)
	if err != nil {
		return Role{}, taken(err, fmt.Errorf("%q: %w", r.Key, ErrRoleExists))
	}
	return out, s.record(ctx, tx, "role.created", "role", out.Key, map[string]any{"name": out.Name, "level": out.Level, "permissions": out.Permissions})
}

// RoleChange is what UpdateRole changes; nil leaves as it is.
type RoleChange struct {
	Name *string
	// Permissions replaces those that this process knows. Those of other products stay.
	Permissions *[]Permission
}

// UpdateRole changes a role of the company of ctx's tenant, for all who have it. Whoever does
// needs roles.manage and every permission that the role has or gets. Errors: ErrRoleNotFound
// (also for a built-in role), *tenancy.ValidationError, ErrForbidden, ErrExceedsOwn.
func (s *Store) UpdateRole(ctx context.Context, key string, change RoleChange) (out Role, err error) {
	err = s.db.InTx(ctx, func(tx *tenancy.Tx) error {
		out, err = s.UpdateRoleTx(ctx, tx, key, change)
		return err
	})
	return out, err
}

// UpdateRoleTx is UpdateRole in the caller's transaction, for tx's company.
func (s *Store) UpdateRoleTx(ctx context.Context, tx *tenancy.Tx, key string, change RoleChange) (Role, error) {
	ctx, c, r, err := s.customRole(ctx, tx, key)
	if err != nil {
		return Role{}, err
	}
	var v tenancy.ValidationError
	names := texts(r.Permissions)
	if change.Name != nil {
		r.Name = strings.TrimSpace(*change.Name)
		checkText(&v, "name", r.Name, maxName)
	}
	if change.Permissions != nil {
		names = s.checkPermissions(&v, r.Level, *change.Permissions, s.guard.catalog.named(names).foreign)
	}
	if err := v.OrNil(); err != nil {
		return Role{}, err
	}
	if err := s.within(c, key, s.guard.catalog.named(names)); err != nil {
		return Role{}, err
	}
	rows, err := tx.Query(ctx, tx.SQL(`UPDATE strata.roles SET name = $3, permissions = $4, updated_at = now() WHERE company_id = $1 AND key = $2 RETURNING `+roleColumns),
		c.place.CompanyID, key, r.Name, names)
	if err != nil {
		return Role{}, err
	}
	out, err := pgx.CollectExactlyOneRow(rows, scanRole)
	if err != nil {
		return Role{}, err
	}
	return out, s.record(ctx, tx, "role.updated", "role", key, map[string]any{"name": out.Name, "permissions": out.Permissions, "before": r.Permissions})
}

// DeleteRole deletes a role that nobody has. Errors: ErrRoleNotFound, *RoleInUseError,
// ErrForbidden, ErrExceedsOwn. Of an actor that only the product says to have the role
// (Actor.Role) nothing is known: it may do no more what the role allowed.
func (s *Store) DeleteRole(ctx context.Context, key string) error {
	return s.db.InTx(ctx, func(tx *tenancy.Tx) error { return s.DeleteRoleTx(ctx, tx, key) })
}

// DeleteRoleTx is DeleteRole in the caller's transaction, for tx's company.
func (s *Store) DeleteRoleTx(ctx context.Context, tx *tenancy.Tx, key string) error {
	ctx, c, _, err := s.customRole(ctx, tx, key)
	if err != nil {
		return err
	}
	inUse := &RoleInUseError{Key: key}
	if err := tx.QueryRow(ctx, tx.SQL(`SELECT count(*) FROM strata.members m
		LEFT JOIN strata.workspaces w ON w.company_id = m.company_id AND w.id = m.workspace_id
		WHERE m.company_id = $1 AND m.role = $2 AND w.deleted_at IS NULL`), c.place.CompanyID, key).Scan(&inUse.Members); err != nil {
		return fmt.Errorf("access: count who has a role: %w", err)
	}
	if inUse.Members > 0 {
		return inUse
	}
	if _, err := tx.Exec(ctx, tx.SQL(`DELETE FROM strata.roles WHERE company_id = $1 AND key = $2`), c.place.CompanyID, key); err != nil {
		return fmt.Errorf("access: delete a role: %w", err)
	}
	return s.record(ctx, tx, "role.deleted", "role", key, nil)
}

// beginCompany begins a change of the roles of tx's company. What its actor has in one
// workspace only does not count: the role may be had in others.
func (s *Store) beginCompany(ctx context.Context, tx *tenancy.Tx) (context.Context, change, error) {
	return s.begin(ctx, tx, tenancy.Tenant{CompanyID: tx.Tenant().CompanyID}, RolesManage)
}

// customRole begins the change of a role that its actor may change.
func (s *Store) customRole(ctx context.Context, tx *tenancy.Tx, key string) (context.Context, change, Role, error) {
	ctx, c, err := s.beginCompany(ctx, tx)
	if err != nil {
		return ctx, c, Role{}, err
	}
	r, err := findRole(ctx, tx, c.place.CompanyID, key)
	if err != nil {
		return ctx, c, Role{}, err
	}
	return ctx, c, r, s.within(c, key, s.guard.catalog.named(texts(r.Permissions)))
}

func findRole(ctx context.Context, db reader, company tenancy.CompanyID, key string) (r Role, err error) {
	err = db.Read(ctx, `SELECT `+roleColumns+` FROM strata.roles WHERE company_id = $1 AND key = $2`, []any{company, key}, func(rows pgx.Rows) error {
		r, err = pgx.CollectExactlyOneRow(rows, scanRole)
		if errors.Is(err, pgx.ErrNoRows) {
			return ErrRoleNotFound
		}
		return err
	})
	return r, err
}

// role returns what a role of a company grants, and its level.
func (s *Store) role(ctx context.Context, db reader, company tenancy.CompanyID, key string) (granted, Level, error) {
	if level, ok := builtInLevel(key); ok {
		return granted{set: s.guard.catalog.Role(key)}, level, nil
	}
	r, err := findRole(ctx, db, company, key)
	return s.guard.catalog.named(texts(r.Permissions)), r.Level, err
}

// assignable returns what a role grants that somebody is to get at c's place, and notes in v
// when there is no such role for it.
func (s *Store) assignable(ctx context.Context, tx *tenancy.Tx, c change, v *tenancy.ValidationError, key string) (granted, error) {
	grants, level, err := s.role(ctx, tx, c.place.CompanyID, key)
	switch {
	case errors.Is(err, ErrRoleNotFound):
		own, err := s.ownRoles(ctx, tx, c.place.CompanyID)
		if err != nil {
			return granted{}, err
		}
		keys := slices.Clone(columns[:])
		if !c.place.WorkspaceID.IsZero() {
			keys = []string{WorkspaceAdmin, WorkspaceMember}
		}
		for _, r := range own { // which of the company's own it has is not told in a workspace
			if c.place.WorkspaceID.IsZero() || r.Level == LevelWorkspace {
				keys = append(keys, r.Key)
			}
		}
		closest := suggest.Closest(key, keys)
		v.Fields = append(v.Fields, tenancy.FieldError{
			Field: "role", Value: clip(key), Code: "unknown_role", Suggestion: closest,
			Message: "must be " + strings.Join(columns[:], ", ") + " or a role of the company's own" + didYouMean(closest),
		})
	case err != nil:
		return granted{}, err
	case level == LevelCompany && !c.place.WorkspaceID.IsZero():
		v.Add("role", "wrong_level", "is a role of the company: a member of a workspace needs one of a workspace, such as "+WorkspaceAdmin)
	}
	return grants, nil
}

// checkPermissions returns the names of a role's permissions, each once and with those of
// foreign that it keeps, and notes in v which of them no role of the level can have.
func (s *Store) checkPermissions(v *tenancy.ValidationError, level Level, permissions []Permission, foreign []string) []string {
	catalog := s.guard.catalog
	names := []string{}
	if most := maxPermissions + len(foreign); len(permissions) > most { // each that is wrong has a line of its own in the answer
		v.Add("permissions", "too_many", fmt.Sprintf("must be at most %d, each of them once", most))
		return names
	}
	for i, p := range permissions {
		field := fmt.Sprintf("permissions[%d]", i)
		bit, known := catalog.bits[p]
		switch {
		case slices.Contains(names, string(p)), slices.Contains(foreign, string(p)):
			continue
		case !known || catalog.definitions[bit].Level == LevelPlatform:
			var all []string
			for _, d := range catalog.Definitions() {
				all = append(all, string(d.Name))
			}
			closest := suggest.Closest(string(p), all)
			v.Fields = append(v.Fields, tenancy.FieldError{
				Field: field, Value: clip(string(p)), Code: "unknown_permission", Suggestion: closest, Message: "there is no such permission" + didYouMean(closest),
			})
		case level == LevelWorkspace && !catalog.workspace.Has(bit):
			v.Fields = append(v.Fields, tenancy.FieldError{
				Field: field, Value: string(p), Code: "wrong_level", Message: "is of the company: a role of a workspace cannot have it",
			})
		default:
			names = append(names, string(p))
		}
	}
	return append(names, foreign...)
}

func texts(permissions []Permission) []string {
	out := make([]string, len(permissions))
	for i, p := range permissions {
		out[i] = string(p)
	}
	return out
}

// clip shortens a value for an answer.
func clip(s string) string {
	if r := []rune(s); len(r) > maxKey {
		return string(r[:maxKey]) + "…"
	}
	return s
}
