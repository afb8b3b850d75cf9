package customfields

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/stratakit/strata/tenancy"
)

// Type is what kind of value a field holds.
type Type string

// The types and the one form their values have in JSON.
const (
	Text        Type = "text"         // string
	Number      Type = "number"       // float64, at most 1e15 either way
	Date        Type = "date"         // "2006-01-02T15:04:05.000000Z", UTC
	Select      Type = "select"       // one of the options
	MultiSelect Type = "multi_select" // array of options, sorted, each once
	Boolean     Type = "boolean"      // true or false
	URL         Type = "url"          // absolute, http or https
	Email       Type = "email"        // as the recipients' own address is compared
)

var fieldTypes = []Type{Text, Number, Date, Select, MultiSelect, Boolean, URL, Email}

// ID identifies a Field.
type ID = tenancy.ID[Field]

// Field is the definition of one custom field of a workspace.
type Field struct {
	ID ID `json:"id"`
	// Key names the field in values and filters: a lower-case letter, then letters,
	// digits and underscores, at most 63, and none of the words true, false, null and in,
	// which CEL does not take for a name. It changes by lifecycle.Manager.Rename alone.
	Key string `json:"key"`
	// Slot is the key under which the values stand in custom_fields, for those who read them
	// by SQL: the Key, until the field is renamed or converted. The registry chooses it.
	Slot string `json:"slot"`
	// Label is what people see. Default: the key.
	Label string `json:"label"`
	// Type changes by lifecycle.Manager.Convert alone.
	Type Type `json:"type"`
	// Description says what the field is for. It may be empty.
	Description string `json:"description,omitempty"`
	// Options are the values a select or multi_select may have, at least one.
	Options []string `json:"options,omitempty"`
	// ArchivedOptions are values that records may keep and filters may name, and that are
	// refused where a record does not have them yet. Moved back to Options one is restored.
	ArchivedOptions []string `json:"archivedOptions,omitempty"`
	// Constraints narrow what a value may be.
	Constraints Constraints `json:"constraints,omitzero"`
	// DateOnly makes the values of a date whole days: midnight in UTC, and no other time.
	DateOnly bool `json:"dateOnly,omitempty"`
	// Required refuses a record without a value. A Default fulfils it.
	Required bool `json:"required"`
	// Default is the value of a new record that comes without one, in its stored form. It
	// is never given to a record that is there already.
	Default any `json:"default,omitempty"`
	// Unique refuses a value that another record of the same domain has; deleted ones do not
	// count, and neither do records without a value. Text is compared as it is stored: case
	// counts. Text, number, date, url and email can be unique.
	Unique bool `json:"unique"`
	// UniqueState is Building while a field with values becomes unique (new clashes are
	// refused already, old ones are being looked for) and Clearing for a while after it was.
	UniqueState string `json:"uniqueState,omitempty"`
	// Filterable allows the field in filters. Default true.
	Filterable bool `json:"filterable"`
	// Position orders the fields of a workspace.
	Position int `json:"position"`
	// Version grows with every change of the definition.
	Version    int64      `json:"version"`
	CreatedAt  time.Time  `json:"createdAt"`
	UpdatedAt  time.Time  `json:"updatedAt"`
	ArchivedAt *time.Time `json:"archivedAt,omitempty"`
	// Transition is the change of the field that is under way, if one is.
	Transition *Transition `json:"transition,omitempty"`

	uniqueRun int64 // counts how often Unique was turned on
	prepared        // for reading values
}

// The limits of a definition, in characters; of options, how many, archived ones among them.
const (
	maxLabel       = 200
	maxDescription = 2_000
	maxOptions     = 500
	maxOption      = 200
)

// reservedKeys are the only words that CEL refuses in fields.<key>: its lexer knows them
// as literals and as an operator. What else it reserves it reserves for variables.
var reservedKeys = []string{"true", "false", "null", "in"}

var keyForm = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)

// Check completes f and returns everything that is wrong with it at once, as a
// *tenancy.ValidationError.
func (f *Field) Check() error { return f.check() }

// check completes f and returns everything that is wrong with it at once.
func (f *Field) check() error {
	var v tenancy.ValidationError
	if f.Key == "" {
		v.Add("key", "required", "must not be empty")
	} else if !keyForm.MatchString(f.Key) {
		v.Add("key", "invalid_key", "must begin with a lower-case letter and have only lower-case letters, digits and underscores, at most 63")
	} else if slices.Contains(reservedKeys, f.Key) {
		v.Add("key", "reserved_key", "must not be true, false, null or in, which filters cannot name")
	}
	if f.Label = strings.TrimSpace(f.Label); f.Label == "" {
		f.Label = f.Key
	}
	if utf8.RuneCountInString(f.Label) > maxLabel || !storable(f.Label) {
		v.Add("label", "invalid_text", "must be text of at most 200 characters")
	}
	if f.Description = strings.TrimSpace(f.Description); utf8.RuneCountInString(f.Description) > maxDescription || !storable(f.Description) {
		v.Add("description", "invalid_text", "must be text of at most 2000 characters")
	}
	if f.Type == "" {
		v.Add("type", "required", "must not be empty")
	} else if !slices.Contains(fieldTypes, f.Type) {
		v.Add("type", "unknown_type", "must be one of text, number, date, select, multi_select, boolean, url, email")
	}
	if f.Position < math.MinInt32 || f.Position > math.MaxInt32 {
		v.Add("position", "out_of_range", fmt.Sprintf("must be between %d and %d", math.MinInt32, math.MaxInt32))
	}
	if f.checkOptions(&v); len(v.Fields) > 0 {
		return v.OrNil() // what follows goes by the type and the options
	}
	f.checkConstraints(&v)
	f.checkDefault(&v)
	f.checkUnique(&v)
	return v.OrNil()
}

func (f *Field) checkOptions(v *tenancy.ValidationError) {
	all := len(f.Options) + len(f.ArchivedOptions)
	if f.Type != Select && f.Type != MultiSelect {
		if all > 0 {
			v.Add("options", "not_allowed", "only select and multi_select have options")
		}
		return
	}
	if len(f.Options) == 0 || all > maxOptions {
		v.Add("options", "out_of_range", "a select needs an option, and may have 500 together with those that are archived")
		return
	}
	seen := map[string]bool{}
	for n, list := range [][]string{f.Options, f.ArchivedOptions} {
		name := []string{"options", "archivedOptions"}[n]
		for i, o := range list {
			o = strings.TrimSpace(o)
			list[i] = o
			switch problem := optionProblem(o, f.Type); {
			case problem != "":
				v.Add(name, "invalid_text", problem)
			case seen[o]:
				v.Fields = append(v.Fields, tenancy.FieldError{Field: name, Value: o, Code: "duplicate", Message: "an option must not be there twice"})
			}
			seen[o] = true
		}
	}
}

// optionProblem says why o cannot be an option, or nothing.
func optionProblem(o string, of Type) string {
	switch {
	case o == "" || utf8.RuneCountInString(o) > maxOption || !storable(o):
		return "an option must be text of 1 to 200 characters"
	case strings.ContainsAny(o, ";|") && of == MultiSelect:
		return "an option of a multi_select must not contain ; or |, which separate the values in a file"
	}
	return ""
}

// storable reports whether PostgreSQL can keep s: valid UTF-8 without NUL.
func storable(s string) bool { return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 }
