package recipients

import (
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/stratakit/strata/internal/fault"
	"github.com/stratakit/strata/tenancy"
)

// columnList is the columns of a row, as RETURNING has them.
func (x *extension) columnList() string {
	list := strings.Join(baseColumns, ", ")
	for _, c := range x.columns {
		list += ", " + quoted(c.Name)
	}
	return list
}

// selected is what newScan reads.
func (x *extension) selected() string {
	columns := make([]string, 0, len(baseColumns)+len(x.columns))
	for _, c := range baseColumns {
		columns = append(columns, x.sql(c))
	}
	for _, c := range x.columns {
		columns = append(columns, x.sql(c.Name))
	}
	return strings.Join(columns, ", ")
}

// rowScan reads a row of a model that an outer join may have left out.
type rowScan struct {
	extension *extension
	targets   []any

	base struct {
		domain, recipient, company, workspace *[16]byte
		version                               *int64
		created, updated                      *time.Time
	}
}

func (x *extension) newScan() *rowScan {
	m := &rowScan{extension: x}
	b := &m.base
	m.targets = append(m.targets, &b.domain, &b.recipient, &b.company, &b.workspace, &b.version, &b.created, &b.updated)
	for _, c := range x.columns {
		t := x.model.FieldByIndex(c.index).Type
		if t.Kind() != reflect.Pointer {
			t = reflect.PointerTo(t) // NULL is its zero value
		}
		m.targets = append(m.targets, reflect.New(t).Interface())
	}
	return m
}

// row returns the row, a pointer to the model, or nil where there was none.
func (m *rowScan) row() any {
	b := &m.base
	if b.recipient == nil {
		return nil
	}
	out := reflect.New(m.extension.model)
	*out.Interface().(interface{ enrollment() *Enrollment }).enrollment() = Enrollment{
		DomainID: *b.domain, RecipientID: *b.recipient, CompanyID: *b.company, WorkspaceID: *b.workspace,
		Version: *b.version, CreatedAt: *b.created, UpdatedAt: *b.updated,
	}
	for i, c := range m.extension.columns {
		field, got := out.Elem().FieldByIndex(c.index), reflect.ValueOf(m.targets[len(baseColumns)+i]).Elem()
		switch {
		case field.Kind() == reflect.Pointer:
			field.Set(got)
		case !got.IsNil():
			field.Set(got.Elem())
		}
	}
	inUTC(m.extension, out.Interface())
	return out.Interface()
}

// inUTC gives the times of a row the zone that all times of the library have.
func inUTC(x *extension, row any) {
	e := row.(interface{ enrollment() *Enrollment }).enrollment()
	e.CreatedAt, e.UpdatedAt = e.CreatedAt.UTC(), e.UpdatedAt.UTC()
	v := reflect.ValueOf(row).Elem()
	for _, c := range x.columns {
		switch at := v.FieldByIndex(c.index).Addr().Interface().(type) {
		case *time.Time:
			*at = at.UTC()
		case **time.Time:
			if *at != nil {
				utc := (*at).UTC()
				*at = &utc
			}
		}
	}
}

// textOf is the text that a row has in a column, unless that is NULL or no text.
func textOf(c *column, row any) (string, bool) {
	v := reflect.ValueOf(row).Elem().FieldByIndex(c.index)
	if v.Kind() == reflect.Pointer {
		v = v.Elem() // of nil, a zero Value
	}
	if v.Kind() != reflect.String {
		return "", false
	}
	return v.String(), true
}

// wholeBits are how wide the types of whole numbers are.
var wholeBits = map[string]int{"smallint": 16, "integer": 32, "bigint": 64}

// uuidText is what PostgreSQL reads as a UUID.
var uuidText = regexp.MustCompile(`^(([0-9A-Fa-f]{4}-?){7}[0-9A-Fa-f]{4}|\{([0-9A-Fa-f]{4}-?){7}[0-9A-Fa-f]{4}\})$`)

// misfit says of what a row has in a column that its type in PostgreSQL, which may be narrower than
// that of the model, does not hold it; nil: it does, as far as is known here.
func (c *column) misfit(row any) *tenancy.FieldError {
	field := reflect.ValueOf(row).Elem().FieldByIndex(c.index)
	v := reflect.Indirect(field) // of nil, a zero Value
	if !v.IsValid() || c.nullzero && field.IsZero() || v.Type().Implements(valuerType) {
		return nil
	}
	e := &tenancy.FieldError{Field: c.shown(), Value: fault.Shown(fmt.Sprint(v)), Code: "out_of_range"}
	if bits, ok := wholeBits[c.Type]; ok {
		end := uint64(1) << (bits - 1)
		e.Message = fmt.Sprintf("must be a whole number from %d to %d", -int64(end), end-1)
		if v.CanInt() && (v.Int() < -int64(end) || v.Int() > int64(end-1)) || v.CanUint() && v.Uint() >= end {
			return e
		}
	}
	if c.Type == "uuid" && v.Kind() == reflect.String && !uuidText.MatchString(v.String()) {
		e.Code, e.Message = "invalid_uuid", "must be a UUID"
		return e
	}
	return nil
}

// holdsNUL reports whether a list, map or struct has a text with NUL, as which PostgreSQL would be
// given something else.
func holdsNUL(c *column, row any) bool {
	v := reflect.Indirect(reflect.ValueOf(row).Elem().FieldByIndex(c.index))
	if !slices.Contains([]reflect.Kind{reflect.Slice, reflect.Array, reflect.Map, reflect.Struct}, v.Kind()) || c.Type == "bytea" {
		return false
	}
	text, err := json.Marshal(v.Interface())
	// Behind a backslash that is meant as one u0000 is a text like any other.
	return err == nil && strings.Contains(strings.ReplaceAll(string(text), `\\`, ""), `\u0000`)
}
