package recipients

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/stratakit/strata/internal/fault"
	"github.com/stratakit/strata/internal/suggest"
	"github.com/stratakit/strata/tenancy"
)

// AnyEnrollments is Enrollments of an extension that is known by name only: columns are named
// and written as in JSON. What an extension keeps out of JSON it neither shows nor takes.
type AnyEnrollments struct {
	store *Store
	name  string
	calls calls // nil: of a product that this process does not have
}

// calls are those of Enrollments that need its type.
type calls interface {
	enrollJSON(ctx context.Context, id ID, values map[string]json.RawMessage) (*Row, error)
	updateJSON(ctx context.Context, id ID, version int64, values map[string]json.RawMessage) (*Row, error)
	Withdraw(ctx context.Context, id ID, versions ...IfVersion) error
	checkJSON(ctx context.Context, values map[string]json.RawMessage) error
	normalizeJSON(ctx context.Context, values map[string]json.RawMessage) (map[string]json.RawMessage, error)
	putEach(ctx context.Context, tx *tenancy.Tx, puts []Put, keep bool, how lockMode) (PutResult, error)
	enrollEach(ctx context.Context, tx *tenancy.Tx, ids []ID, values map[string]json.RawMessage) (Each, error)
}

// Extension returns the enrollments of an extension of any product, or ErrUnknownExtension.
func (s *Store) Extension(ctx context.Context, name string) (*AnyEnrollments, error) {
	if x := s.registered[name]; x != nil {
		return &AnyEnrollments{s, name, x.calls}, nil
	}
	x, err := s.find(ctx, name)
	switch {
	case err != nil:
		return nil, err
	case x == nil:
		return nil, ErrUnknownExtension
	}
	return &AnyEnrollments{store: s, name: name}, nil
}

// Get returns the row of a recipient. Errors: ErrNotFound, ErrNotEnrolled.
func (a *AnyEnrollments) Get(ctx context.Context, id ID) (*Row, error) {
	r, err := a.store.Get(ctx, id, a.name)
	if err != nil {
		return nil, err
	}
	if row := r.Extensions[a.name]; row != nil {
		return row, nil
	}
	return nil, ErrNotEnrolled
}

// Enroll enrolls a recipient with values by the names of JSON, and returns what is stored.
// Errors are those of Enrollments.Enroll, and ErrElsewhere.
func (a *AnyEnrollments) Enroll(ctx context.Context, id ID, values map[string]json.RawMessage) (*Row, error) {
	if a.calls == nil {
		return nil, a.elsewhere(ctx, id)
	}
	return a.calls.enrollJSON(ctx, id, values)
}

// Update changes what is named of the row of a recipient; null clears. Errors are those of
// Enrollments.Update, and ErrElsewhere.
func (a *AnyEnrollments) Update(ctx context.Context, id ID, version int64, values map[string]json.RawMessage) (*Row, error) {
	if a.calls == nil {
		return nil, a.elsewhere(ctx, id)
	}
	return a.calls.updateJSON(ctx, id, version, values)
}

// Withdraw is Enrollments.Withdraw, or ErrElsewhere.
func (a *AnyEnrollments) Withdraw(ctx context.Context, id ID, versions ...IfVersion) error {
	if a.calls == nil {
		return a.elsewhere(ctx, id)
	}
	return a.calls.Withdraw(ctx, id, versions...)
}

// elsewhere says of a recipient that is there that others write its row.
func (a *AnyEnrollments) elsewhere(ctx context.Context, id ID) error {
	if err := a.store.exists(ctx, id); err != nil {
		return err
	}
	return a.Here()
}

func (e *Enrollments[T]) enrollJSON(ctx context.Context, id ID, values map[string]json.RawMessage) (*Row, error) {
	s, x, err := e.bound()
	if err != nil {
		return nil, err
	}
	if err := s.exists(ctx, id); err != nil { // what is wrong with the values is nobody else's business
		return nil, err
	}
	row := new(T)
	if err := x.setJSON(row, values); err != nil {
		return nil, err
	}
	return &Row{extension: x, model: row}, e.Enroll(ctx, id, row)
}

func (e *Enrollments[T]) updateJSON(ctx context.Context, id ID, version int64, values map[string]json.RawMessage) (*Row, error) {
	_, x, err := e.bound()
	if err != nil {
		return nil, err
	}
	row, err := e.Update(ctx, id, version, func(row *T) error { return x.setJSON(row, values) })
	if err != nil {
		return nil, err
	}
	return &Row{extension: x, model: row}, nil
}

func (s *Store) exists(ctx context.Context, id ID) error {
	_, err := s.Get(ctx, id)
	return err
}

// setJSON sets the columns of a row that values names, and says everything that is wrong.
func (x *extension) setJSON(row any, values map[string]json.RawMessage) error {
	v := &tenancy.ValidationError{}
	model := reflect.ValueOf(row).Elem()
	for _, name := range slices.Sorted(maps.Keys(values)) {
		i := slices.IndexFunc(x.columns, func(c column) bool { return c.JSON == name && name != "" })
		if i < 0 {
			v.Fields = append(v.Fields, x.unknown(name))
			continue
		}
		c := &x.columns[i]
		if c.readOnly {
			v.Add(name, "read_only", "is set by "+x.product+" alone")
			continue
		}
		field, text := model.FieldByIndex(c.index), bytes.TrimSpace(values[name])
		if bytes.Equal(text, []byte("null")) {
			if c.notNull {
				v.Add(name, "required", "must not be null")
			}
			field.SetZero()
			continue
		}
		if c.Type == "numeric" && field.Kind() == reflect.String && len(text) > 0 && strings.IndexByte("-0123456789", text[0]) >= 0 && json.Valid(text) {
			field.SetString(string(text)) // as it is written
			continue
		}
		fresh := reflect.New(field.Type()) // or a map would keep what it had
		if err := json.Unmarshal(text, fresh.Interface()); err != nil {
			v.Fields = append(v.Fields, tenancy.FieldError{Field: name, Value: fault.Shown(string(text)), Code: "wrong_type", Message: "must be " + c.wanted()})
			continue
		}
		field.Set(fresh.Elem())
	}
	return v.OrNil()
}

func (x *extension) unknown(name string) tenancy.FieldError {
	var known []string
	for _, c := range x.columns {
		if c.JSON != "" {
			known = append(known, c.JSON)
		}
	}
	message := "there is no such field, want of " + suggest.Quoted(known)
	if slices.Contains([]string{"version", "createdAt", "updatedAt"}, name) {
		message = "is set by the library"
	}
	return tenancy.FieldError{Field: name, Code: "unknown_field", Message: message, Suggestion: suggest.Closest(name, known)}
}

// wanted says what a column is in JSON.
func (c *column) wanted() string {
	switch c.Type {
	case "text", "character varying", "uuid":
		return "a text"
	case "boolean":
		return "true or false"
	case "smallint", "integer", "bigint":
		return "a whole number"
	case "double precision", "real", "numeric":
		return "a number"
	case "timestamp with time zone":
		return `a time such as "2026-01-31T10:00:00Z"`
	}
	return "a " + c.Type
}
