package filter

import (
	"fmt"
	"slices"
	"time"

	"github.com/stratakit/strata/customfields"
)

// Schema is what a filter may mention.
type Schema struct {
	// Fields are the custom fields of the workspace.
	Fields *customfields.Set
	// Columns are those of the table.
	Columns []Column
	// Extensions are tables joined to it, each under a name of its own.
	Extensions []Extension
	// Events counts what happened to a record. Without it filters cannot ask for events.
	Events *Events
	// Location is the time zone in which today, anniversary() and dates without a time of
	// day are meant: UTC, one of the IANA database, or a fixed one whose name is its offset,
	// such as "+02:00", because PostgreSQL gets its name. Default UTC.
	Location *time.Location
	// MaxCost bounds Filter.Cost. Default DefaultMaxCost.
	MaxCost int
}

// Column is a column of the table that filters may also use, beside the custom fields.
type Column struct {
	// Name is what the filter calls it, such as "createdAt".
	Name string
	// Type is Text, Email, Number, Date or Boolean. A Date column is a timestamptz of the
	// years 1 to 9999, and a Number column a float8, or an integer that one holds exactly,
	// that is finite: what else is there makes no statement fail, but in process nobody has
	// said what it means. An Email column has every address in the form
	// of recipients.NormalizeEmail, and ==, != and in put what they compare it with into
	// that form.
	Type customfields.Type
	// SQL is the column in statements, with the table as r, such as "r.created_at".
	SQL string
	// Nullable says that the column may be NULL; to a filter that is null.
	Nullable bool
	// Options are the only values a Text column has, when it is an enumeration.
	Options []string
}

// Extension is a table with at most one row for each record, whose columns a filter calls
// by the name of the extension: sms.phone. Where there is no row, all of them are null.
type Extension struct {
	// Name is a word of lower-case letters, digits and underscores.
	Name string
	// Join joins the table to r, such as
	// "LEFT JOIN app.sms x_sms ON x_sms.domain_id = r.domain_id AND x_sms.recipient_id = r.id".
	Join string
	// Columns are its columns; SQL has them with the alias of Join, such as "x_sms.phone".
	// They count as Nullable.
	Columns []Column
}

// Events counts events of a record.
type Events struct {
	// CountSQL returns an expression for the number of events of the record r of one kind
	// from a time on, as a float8 that is never NULL. kind and since are placeholders with
	// their types, a text and a timestamptz.
	CountSQL func(kind, since string) string
	// Kinds are the kinds there are. Nil allows any.
	Kinds []string
}

func (s Schema) location() *time.Location {
	if s.Location == nil {
		return time.UTC
	}
	return s.Location
}

func (s Schema) column(name string) *Column { return findColumn(s.Columns, name) }

func (s Schema) extension(name string) *Extension {
	if i := slices.IndexFunc(s.Extensions, func(x Extension) bool { return x.Name == name }); i >= 0 {
		return &s.Extensions[i]
	}
	return nil
}

func findColumn(columns []Column, name string) *Column {
	if i := slices.IndexFunc(columns, func(c Column) bool { return c.Name == name }); i >= 0 {
		return &columns[i]
	}
	return nil
}

// field returns a custom field that filters may use, or nil.
func (s Schema) field(key string) *customfields.Field {
	if s.Fields == nil {
		return nil
	}
	if f := s.Fields.Field(key); f != nil && f.Filterable {
		return f
	}
	return nil
}

// fields are the custom fields that filters may use.
func (s Schema) fields() []*customfields.Field {
	if s.Fields == nil {
		return nil
	}
	var out []*customfields.Field
	for i := range s.Fields.Fields {
		if s.Fields.Fields[i].Filterable {
			out = append(out, &s.Fields.Fields[i])
		}
	}
	return out
}

// names are what a filter may mention, for suggestions: fields without their prefix.
func (s Schema) names() []string {
	var names []string
	for _, f := range s.fields() {
		names = append(names, f.Key)
	}
	for _, c := range s.Columns {
		names = append(names, c.Name)
	}
	for _, x := range s.Extensions {
		names = append(names, x.Name)
		for _, c := range x.Columns {
			names = append(names, x.Name+"."+c.Name)
		}
	}
	return append(names, "fields", "now", "today")
}

// reservedNames are the variables that every filter has, and the words that CEL keeps for itself
// (RESERVED and the literals in the grammar of its language definition).
var reservedNames = []string{
	"fields", "now", "today", "events",
	"as", "break", "const", "continue", "else", "false", "for", "function", "if", "import", "in", "let", "loop", "null", "package",
	"namespace", "return", "true", "var", "void", "while",
}

// Reserved reports whether a name is that of a variable that every filter has, or a word of the
// language, which no column or extension can have.
func Reserved(name string) bool { return slices.Contains(reservedNames, name) }

// check returns what is wrong with the columns and extensions, which a program gives.
func (s Schema) check() error {
	for _, c := range s.Columns {
		if Reserved(c.Name) {
			return fmt.Errorf("filter: a column cannot be called %q", c.Name)
		}
	}
	for _, x := range s.Extensions {
		if Reserved(x.Name) || !customfields.ValidSlot(x.Name) {
			return fmt.Errorf("filter: an extension cannot be called %q", x.Name)
		}
	}
	return nil
}
