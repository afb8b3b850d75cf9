package filter

import (
	"fmt"
	"slices"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/stratakit/strata/customfields"
)

// fieldsType is the CEL type of the variable "fields": a message whose fields are the
// workspace's, so that an unknown key is an error at compile time.
const fieldsType = "strata.Fields"

// newEnv makes the CEL environment of one workspace: its columns as variables and its
// custom fields below "fields".
func newEnv(schema Schema) (*cel.Env, error) {
	registry, err := types.NewRegistry()
	if err != nil {
		return nil, err
	}
	p := &provider{Provider: registry, fields: map[string]*types.FieldType{}}
	for i := range schema.Fields.Fields {
		if f := &schema.Fields.Fields[i]; f.Filterable {
			p.fields[f.Key] = celField(f)
		}
	}
	options := []cel.EnvOption{
		cel.CustomTypeProvider(p),
		cel.CustomTypeAdapter(registry),
		cel.Variable("fields", cel.ObjectType(fieldsType)),
		cel.ParserRecursionLimit(2 * maxDepth),
		cel.ParserExpressionSizeLimit(MaxFilterBytes),
	}
	for _, c := range schema.Columns {
		t, err := celType(c.Type)
		if err != nil {
			return nil, err
		}
		if c.Nullable {
			t = types.NewNullableType(t)
		}
		options = append(options, cel.Variable(c.Name, t))
	}
	return cel.NewEnv(options...)
}

func celType(t customfields.Type) (*types.Type, error) {
	switch t {
	case customfields.Text, customfields.Select, customfields.URL, customfields.Email:
		return types.StringType, nil
	case customfields.Number:
		return types.DoubleType, nil
	case customfields.Date:
		return types.TimestampType, nil
	case customfields.Boolean:
		return types.BoolType, nil
	case customfields.MultiSelect:
		return types.NewListType(types.StringType), nil
	}
	return nil, fmt.Errorf("no filter type for %q", t)
}

// celField describes a custom field to cel-go. Reading one that is not set gives null,
// and an empty list for a multi_select. A stored value of another JSON type, which only
// SQL written by hand can leave there, counts as not set: so it does in our SQL.
func celField(f *customfields.Field) *types.FieldType {
	t, err := celType(f.Type)
	if err != nil { // check has refused every other type
		t = types.StringType
	}
	read := func(target any) any {
		values, _ := target.(map[string]any)
		return native(f, values[f.Key])
	}
	out := &types.FieldType{
		Type:    types.NewNullableType(t),
		IsSet:   func(target any) bool { return read(target) != nil },
		GetFrom: func(target any) (any, error) { return read(target), nil },
	}
	if f.Type == customfields.MultiSelect {
		out.Type = t
		out.GetFrom = func(target any) (any, error) {
			if list, ok := read(target).([]string); ok {
				return list, nil
			}
			return []string{}, nil
		}
	}
	return out
}

// native returns a stored value as cel-go knows it, or nil.
func native(f *customfields.Field, value any) any {
	switch v := value.(type) {
	case string:
		switch f.Type {
		case customfields.Text, customfields.Select, customfields.URL, customfields.Email:
			return v
		case customfields.Date:
			if t, err := time.Parse(customfields.DateLayout, v); err == nil {
				return t
			}
		case customfields.Number, customfields.Boolean, customfields.MultiSelect:
		}
	case float64:
		if f.Type == customfields.Number {
			return v
		}
	case bool:
		if f.Type == customfields.Boolean {
			return v
		}
	case []string:
		if f.Type == customfields.MultiSelect {
			return v
		}
	case []any:
		if f.Type != customfields.MultiSelect {
			return nil
		}
		list := make([]string, 0, len(v))
		for _, item := range v {
			if s, ok := item.(string); ok {
				list = append(list, s)
			}
		}
		return list
	}
	return nil
}

// provider adds the type of "fields" to the standard types.
type provider struct {
	types.Provider
	fields map[string]*types.FieldType
}

// FindStructType finds the type of "fields".
func (p *provider) FindStructType(name string) (*types.Type, bool) {
	if name == fieldsType {
		return types.NewTypeTypeWithParam(types.NewObjectType(fieldsType)), true
	}
	return p.Provider.FindStructType(name)
}

// FindStructFieldNames lists the keys that can be filtered.
func (p *provider) FindStructFieldNames(name string) ([]string, bool) {
	if name != fieldsType {
		return p.Provider.FindStructFieldNames(name)
	}
	names := make([]string, 0, len(p.fields))
	for k := range p.fields {
		names = append(names, k)
	}
	slices.Sort(names)
	return names, true
}

// FindStructFieldType finds one field.
func (p *provider) FindStructFieldType(name, field string) (*types.FieldType, bool) {
	if name != fieldsType {
		return p.Provider.FindStructFieldType(name, field)
	}
	f, ok := p.fields[field]
	return f, ok
}

// NewValue makes no value of "fields": a filter cannot build one.
func (p *provider) NewValue(name string, fields map[string]ref.Val) ref.Val {
	if name == fieldsType {
		return types.NewErr("fields cannot be built in a filter")
	}
	return p.Provider.NewValue(name, fields)
}
