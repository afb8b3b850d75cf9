package imports

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
)

// enrollments is what a staged row says of extensions: the values by extension and column.
type enrollments map[string]map[string]any

// UnmarshalJSON keeps the digits of numbers, of which a float64 has not as many.
func (e *enrollments) UnmarshalJSON(text []byte) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	return d.Decode((*map[string]map[string]any)(e))
}

// said is what a record says of one extension.
type said struct {
	values map[string]json.RawMessage // by column
	cell   bool                       // in a cell of its own, and not only by constants
	wrong  bool                       // what it says cannot be read
}

// enroller is an extension that a file has columns of.
type enroller struct {
	*recipients.AnyEnrollments

	constant bool // the file says the same in all rows, and has no cell for it
}

// enrollersOf returns the extensions that inputs are for, in the order of their names.
func enrollersOf(inputs []input) (all []enroller) {
	for _, in := range inputs {
		if in.product == nil {
			continue
		}
		constant := in.more.Constant != ""
		if i := slices.IndexFunc(all, func(e enroller) bool { return e.Name() == in.product.of.Name() }); i >= 0 {
			all[i].constant = all[i].constant && constant
		} else {
			all = append(all, enroller{in.product.of, constant})
		}
	}
	slices.SortFunc(all, func(a, b enroller) int { return strings.Compare(a.Name(), b.Name()) })
	return all
}

// putProduct adds to a row what a record says of a column of an extension.
func (in *input) putProduct(row *staged, text string, as notation, problem *tenancy.FieldError) *tenancy.FieldError {
	name := in.product.of.Name()
	s := row.products[name]
	if s == nil {
		s = &said{values: map[string]json.RawMessage{}}
		if row.products == nil {
			row.products = map[string]*said{}
		}
		row.products[name] = s
	}
	var value any
	if text = strings.TrimSpace(text); text == "" {
		return nil
	}
	s.cell = s.cell || in.more.Constant == ""
	if problem != nil {
		s.wrong = true
		return problem
	}
	if n := in.digits(text, as); n != nil {
		s.values[in.product.Name] = n
		return nil
	}
	if value = text; in.field != nil {
		if value, problem = in.value(text, as); problem != nil {
			s.wrong = true
			return problem
		}
	}
	s.values[in.product.Name] = customfields.AppendValue(nil, value)
	return nil
}

// decimal is a number that needs no exponent.
var decimal = regexp.MustCompile(`^([+-]?)0*([0-9]+(\.[0-9]+)?)$`)

// digits reads a number as JSON with all of its digits: a float64 has not as many. nil: the column
// has no more than that, or it is no such number.
func (in *input) digits(text string, as notation) json.RawMessage {
	if !in.product.Whole && !in.product.Exact {
		return nil
	}
	if as != nil {
		var ok bool
		if text, ok = as.read(text); !ok {
			return nil
		}
	}
	if in.product.Whole {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil
		}
		return strconv.AppendInt(nil, n, 10)
	}
	parts := decimal.FindStringSubmatch(text)
	if parts == nil {
		return nil
	}
	return json.RawMessage(strings.TrimPrefix(parts[1], "+") + parts[2])
}

// products brings what a row says of extensions into the form in which they store it, as JSON, or
// adds what is wrong with that. nil: it says nothing.
func (j *judge) products(ctx context.Context, row *staged, wrong *problems) (any, error) {
	var out map[string]map[string]json.RawMessage
	for _, x := range j.enroll {
		s := row.products[x.Name()]
		if s == nil || s.wrong || !s.cell && !x.constant {
			continue
		}
		values, err := x.Normalize(ctx, s.values)
		if err != nil {
			found, err := rowErrors(x.Name(), err)
			if err != nil {
				return nil, err
			}
			for _, e := range found {
				wrong.add(e)
			}
			continue
		}
		if out == nil {
			out = map[string]map[string]json.RawMessage{}
		}
		out[x.Name()] = values
	}
	if out == nil {
		return nil, nil
	}
	return json.Marshal(out)
}

// rowErrors are the errors of a row in what an extension has said of it, or else err.
func rowErrors(extension string, err error) ([]tenancy.FieldError, error) {
	var v *tenancy.ValidationError
	switch {
	case errors.As(err, &v):
	case errors.Is(err, recipients.ErrValueTaken): // by an index of the product's own
		return []tenancy.FieldError{{Field: extension, Code: "value_taken", Message: takenMessage}}, nil
	default:
		return nil, err
	}
	out := slices.Clone(v.Fields)
	for i := range out {
		if out[i].Field != extension { // which is the row as a whole
			out[i].Field = extension + "." + out[i].Field
		}
	}
	return out, nil
}

// storedDate gives a time of an extension the form that the values of date fields have; anything
// else it leaves as it is.
func storedDate(value any) any {
	if text, ok := value.(string); ok {
		if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
			return t.UTC().Format(customfields.DateLayout)
		}
	}
	return value
}
