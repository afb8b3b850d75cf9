package recipients

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stratakit/strata/customfields/filter"
	"github.com/stratakit/strata/internal/fault"
	"github.com/stratakit/strata/internal/suggest"
	"github.com/stratakit/strata/tenancy"
)

// extensions is what a Store knows of the extensions of all products: its own from the start,
// and those of others once it has been asked for something that it does not know.
type extensions struct {
	known atomic.Pointer[knownExtensions]
	mu    sync.Mutex // reading what is stored
	at    time.Time  // when that was
	sum   uint32     // of what it was
}

type knownExtensions struct {
	byName  map[string]*extension
	filters *filter.Compiler
}

// readAgainAfter is how long something unknown stays unknown without asking the database: a
// filter that is wrong is wrong each time.
const readAgainAfter = 2 * time.Second

func (e *extensions) now() *knownExtensions { return e.known.Load() }

// set makes what is registered here and stored by others what is known. Of one that is both,
// columns of a newer version are known too, to filters.
func (e *extensions) set(registered map[string]*extension, stored []stored) error {
	k := &knownExtensions{byName: map[string]*extension{}}
	schema := filter.Schema{Columns: Columns()}
	for i := range stored {
		if stored[i].there && !filter.Reserved(stored[i].name) {
			k.byName[stored[i].name] = &stored[i].extension
		}
	}
	maps.Copy(k.byName, registered)
	for _, name := range slices.Sorted(maps.Keys(k.byName)) {
		x := *k.byName[name]
		for i := range stored {
			if x.model != nil && stored[i].name == name && stored[i].table.String() == x.table.String() {
				x.columns, _ = x.merge(stored[i:i+1], &ExtensionError{})
			}
		}
		schema.Extensions = append(schema.Extensions, x.filterable())
	}
	var err error
	if k.filters, err = filter.NewCompiler(schema, nil); err != nil {
		return err
	}
	e.known.Store(k)
	return nil
}

// readExtensions looks at what is stored, unless it has just done so, and reports whether that
// was news.
func (s *Store) readExtensions(ctx context.Context) (changed bool, err error) {
	return s.readExtensionsAfter(ctx, readAgainAfter)
}

// readExtensionsAfter is readExtensions, where to have just done so is a time.
func (s *Store) readExtensionsAfter(ctx context.Context, wait time.Duration) (changed bool, err error) {
	before := s.extensions.now()
	s.extensions.mu.Lock()
	defer s.extensions.mu.Unlock()
	if s.extensions.now() != before {
		return true, nil
	}
	if time.Since(s.extensions.at) < wait {
		return false, nil
	}
	all, err := storedExtensions(ctx, s.db)
	if err != nil {
		return false, err
	}
	s.extensions.at = time.Now()
	said := sum(fmt.Sprintf("%+v", all))
	if said == s.extensions.sum {
		return false, nil
	}
	s.extensions.sum = said
	return true, s.extensions.set(s.registered, all)
}

// withoutLost runs a read, and once more where a table or column of an extension that it has used
// is gone: its product has left meanwhile, and then it is unknown.
func withoutLost[T any](ctx context.Context, s *Store, read func() (T, error)) (T, error) {
	out, err := read()
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || pg.Code != "42P01" && pg.Code != "42703" {
		return out, err
	}
	if changed, readErr := s.readExtensionsAfter(ctx, 0); readErr != nil || !changed {
		return out, errors.Join(err, readErr)
	}
	return read()
}

// Schema is what filters over recipients may mention, but for custom fields and the extensions
// of other products.
func (s *Store) Schema() filter.Schema {
	out := filter.Schema{Columns: Columns()}
	for _, name := range slices.Sorted(maps.Keys(s.registered)) {
		out.Extensions = append(out.Extensions, s.registered[name].filterable())
	}
	return out
}

// maxWith is how many extensions a list joins: PostgreSQL plans no more than eight tables in
// any order.
const maxWith = 7

// find returns the extension of a name, of whichever product, or nil.
func (s *Store) find(ctx context.Context, name string) (*extension, error) {
	if x := s.extensions.now().byName[name]; x != nil {
		return x, nil
	}
	_, err := s.readExtensions(ctx)
	return s.extensions.now().byName[name], err
}

// unknownExtension says of a field that names an extension that there is none.
func (s *Store) unknownExtension(field, name string) tenancy.FieldError {
	known := slices.Sorted(maps.Keys(s.extensions.now().byName))
	return tenancy.FieldError{
		Field: field, Value: fault.Shown(name), Code: "unknown_extension", Message: "there is no such extension, want of " + suggest.Quoted(known),
		Suggestion: suggest.Closest(name, known),
	}
}

// EnrolledSQL returns what a statement over recipients, with the table as r, needs to ask who is
// enrolled in a product: a join, which is that of filters that use the extension, and a condition.
// Errors: *tenancy.ValidationError with the field "product".
func (s *Store) EnrolledSQL(ctx context.Context, product string) (join, enrolled string, err error) {
	x, err := s.find(ctx, product)
	switch {
	case err != nil:
		return "", "", err
	case x == nil:
		return "", "", &tenancy.ValidationError{Fields: []tenancy.FieldError{s.unknownExtension("product", product)}}
	}
	return x.join(), x.enrolled(), nil
}

// with returns the extensions that a Query names.
func (s *Store) with(ctx context.Context, names []string) (joined, error) {
	var out joined
	v := &tenancy.ValidationError{}
	for _, name := range names {
		x, err := s.find(ctx, name)
		if err != nil {
			return nil, err
		}
		if x == nil {
			v.Fields = append(v.Fields, s.unknownExtension("with", name))
			continue
		}
		if !slices.Contains(out, x) {
			out = append(out, x)
		}
	}
	if len(out) > maxWith {
		v.Add("with", "too_many", fmt.Sprintf("at most %d extensions at once, these are %d", maxWith, len(out)))
	}
	return out, v.OrNil()
}

// joined are extensions whose rows are read with a recipient, in one statement.
type joined []*extension

// columns are what more selects, to come after other columns.
func (j joined) columns() string {
	var b strings.Builder
	for _, x := range j {
		if b.WriteString(", "); x.model != nil {
			b.WriteString(x.selected())
		} else {
			b.WriteString(x.whole())
		}
	}
	return b.String()
}

// joins are the joins to the recipient r.
func (j joined) joins() string {
	var b strings.Builder
	for _, x := range j {
		b.WriteString(" " + x.join())
	}
	return b.String()
}

// scan returns what columns are scanned into, and what puts it into a recipient then.
func (j joined) scan() (targets []any, put func(r *Recipient) error) {
	rows := make([]func() (*Row, error), len(j))
	for i, x := range j {
		if x.model != nil {
			m := x.newScan()
			targets = append(targets, m.targets...)
			rows[i] = func() (*Row, error) {
				if row := m.row(); row != nil {
					return &Row{extension: x, model: row}, nil
				}
				return nil, nil
			}
			continue
		}
		var text []byte
		targets = append(targets, &text)
		rows[i] = func() (*Row, error) {
			values, err := columnValues(text)
			if values == nil {
				return nil, err
			}
			return &Row{extension: x, values: values}, nil
		}
	}
	return targets, func(r *Recipient) (err error) {
		if len(j) == 0 {
			return nil
		}
		r.Extensions = make(map[string]*Row, len(j))
		for i, x := range j {
			if r.Extensions[x.name], err = rows[i](); err != nil {
				return err
			}
		}
		return nil
	}
}

// Row is the row of a recipient in an extension, of whichever product.
type Row struct {
	extension *extension
	model     any            // a pointer to the model, when this process has it
	values    map[string]any // by column, when it has not
}

// Values returns what the product has added, by the names of JSON, with version, createdAt and
// updatedAt; of no row nil.
func (r *Row) Values() map[string]any {
	if r == nil {
		return nil
	}
	out := map[string]any{}
	if r.model == nil {
		out["version"], out["createdAt"], out["updatedAt"] = r.values["version"], r.values["created_at"], r.values["updated_at"]
		for _, c := range r.extension.columns {
			if c.JSON != "" {
				out[c.JSON] = r.values[c.Name]
			}
		}
		return out
	}
	e := r.model.(interface{ enrollment() *Enrollment }).enrollment()
	out["version"], out["createdAt"], out["updatedAt"] = e.Version, e.CreatedAt, e.UpdatedAt
	v := reflect.ValueOf(r.model).Elem()
	for _, c := range r.extension.columns {
		if c.JSON == "" {
			continue
		}
		field := v.FieldByIndex(c.index)
		if c.nullzero && field.IsZero() {
			out[c.JSON] = nil
			continue
		}
		out[c.JSON] = field.Interface()
	}
	return out
}

// Version is that of the row, which grows with every change; of no row 0.
func (r *Row) Version() int64 {
	switch {
	case r == nil:
		return 0
	case r.model != nil:
		return r.model.(interface{ enrollment() *Enrollment }).enrollment().Version
	}
	number, _ := r.values["version"].(json.Number)
	version, _ := number.Int64() // of a bigint
	return version
}

// MarshalJSON writes Values.
func (r *Row) MarshalJSON() ([]byte, error) { return json.Marshal(r.Values()) }

// From returns the row of a recipient that a list with this extension has read, and false when
// it is not enrolled, or when nobody asked.
func (e *Enrollments[T]) From(r Recipient) (*T, bool) {
	row := r.Extensions[e.extension.name]
	if row == nil {
		return nil, false
	}
	out, ok := row.model.(*T)
	return out, ok
}
