package recipients

import (
	"database/sql/driver"
	"fmt"
	"net"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun/dialect/pgdialect"
	"github.com/uptrace/bun/schema"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/tenancy"
)

var (
	enrollmentType = reflect.TypeFor[Enrollment]()
	timeType       = reflect.TypeFor[time.Time]()
	valuerType     = reflect.TypeFor[driver.Valuer]()
	ipType         = reflect.TypeFor[net.IP]()
	ipNetType      = reflect.TypeFor[net.IPNet]()
)

// readModel reads table and columns from a model, and notes everything that is wrong with it.
func (x *extension) readModel(problems *ExtensionError) {
	typ := x.model
	if typ.Kind() != reflect.Struct {
		problems.add("the model %s is no struct", typ)
		return
	}
	if f, ok := typ.FieldByName(enrollmentType.Name()); !ok || !f.Anonymous || f.Type != enrollmentType || len(f.Index) != 1 {
		problems.add("the model %s does not embed recipients.Enrollment", typ)
		return
	}
	table, err := bunTable(typ)
	if err != nil {
		problems.add("bun cannot read the model %s: %s", typ, err)
		return
	}
	schemaName, name, ok := strings.Cut(table.Name, ".")
	if !ok || !plainName.MatchString(schemaName) || !plainName.MatchString(name) {
		problems.add(`the model %s names its table %q, want bun.BaseModel with the tag bun:"table:schema.name", both in lower-case letters, digits and underscores`, typ, table.Name)
	}
	x.table = tenancy.Table{Schema: schemaName, Name: name, Product: x.product}
	if table.SoftDeleteField != nil {
		problems.add("field %s: soft_delete is not for a row that means being enrolled", table.SoftDeleteField.GoName)
	}
	for relation := range table.Relations {
		problems.add("field %s: a relation cannot be kept to one tenant", relation)
	}
	named := map[string]string{"version": "Version", "createdAt": "CreatedAt", "updatedAt": "UpdatedAt"} // of Enrollment
	for _, f := range table.Fields {
		if f.Index[0] == enrollmentIndex(typ) {
			continue
		}
		if !direct(typ, f.Index) {
			problems.add("field %s is behind a pointer, which may be nil: embed the struct itself", f.GoName)
			continue
		}
		c := readColumn(f, problems)
		if c.JSON != "" && named[c.JSON] != "" {
			problems.add("fields %s and %s are both %q in JSON", named[c.JSON], f.GoName, c.JSON)
		}
		named[c.JSON] = f.GoName
		x.columns = append(x.columns, c)
	}
}

// direct reports whether every struct on the way to a field is there with the model itself.
func direct(typ reflect.Type, index []int) bool {
	for i := range len(index) - 1 {
		if typ.FieldByIndex(index[:i+1]).Type.Kind() != reflect.Struct {
			return false
		}
	}
	return true
}

func enrollmentIndex(typ reflect.Type) int {
	f, _ := typ.FieldByName(enrollmentType.Name())
	return f.Index[0]
}

// bunTable is what bun makes of a model; it panics over some.
func bunTable(typ reflect.Type) (table *schema.Table, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	return pgdialect.New().Tables().Get(typ), nil
}

// constant is a default that adds a column without writing the table anew.
var constant = regexp.MustCompile(`^('([^']|'')*'(::[a-z\[\] ]+)?|-?[0-9.]+|true|false|now\(\)|current_timestamp)$`)

// systemColumns are those that PostgreSQL has in every table.
var systemColumns = []string{"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"}

func readColumn(f *schema.Field, problems *ExtensionError) column {
	note := func(format string, args ...any) { problems.add("field "+f.GoName+": "+format, args...) }
	t := f.StructField.Type
	base := t
	if base.Kind() == reflect.Pointer {
		base = base.Elem()
	}
	c := column{Name: f.Name, Type: sqlType(f), declared: strings.ToLower(strings.TrimSpace(f.CreateTableSQLType)), index: f.Index, def: f.SQLDefault, nullzero: f.NullZero}
	switch {
	case !plainName.MatchString(f.Name):
		note("column %q: want lower-case letters, digits and underscores", f.Name)
	case slices.Contains(baseColumns, f.Name) || f.Name == enrolledColumn:
		note("column %s is the library's", f.Name)
	}
	if slices.Contains(systemColumns, f.Name) {
		note("column %s is one that PostgreSQL has in every table", f.Name)
	}
	switch {
	case base.Kind() == reflect.Interface:
		note("nothing can be read into %s: want a type, such as map[string]any or json.RawMessage", t)
	case base == ipType || base == ipNetType: // bun writes them as what pgx does not read
		note("%s is not read back as it was written: make it a string", t)
	case c.declared == "":
		note("no column can hold %s", t)
	case f.Tag.HasOption("msgpack") || f.Tag.HasOption("hstore"):
		note("msgpack and hstore are not read: leave them out, and it is a jsonb")
	}
	if f.IsPK || f.AutoIncrement || f.Identity {
		note("the key of the table is domain_id and recipient_id, and no column counts up")
	}
	if f.SQLDefault != "" && !constant.MatchString(strings.ToLower(f.SQLDefault)) {
		note("default %s: want a number, a text in quotes, true, false or now()", f.SQLDefault)
	}
	if f.SQLDefault != "" && !f.NullZero {
		note("with a default it has to be nullzero, or bun writes its zero value")
	}
	if base == timeType && !f.IsPtr && !f.NullZero {
		note("a time that is not set would be the year 1: make it nullzero or a pointer")
	}
	c.notNull = f.SQLDefault != ""
	if zero, ok := zeroSQL(base); ok && !f.IsPtr && !f.NullZero && !base.Implements(valuerType) && f.SQLDefault == "" {
		c.notNull, c.def = true, zero
	}
	c.JSON, _, _ = strings.Cut(f.StructField.Tag.Get("json"), ",")
	switch c.JSON {
	case "":
		c.JSON = camel(f.Name)
	case "-":
		c.JSON = ""
	}
	readStrataTag(f, base, &c, note)
	return c
}

func readStrataTag(f *schema.Field, base reflect.Type, c *column, note func(string, ...any)) {
	tag := f.StructField.Tag.Get("strata")
	if tag == "" {
		return
	}
	var filterable, email bool
	for _, option := range strings.Split(tag, ",") {
		name, value, _ := strings.Cut(option, ":")
		switch name {
		case "filterable":
			filterable = true
		case "email":
			email = true
		case "readonly":
			c.readOnly = true
		case "index":
			c.indexed = true
		case "unique":
			c.indexed, c.unique = true, true
		case "options":
			if c.Options = strings.Split(value, "|"); value == "" || base.Kind() != reflect.String {
				note("options are those of a text, such as options:on|off")
			}
		default:
			note("tag strata has %q, want filterable, email, options:a|b, index, unique or readonly", option)
		}
	}
	if !filterable {
		if email {
			note("email is for what is filterable")
		}
		return
	}
	if slices.Contains([]string{"in", "true", "false", "null"}, c.Name) {
		note("filters cannot say %s.%s: the second is a word of their language", "<name>", c.Name)
	}
	var ok bool
	if c.Filter, ok = filterType(c.Type); !ok {
		note("filters cannot use a column of type %s", c.Type)
	}
	if email {
		if c.Filter != customfields.Text {
			note("email is for a text")
		}
		c.Filter = customfields.Email
	}
}

// zeroSQL is the zero value of a type that has one in SQL.
func zeroSQL(t reflect.Type) (string, bool) {
	switch t.Kind() {
	case reflect.String:
		return "''", true
	case reflect.Bool:
		return "false", true
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Float32, reflect.Float64:
		return "0", true
	}
	return "", false
}

// typeNames are PostgreSQL's own names of types.
var typeNames = map[string]string{
	"varchar": "text", "int8": "bigint", "int4": "integer", "int": "integer", "int2": "smallint", "bool": "boolean", "float8": "double precision",
	"float4": "real", "timestamptz": "timestamp with time zone", "timestamp": "timestamp without time zone", "decimal": "numeric",
}

// sqlType is the type of a column, without a length, in PostgreSQL's own words.
func sqlType(f *schema.Field) string {
	t := strings.ToLower(strings.TrimSpace(f.CreateTableSQLType))
	element, isArray := strings.CutSuffix(t, "[]")
	if before, _, ok := strings.Cut(element, "("); ok && !strings.Contains(element, ") ") {
		element = before
	}
	if name, ok := typeNames[element]; ok {
		element = name
	}
	if isArray {
		return element + "[]"
	}
	return element
}

// filterType is what a column is to filters.
func filterType(t string) (customfields.Type, bool) {
	switch t {
	case "text", "character varying":
		return customfields.Text, true
	case "boolean":
		return customfields.Boolean, true
	case "smallint", "integer", "bigint", "double precision":
		return customfields.Number, true
	case "timestamp with time zone":
		return customfields.Date, true
	}
	return "", false
}

// fits reports whether a column that PostgreSQL has can hold what one of the model has.
func fits(have, want string) bool {
	families := [][]string{{"text", "character varying"}, {"smallint", "integer", "bigint"}, {"real", "double precision"}}
	return have == want || slices.ContainsFunc(families, func(f []string) bool { return slices.Contains(f, have) && slices.Contains(f, want) })
}
