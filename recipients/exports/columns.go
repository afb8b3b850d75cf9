package exports

import (
	"context"
	"encoding/json"
	"reflect"
	"strings"
	"time"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/recipients"
)

const fieldPrefix = "fields."

// column is one column of a table. Its value is nil, string, bool, float64, int64, json.Number,
// time.Time or day.
type column struct {
	name  string
	value func(r *recipients.Recipient) any
}

// day is a date that is a whole day.
type day time.Time

// core are the columns of every recipient. Those that an import reads have the names by which
// it knows them.
var core = []column{
	{"id", func(r *recipients.Recipient) any { return r.ID.String() }},
	{"email", func(r *recipients.Recipient) any { return r.Email }},
	{"name", func(r *recipients.Recipient) any { return r.Name }},
	{"status", func(r *recipients.Recipient) any { return string(r.Status) }},
	{"statusReason", func(r *recipients.Recipient) any { return r.StatusReason }},
	{"statusChangedAt", func(r *recipients.Recipient) any { return at(r.StatusChangedAt) }},
	{"personId", func(r *recipients.Recipient) any {
		if r.PersonID == nil {
			return nil
		}
		return r.PersonID.String()
	}},
	{"version", func(r *recipients.Recipient) any { return r.Version }},
	{"createdAt", func(r *recipients.Recipient) any { return r.CreatedAt }},
	{"updatedAt", func(r *recipients.Recipient) any { return r.UpdatedAt }},
}

func at(t *time.Time) any {
	if t == nil {
		return nil
	}
	return *t
}

// columns returns all columns that a Request can have.
func (e *Exporter) columns(ctx context.Context, set *customfields.Set, r Request) ([]column, error) {
	all := append([]column{}, core...)
	if r.Deleted {
		all = append(all, column{"deletedAt", func(r *recipients.Recipient) any { return at(r.DeletedAt) }})
	}
	for _, key := range set.Keys() {
		all = append(all, column{fieldPrefix + key, fieldValue(set.Field(key))})
	}
	for _, x := range r.With {
		names, err := e.store.ExtensionColumns(ctx, x)
		if err != nil {
			return nil, err
		}
		all = append(all, column{x + ".enrolled", func(r *recipients.Recipient) any { return r.Extensions[x] != nil }})
		for _, name := range names {
			all = append(all, column{x + "." + name, func(r *recipients.Recipient) any { return plain(r.Extensions[x].Values()[name]) }})
		}
	}
	return all, nil
}

// fieldValue returns what reads the value of a custom field.
func fieldValue(f *customfields.Field) func(r *recipients.Recipient) any {
	key := f.Key
	if f.Type != customfields.Date {
		return func(r *recipients.Recipient) any { return plain(r.CustomFields[key]) }
	}
	return func(r *recipients.Recipient) any {
		text, ok := r.CustomFields[key].(string)
		if !ok {
			return plain(r.CustomFields[key])
		}
		t, err := time.Parse(customfields.DateLayout, text)
		switch {
		case err != nil: // of another type, until a change of the field has reached it
			return text
		case f.DateOnly:
			return day(t)
		}
		return t
	}
}

// separator is what imports take lists apart at.
const separator = ";"

// plain makes of any value one that a column can have: lists are joined, and what is neither
// text, number, boolean nor time is its JSON.
func plain(value any) any {
	switch v := value.(type) {
	case nil, string, bool, float64, int64, json.Number, time.Time, day:
		return v
	case []string:
		return strings.Join(v, separator)
	case []any:
		parts := make([]string, len(v))
		for i := range v {
			text, ok := v[i].(string)
			if !ok {
				return asJSON(value)
			}
			parts[i] = text
		}
		return strings.Join(parts, separator)
	}
	v := reflect.ValueOf(value)
	switch v.Kind() { //nolint:exhaustive // the others are JSON
	case reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		return plain(v.Elem().Interface())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if v.Type().PkgPath() == "" {
			return v.Int()
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Float32:
		if v.Type().PkgPath() == "" {
			return json.Number(asJSON(value))
		}
	}
	return asJSON(value)
}

// asJSON returns the JSON of value; of a string, the string.
func asJSON(value any) string {
	b, err := json.Marshal(value)
	if err != nil {
		return ""
	}
	var text string
	if json.Unmarshal(b, &text) == nil {
		return text
	}
	return string(b)
}
