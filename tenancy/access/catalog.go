package access

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/stratakit/strata/internal/suggest"
)

// Level is where a permission or a role belongs.
type Level string

// The levels. A role of a company may grant what is of a workspace too, which then counts
// in all of them.
const (
	LevelCompany   Level = "company"
	LevelWorkspace Level = "workspace"
	// LevelPlatform is that of permissions which no role can have.
	LevelPlatform Level = "platform"
)

// Definition is one permission of a Catalog.
type Definition struct {
	// Name is what code and custom roles call it: two words of lower-case letters, digits
	// and underscores with a dot between them, such as "campaigns.send".
	Name Permission `json:"name"`
	// Summary says in a line, to whoever makes roles, what it allows.
	Summary string `json:"summary"`
	// Level is LevelCompany when only roles of a company may have it. The zero Level is
	// LevelWorkspace.
	Level Level `json:"level"`
	// Role is the least built-in role that has it: those above it, in the order
	// CompanyOwner, CompanyAdmin, WorkspaceAdmin, WorkspaceMember, have it too. Empty: only
	// owners, and the roles that they make.
	Role string `json:"role,omitempty"`
}

// CatalogConfig configures a Catalog. The zero value is legal.
type CatalogConfig struct {
	// Permissions are those of the product, beside the library's. Default none.
	Permissions []Definition
}

// Catalog is every permission that this process knows and what the built-in roles grant.
// It does not change: use it from any goroutine.
type Catalog struct {
	definitions []Definition // by Bit
	bits        map[Permission]Bit
	roles       [len(columns)]Set // of the built-in roles
	none        Set
	workspace   Set // what roles of a workspace may grant
	companyRead Bit
	owners      Bit
}

// builtIn is the Catalog of a product that adds nothing.
var builtIn = sync.OnceValue(func() *Catalog {
	c, err := NewCatalog(nil)
	if err != nil {
		panic(err) // the matrix is wrong: no program gets past its first test
	}
	return c
})

var permissionForm = regexp.MustCompile(`^[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*$`)

const maxKey = 63

// NewCatalog returns the library's permissions and those of cfg, which may be nil. It fails
// for a definition that is not in order, naming it, and for more than 256 in all.
func NewCatalog(cfg *CatalogConfig) (*Catalog, error) {
	definitions := matrix()
	if cfg != nil {
		definitions = append(definitions, cfg.Permissions...)
	}
	if len(definitions) > maxPermissions {
		return nil, fmt.Errorf("access: %d permissions with the library's own: a catalog has room for %d", len(definitions), maxPermissions)
	}
	c := &Catalog{bits: map[Permission]Bit{}}
	for i, d := range definitions {
		if d.Level == "" {
			d.Level = LevelWorkspace
		}
		if err := c.check(d); err != nil {
			return nil, err
		}
		bit := Bit(i)
		c.definitions, c.bits[d.Name] = append(c.definitions, d), bit
		if d.Level != LevelPlatform {
			for at := range max(0, slices.Index(columns[:], d.Role)) + 1 {
				c.roles[at] = c.roles[at].Add(bit)
			}
		}
		if d.Level == LevelWorkspace {
			c.workspace = c.workspace.Add(bit)
		}
	}
	c.companyRead, c.owners = c.bits[CompanyRead], c.bits[OwnersManage]
	return c, nil
}

func (c *Catalog) check(d Definition) error {
	wrong := func(format string, args ...any) error {
		return fmt.Errorf("access: permission %q: "+format, append([]any{d.Name}, args...)...)
	}
	switch _, there := c.bits[d.Name]; {
	case len(d.Name) > maxKey || !permissionForm.MatchString(string(d.Name)):
		return wrong("the name must be of the form campaigns.send, lower-case letters, digits and underscores, and have at most %d", maxKey)
	case there:
		return wrong("is there already")
	case strings.TrimSpace(d.Summary) == "":
		return wrong("needs a Summary: it is what whoever makes a role reads")
	case !slices.Contains([]Level{LevelCompany, LevelWorkspace, LevelPlatform}, d.Level):
		return wrong("level %q: want %s or %s", d.Level, LevelCompany, LevelWorkspace)
	}
	if d.Role == "" {
		return nil
	}
	level, known := builtInLevel(d.Role)
	switch {
	case !known:
		return wrong("role %q is none of %s%s", d.Role, strings.Join(columns[:], ", "), didYouMean(suggest.Closest(d.Role, columns[:])))
	case d.Level == LevelPlatform, d.Level == LevelCompany && level == LevelWorkspace:
		return wrong("is of the %s: %s cannot have it", d.Level, d.Role)
	}
	return nil
}

func didYouMean(s string) string {
	if s == "" {
		return ""
	}
	return fmt.Sprintf(", did you mean %q?", s)
}

// builtInLevel returns the level of a built-in role, and whether it is one.
func builtInLevel(role string) (Level, bool) {
	switch role {
	case CompanyOwner, CompanyAdmin:
		return LevelCompany, true
	case WorkspaceAdmin, WorkspaceMember:
		return LevelWorkspace, true
	}
	return "", false
}

// Bit returns the place of p in the Sets of c, and whether c knows p.
func (c *Catalog) Bit(p Permission) (Bit, bool) {
	b, ok := c.bits[p]
	return b, ok
}

// Has reports whether p is in s. What c does not know is in no Set.
func (c *Catalog) Has(s Set, p Permission) bool {
	b, ok := c.bits[p]
	return ok && s.Has(b)
}

// Role returns what a built-in role grants; any other grants nothing here.
func (c *Catalog) Role(role string) Set {
	if set := c.builtIn(role); set != nil {
		return *set
	}
	return Set{}
}

// builtIn returns the Set of a built-in role, or nil.
func (c *Catalog) builtIn(role string) *Set {
	for i := range columns {
		if columns[i] == role {
			return &c.roles[i]
		}
	}
	return nil
}

// Names returns the permissions of s, in the order of the catalog.
func (c *Catalog) Names(s Set) []Permission {
	names := []Permission{}
	for i, d := range c.definitions {
		if s.Has(Bit(i)) {
			names = append(names, d.Name)
		}
	}
	return names
}

// Definitions returns every permission that a role can have, the library's first.
func (c *Catalog) Definitions() []Definition {
	var out []Definition
	for _, d := range c.definitions {
		if d.Level != LevelPlatform {
			out = append(out, d)
		}
	}
	return out
}

// named returns the Set of names, and those of them that c does not know: another product's.
func (c *Catalog) named(names []string) granted {
	var g granted
	for _, name := range names {
		if b, ok := c.bits[Permission(name)]; ok && c.definitions[b].Level != LevelPlatform {
			g.set = g.set.Add(b)
		} else {
			g.foreign = append(g.foreign, name)
		}
	}
	return g
}
