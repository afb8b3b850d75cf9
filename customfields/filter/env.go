package filter

import (
	"slices"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/env"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/stratakit/strata/customfields"
)

// fieldsType is the CEL type of the variable "fields": a message whose fields are the
// workspace's, so that an unknown key is an error at compile time.
const fieldsType = "strata.Fields"

// What a filter cannot write: where the record is for functions that need all of it.
const recordName = "@record"

var (
	eventsCEL = cel.OpaqueType("strata.Events")
	recordCEL = cel.OpaqueType("strata.Record")
	textList  = types.NewListType(types.StringType)
)

// baseEnv is what all filters have in common. Every number is a double.
var baseEnv = sync.OnceValues(func() (*cel.Env, error) {
	standard := &env.LibrarySubset{IncludeFunctions: []*env.Function{
		env.NewFunction(operators.Conditional), env.NewFunction(operators.LogicalAnd), env.NewFunction(operators.LogicalOr),
		env.NewFunction(operators.LogicalNot), env.NewFunction(operators.NotStrictlyFalse),
		env.NewFunction(operators.Equals), env.NewFunction(operators.NotEquals), env.NewFunction(operators.In),
		env.NewFunction(operators.Less), env.NewFunction(operators.LessEquals), env.NewFunction(operators.Greater), env.NewFunction(operators.GreaterEquals),
		env.NewFunction(overloads.StartsWith), env.NewFunction(overloads.EndsWith), env.NewFunction(overloads.Contains), env.NewFunction(overloads.Matches),
		env.NewFunction(overloads.TypeConvertTimestamp, env.NewOverload(overloads.StringToTimestamp, nil, nil)),
		env.NewFunction(overloads.TypeConvertDuration, env.NewOverload(overloads.StringToDuration, nil, nil)),
	}, DisableMacros: true}
	options := []cel.EnvOption{
		cel.StdLib(cel.StdLibSubset(standard)),
		cel.Macros(cel.HasMacro, cel.AllMacro, cel.ExistsMacro, cel.ExistsOneMacro),
		cel.EnableMacroCallTracking(), // for Explain
		cel.ParserRecursionLimit(2 * maxDepth),
		cel.ParserExpressionSizeLimit(MaxFilterBytes),
		cel.Variable("now", cel.TimestampType),
		cel.Variable("today", cel.TimestampType),
		cel.Variable(recordName, recordCEL),
	}
	return cel.NewCustomEnv(append(options, functions()...)...)
})

// newEnv makes the CEL environment of one schema: its columns as variables and its custom
// fields below "fields".
func newEnv(s Schema) (*cel.Env, error) {
	base, err := baseEnv()
	if err != nil {
		return nil, err
	}
	registry, err := types.NewRegistry()
	if err != nil {
		return nil, err
	}
	p := &provider{Provider: registry, fields: map[string]*types.FieldType{}}
	for _, f := range s.fields() {
		p.fields[f.Key] = celField(f)
	}
	options := []cel.EnvOption{cel.CustomTypeProvider(p), cel.CustomTypeAdapter(registry), cel.Variable("fields", cel.ObjectType(fieldsType))}
	for _, c := range s.Columns {
		options = append(options, cel.Variable(c.Name, celType(c.Type, c.Nullable)))
	}
	for _, x := range s.Extensions {
		for _, c := range x.Columns {
			options = append(options, cel.Variable(x.Name+"."+c.Name, celType(c.Type, true)))
		}
	}
	return base.Extend(options...)
}

func celType(t customfields.Type, nullable bool) *types.Type {
	var out *types.Type
	switch kindOfType(t) {
	case numberKind:
		out = types.DoubleType
	case dateKind:
		out = types.TimestampType
	case booleanKind:
		out = types.BoolType
	case listKind:
		return textList
	default:
		out = types.StringType
	}
	if nullable {
		out = types.NewNullableType(out)
	}
	return out
}

// celField describes a custom field to cel-go. Reading one that is not set gives null,
// and an empty list for a multi_select.
func celField(f *customfields.Field) *types.FieldType {
	key := slot(f)
	read := func(target any) any {
		values, _ := target.(map[string]any)
		return native(f.Type, values[key])
	}
	out := &types.FieldType{
		Type:    celType(f.Type, true),
		IsSet:   func(target any) bool { return read(target) != nil },
		GetFrom: func(target any) (any, error) { return read(target), nil },
	}
	if f.Type == customfields.MultiSelect {
		out.GetFrom = func(target any) (any, error) {
			if list, ok := read(target).([]string); ok {
				return list, nil
			}
			return []string{}, nil
		}
	}
	return out
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
