package recipients

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/stratakit/strata/customfields/filter"
	"github.com/stratakit/strata/tenancy"
)

// Registry holds the extensions that the products of this process have: they are registered,
// then the Registry is given to strata.Migrate and to one Store (Config.Extensions), and from
// then on it does not change. It is safe for concurrent use.
type Registry struct {
	mu    sync.Mutex
	all   []*extension
	store *Store
}

// NewRegistry returns an empty Registry.
func NewRegistry() *Registry { return &Registry{} }

// Register adds an extension whose rows are T. A *ExtensionError says everything that is wrong
// with it and its model.
func Register[T any](r *Registry, e Extension[T]) (*Enrollments[T], error) {
	if r == nil {
		return nil, errors.New("recipients: Register needs a Registry")
	}
	if e.Product == "" {
		e.Product = e.Name
	}
	x := &extension{name: e.Name, product: e.Product, own: e.OwnTable || e.Migrations != nil, files: e.Migrations, model: reflect.TypeFor[T]()}
	problems := &ExtensionError{Extension: x.name, Product: x.product}
	if !extensionName.MatchString(e.Name) || filter.Reserved(e.Name) {
		problems.add("a name is lower-case letters, digits and underscores, at most 40, and no word that filters keep for themselves, such as now or in")
	}
	if len(e.Product) > 100 {
		problems.add("the name of a product has at most 100 bytes")
	}
	x.readModel(problems)
	for _, name := range e.Tables {
		schema, table, ok := strings.Cut(name, ".")
		if !ok || !plainName.MatchString(schema) || !plainName.MatchString(table) {
			problems.add("table %q: want schema.name, both in lower-case letters, digits and underscores", name)
		}
		x.more = append(x.more, tenancy.Table{Schema: schema, Name: table, Product: x.product})
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.store != nil {
		problems.add("it comes too late: the registry is in use")
	}
	for _, other := range r.all {
		if other.name == x.name {
			problems.add("the name is that of an extension of %s", other.product)
		}
		if other.table.String() == x.table.String() {
			problems.add("table %s is that of extension %q of %s", x.table, other.name, other.product)
		}
	}
	if err := problems.orNil(); err != nil {
		return nil, err
	}
	out := &Enrollments[T]{registry: r, extension: x, check: e.Check, checkOver: e.CheckOver}
	x.calls = out
	r.all = append(r.all, x)
	return out, nil
}

// bind makes the store the one that enrolls.
func (r *Registry) bind(s *Store) error {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.store != nil {
		return errors.New("recipients: the registry belongs to another Store")
	}
	r.store, s.registered = s, map[string]*extension{}
	for _, x := range r.all {
		s.registered[x.name] = x.placed(s.db)
	}
	return nil
}

func pointers(tables []tenancy.Table) []*tenancy.Table {
	out := make([]*tenancy.Table, len(tables))
	for i := range tables {
		out[i] = &tables[i]
	}
	return out
}

// placed is the extension with a table of Strata's own schema where that is.
func (x *extension) placed(db *tenancy.DB) *extension {
	out := *x
	out.more = slices.Clone(x.more)
	for _, t := range append([]*tenancy.Table{&out.table}, pointers(out.more)...) {
		if t.Schema == tenancy.DefaultSchema {
			t.Schema = db.Schema()
		}
	}
	return &out
}

func (r *Registry) extensions() []*extension {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.all)
}
