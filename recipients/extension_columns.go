package recipients

import (
	"encoding"
	"encoding/json"
	"maps"
	"reflect"
	"slices"

	"github.com/stratakit/strata/customfields"
)

// ExtensionColumn is a column that a product has added, as callers know it.
type ExtensionColumn struct {
	// Name is that of JSON.
	Name string
	// Type is what a text that stands for a value has to be: Text, Number, Boolean or Date. Empty
	// for what is written as JSON only, such as a list.
	Type customfields.Type
	// Whole says of a Number that it has no fraction.
	Whole bool
	// Exact says of a Number that it has as many digits as are written, more than a float64 has.
	Exact bool
	// Options are the only values of a text; nil: any.
	Options []string
	// ReadOnly is set by the product's own code only.
	ReadOnly bool
}

var (
	textMarshalerType = reflect.TypeFor[encoding.TextMarshaler]()
	jsonMarshalerType = reflect.TypeFor[json.Marshaler]()
)

// Registered returns the extensions that this process has, in the order of their names.
func (s *Store) Registered() []*AnyEnrollments {
	out := make([]*AnyEnrollments, 0, len(s.registered))
	for _, name := range slices.Sorted(maps.Keys(s.registered)) {
		out = append(out, &AnyEnrollments{s, name, s.registered[name].calls})
	}
	return out
}

// Name returns that of the extension.
func (a *AnyEnrollments) Name() string { return a.name }

// Columns returns the columns of an extension that this process has, but for those that it keeps
// out of JSON; of another none.
func (a *AnyEnrollments) Columns() (out []ExtensionColumn) {
	x := a.store.registered[a.name]
	if x == nil {
		return nil
	}
	for _, c := range x.columns {
		if c.JSON == "" {
			continue
		}
		t, _ := filterType(c.Type)
		switch c.Type {
		case "uuid":
			t = customfields.Text
		case "real", "numeric":
			t = customfields.Number
		}
		out = append(out, ExtensionColumn{
			Name: c.JSON, Type: t, Whole: slices.Contains([]string{"smallint", "integer", "bigint"}, c.Type), Exact: c.Type == "numeric", Options: c.Options, ReadOnly: c.readOnly,
		})
	}
	return out
}

// TakenSQL returns, by the names of JSON, for each column that is unique the SQL of the condition
// that another recipient of the domain $1 than id has a value, as Normalize has it; id may be NULL.
// value, a text, and id are SQL too. It has none of types whose casts may fail, other than texts,
// whole numbers and UUIDs: what is taken there, PutEachTx refuses.
func (a *AnyEnrollments) TakenSQL(value, id string) map[string]string {
	out := map[string]string{}
	x := a.store.registered[a.name]
	if x == nil {
		return out
	}
	for _, c := range x.columns {
		cast, ok := x.cast(&c)
		if !c.unique || c.JSON == "" || !ok {
			continue
		}
		name, is := quoted(c.Name), `(`+value+`)::`+cast
		// The first of a range of one value, because that has one plan only.
		out[c.JSON] = `EXISTS (SELECT FROM (SELECT recipient_id FROM ` + x.table.String() + ` WHERE domain_id = $1 AND ` + name + ` >= ` + is + ` AND ` + name + ` <= ` + is + `
			ORDER BY ` + name + ` LIMIT 1) has WHERE has.recipient_id IS DISTINCT FROM ` + id + `)`
	}
	return out
}

// cast returns the type in SQL to which a text that checkRow has let pass as a value of the column,
// as JSON has it, can be cast without an error.
func (x *extension) cast(c *column) (sqlType string, ok bool) {
	t := x.model.FieldByIndex(c.index).Type
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch c.Type {
	case "text", "character varying":
		return "text", true // with a length it would be cut off
	case "uuid":
		return c.Type, t.Kind() == reflect.String || t.Implements(textMarshalerType)
	case "smallint", "integer", "bigint":
		v := reflect.Zero(t)
		return c.Type, (v.CanInt() || v.CanUint()) && !t.Implements(textMarshalerType) && !t.Implements(jsonMarshalerType)
	}
	return "", false
}

// EnrolledInSQL returns the SQL of the condition that the recipient id of the domain $1 has a row.
func (a *AnyEnrollments) EnrolledInSQL(id string) string {
	x := a.store.registered[a.name]
	if x == nil {
		return `false`
	}
	return `EXISTS (SELECT FROM ` + x.table.String() + ` WHERE domain_id = $1 AND recipient_id = ` + id + ` OFFSET 0)`
}
