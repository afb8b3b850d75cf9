package imports

import (
	"fmt"
	"strings"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/internal/fault"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
)

// staged is a row on its way into staging.
type staged struct {
	email, norm  string
	name, status any              // nil: the file says nothing, so an existing recipient keeps its own
	fields       []byte           // a JSON object without its end
	products     map[string]*said // by extension
}

// input is one thing that a record says of a recipient.
type input struct {
	name     string              // in errors
	core     string              // "email", "name" or "status"
	field    *customfields.Field // or this
	product  *productColumn      // or this; of other than texts, field reads its cells
	json     []byte              // `"slot":` of the field
	notation notation            // nil: as Field.Text reads it
	rivals   []notation          // how it may be written too
	columns  []int               // where the text stands, joined by spaces; or else:
	more     more
}

// newInput returns the input for the target i of a plan.
func newInput(p plan, i int, set *customfields.Set, of products) (in input, err error) {
	target := p.Targets[i]
	if name, _, ok := cutTarget(target); ok {
		c, there := of.columns[target]
		if !there {
			return in, fmt.Errorf("extension %q: %w", name, recipients.ErrElsewhere)
		}
		in.name, in.product, in.field = target, &c, productFields[c.Type]
	} else if fieldKey, isField := strings.CutPrefix(target, fieldPrefix); !isField {
		in.name, in.core = target, target
	} else if in.field = set.Field(fieldKey); in.field == nil {
		return in, ErrFieldsChanged
	} else {
		in.name, in.json = "customFields."+fieldKey, append(customfields.AppendValue(nil, in.field.Slot), ':')
	}
	if n := p.notation(i); n != nil && n.name() != isoDate && n.name() != plainNumber {
		in.notation = n
		if _, isDate := n.(dateNotation); isDate && p.Format.Kind == kindXLSX {
			in.notation = orISO{n}
		}
	}
	if in.field != nil {
		in.rivals = p.rivals(i, in.field.Type)
	}
	switch m := i - len(p.Format.Header); {
	case m >= 0:
		in.more = p.More[m]
	case len(p.Join[target]) > 0:
		in.columns = p.Join[target]
	default:
		in.columns = []int{i}
	}
	return in, nil
}

// text is what the record says, as it is written there.
func (in *input) text(cells []string) string {
	switch {
	case len(in.columns) == 1:
		return cells[in.columns[0]]
	case in.more.Constant != "":
		return in.more.Constant
	case len(in.columns) == 0:
		return word(cells[in.more.Column], in.more.Word, in.more.Last)
	}
	parts := make([]string, 0, len(in.columns))
	for _, c := range in.columns {
		if part := strings.TrimSpace(cells[c]); part != "" {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, " ")
}

// word is the nth word of a text, or what begins there.
func word(text string, n int, last bool) string {
	words := strings.Fields(text)
	switch {
	case n >= len(words):
		return ""
	case last:
		return strings.Join(words[n:], " ")
	}
	return words[n]
}

// unreadable says what is wrong with a cell that a workbook has no text in.
func (in *input) unreadable(cells []string) *tenancy.FieldError {
	for _, c := range in.columns {
		if problem := cellProblem(in.name, cells[c]); problem != nil {
			return problem
		}
	}
	if len(in.columns) == 0 && in.more.Constant == "" {
		return cellProblem(in.name, cells[in.more.Column])
	}
	return nil
}

// storable reports whether PostgreSQL can hold all that the input is made of.
func (in *input) storable(cells []string) bool {
	for _, c := range in.columns {
		if !storable(cells[c]) {
			return false
		}
	}
	return len(in.columns) > 0 || in.more.Constant != "" || storable(cells[in.more.Column])
}

// put adds to a row what a record says, or returns what is wrong with that.
func (in *input) put(row *staged, rec record) (problem *tenancy.FieldError) {
	text, as := in.text(rec.cells), in.notation
	if rec.numbers != nil && len(in.columns) == 1 && rec.numbers[in.columns[0]] {
		as = nil
	} else {
		problem = in.ambiguous(text)
	}
	switch {
	case in.product != nil:
		return in.putProduct(row, text, as, problem)
	case problem != nil:
		return problem
	}
	switch in.core {
	case "email":
		row.email = strings.TrimSpace(text)
		row.norm, problem = recipients.NormalizeEmail(text)
	case "name":
		var s string
		if s, problem = recipients.NormalizeName(text); s != "" {
			row.name = s
		}
	case "status":
		if strings.TrimSpace(text) != "" {
			var s recipients.Status
			s, problem = recipients.NormalizeStatus(text)
			row.status = string(s)
		}
	default:
		return in.putField(row, text, as)
	}
	return problem
}

// value is what a cell in a notation says of the field, or what is wrong with it.
func (in *input) value(text string, as notation) (any, *tenancy.FieldError) {
	written := text
	if as != nil && strings.TrimSpace(text) != "" {
		var ok bool
		if text, ok = as.read(text); !ok {
			return nil, in.misread(written)
		}
	}
	value, problem := in.field.Text(text)
	if problem == nil && value == nil && in.field.Required && in.field.Default == nil {
		problem = &tenancy.FieldError{Field: in.name, Code: "required", Message: "must have a value"}
	}
	if problem != nil {
		if problem.Field = in.name; problem.Value != "" {
			problem.Value = fault.Shown(strings.TrimSpace(written))
		}
		return nil, in.suggest(problem, written)
	}
	return value, nil
}

func (in *input) putField(row *staged, text string, as notation) *tenancy.FieldError {
	value, problem := in.value(text, as)
	if problem != nil || value == nil {
		return problem
	}
	if len(row.fields) > 1 {
		row.fields = append(row.fields, ',')
	}
	row.fields = customfields.AppendValue(append(row.fields, in.json...), value)
	return nil
}

// ambiguous says that a cell could be read in two ways, and nothing that came before decides.
func (in *input) ambiguous(cell string) *tenancy.FieldError {
	if len(in.rivals) == 0 || onlyDigits(cell) {
		return nil
	}
	own := in.usual()
	one, ok := own.read(cell)
	for _, n := range in.rivals {
		if other, fits := n.read(cell); ok && fits && other != one {
			return &tenancy.FieldError{Field: in.name, Value: fault.Shown(strings.TrimSpace(cell)), Code: "ambiguous_format", Message: fmt.Sprintf(
				"is %s if the column is written as %s, and %s as %s, and the first rows do not decide: say which with options.formats", one, own.name(), other, n.name())}
		}
	}
	return nil
}

// usual is the notation of the column.
func (in *input) usual() notation {
	switch {
	case in.notation != nil:
		return in.notation
	case in.field.Type == customfields.Date:
		return isoNotation{}
	}
	return numberNotation{decimal: "."}
}

// misread says that a cell is not written as its column is.
func (in *input) misread(written string) *tenancy.FieldError {
	what, code := "date", "invalid_date"
	if in.field.Type == customfields.Number {
		what, code = "number", "invalid_number"
	}
	return in.suggest(&tenancy.FieldError{
		Field: in.name, Value: fault.Shown(strings.TrimSpace(written)), Code: code, Message: "must be a " + what + " written as " + in.notation.name() + ", as the column is",
	}, written)
}

// suggest adds how a date or number that is written in another way would be written as its
// column is.
func (in *input) suggest(problem *tenancy.FieldError, written string) *tenancy.FieldError {
	if problem.Suggestion != "" || problem.Code != "invalid_date" && problem.Code != "invalid_number" {
		return problem
	}
	problem.Suggestion = otherwise(in.usual(), in.field.Type, written)
	return problem
}
