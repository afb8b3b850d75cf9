package filter

import (
	"strconv"
	"strings"
	"time"

	"github.com/uptrace/bun/schema"
)

// Appender is [Filter.SQL] for bun, which knows no $1: the condition with its values written
// by bun's formatter, each with its type. No question mark is in it.
//
//	tx.Bun().NewSelect().TableExpr("app.contacts AS r").Where("?", f.Appender(filter.Options{}))
//
// The query needs the joins of [Filter.Joins]. First of the options does not count. An At
// that is zero is the time of the call.
func (f *Filter) Appender(o Options) schema.QueryAppender {
	if o.At.IsZero() {
		o.At = time.Now()
	}
	return appender{f, o}
}

type appender struct {
	filter  *Filter
	options Options
}

// AppendQuery is part of schema.QueryAppender.
func (a appender) AppendQuery(gen schema.QueryGen, b []byte) ([]byte, error) {
	r := newRenderer(a.filter.schema, a.options)
	r.write = func(value any, sqlType string) string { return literalSQL(gen, value) + "::" + sqlType }
	return append(b, r.render(a.filter.root, true)...), nil
}

// literalSQL writes a value of a parameter.
func literalSQL(gen schema.QueryGen, value any) string {
	switch v := value.(type) {
	case nil:
		return "NULL"
	case []string:
		return arraySQL(gen, v)
	case []float64:
		return arraySQL(gen, v)
	case []bool:
		return arraySQL(gen, v)
	case string:
		return stringSQL(gen, v)
	case float64:
		return stringSQL(gen, strconv.FormatFloat(v, 'g', -1, 64))
	case int64:
		return stringSQL(gen, strconv.FormatInt(v, 10))
	case bool:
		return boolSQL(v)
	case time.Time:
		return string(gen.Dialect().AppendTime(nil, v))
	case time.Duration:
		return stringSQL(gen, strconv.FormatInt(v.Microseconds(), 10)+" microseconds")
	}
	panic("filter: a parameter without SQL") // the switch has every type that bind is called with
}

func arraySQL[T any](gen schema.QueryGen, values []T) string {
	items := make([]string, len(values))
	for i, v := range values {
		items[i] = literalSQL(gen, v)
	}
	return "ARRAY[" + strings.Join(items, ", ") + "]"
}

// escapes are for what another formatter, or a session without standard_conforming_strings,
// would find a meaning in.
var escapes = strings.NewReplacer(`\`, `\\`, `?`, `\077`)

func stringSQL(gen schema.QueryGen, s string) string {
	quoted := string(gen.Dialect().AppendString(nil, s))
	if strings.ContainsAny(s, `\?`) {
		return "E" + escapes.Replace(quoted)
	}
	return quoted
}
