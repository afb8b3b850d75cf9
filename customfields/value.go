package customfields

import (
	"encoding/json"
	"fmt"
	"math"
	"net/netip"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/stratakit/strata/internal/emailaddr"
	"github.com/stratakit/strata/internal/fault"
	"github.com/stratakit/strata/internal/suggest"
	"github.com/stratakit/strata/tenancy"
)

// DateLayout is the one form a date is stored in: of fixed width and in UTC, so that
// text order is time order and equal times are equal text.
const DateLayout = "2006-01-02T15:04:05.000000Z"

// The limits of a value.
const (
	maxNumber = 1e15 // every integer up to here is exact in a float64
	maxText   = 10_000
	maxURL    = 2_048
	maxEmail  = emailaddr.MaxLength
)

// problem is what is wrong with a value.
type problem struct{ code, message, suggestion string }

// normalize returns the one stored form of a JSON value that the field allows. A nil value
// with a nil problem means "not set".
func (f *Field) normalize(value any) (any, *problem) { return f.allowed(f.form(value)) }

// normalizeText reads a cell of a file, as normalize reads JSON.
func (f *Field) normalizeText(cell string) (any, *problem) { return f.allowed(f.textForm(cell)) }

// allowed holds a value in its stored form to the constraints.
func (f *Field) allowed(value any, p *problem) (any, *problem) {
	if p == nil && value != nil {
		p = f.constrain(value)
	}
	if p != nil {
		return nil, p
	}
	return value, nil
}

// form returns the stored form of a JSON value of the field's type.
func (f *Field) form(value any) (any, *problem) {
	switch v := value.(type) {
	case nil:
		return nil, nil
	case string:
		return f.normalizeString(v)
	case bool:
		if f.Type == Boolean {
			return v, nil
		}
	case float64:
		return f.normalizeNumber(v)
	case float32, int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64:
		return f.normalizeNumber(reflect.ValueOf(v).Convert(reflect.TypeFor[float64]()).Float())
	case json.Number:
		n, err := v.Float64()
		if err != nil {
			return nil, numberProblem
		}
		return f.normalizeNumber(n)
	case []string:
		return f.normalizeList(v)
	case []any:
		list := make([]string, len(v))
		for i, item := range v {
			s, ok := item.(string)
			if !ok {
				return nil, f.wrongType()
			}
			list[i] = s
		}
		return f.normalizeList(list)
	case time.Time:
		if f.Type == Date {
			return formatDate(v)
		}
	}
	return nil, f.wrongType()
}

var numberProblem = &problem{code: "invalid_number", message: "must be a number between -1e15 and 1e15"}

func (f *Field) wrongType() *problem {
	want := map[Type]string{
		Text: "a string", Number: "a number", Date: "a date string such as 2026-01-31", Select: "one of the options, as a string",
		MultiSelect: "an array of options", Boolean: "true or false", URL: "a string", Email: "a string",
	}[f.Type]
	return &problem{code: "wrong_type", message: "must be " + want}
}

func (f *Field) normalizeNumber(n float64) (any, *problem) {
	if f.Type != Number {
		return nil, f.wrongType()
	}
	if math.IsNaN(n) || math.Abs(n) > maxNumber {
		return nil, numberProblem
	}
	return n + 0, nil // turns -0 into 0
}

// normalizeString reads a JSON string. Surrounding space does not count, so that a record
// is the same whether it came from a file or from a form, and an empty string is "not set".
func (f *Field) normalizeString(s string) (any, *problem) {
	if s = strings.TrimSpace(s); s == "" {
		return nil, nil
	}
	if !storable(s) {
		return nil, &problem{code: "invalid_text", message: "must be valid UTF-8 without NUL"}
	}
	switch f.Type {
	case Text:
		if utf8.RuneCountInString(s) > maxText {
			return nil, &problem{code: "too_long", message: fmt.Sprintf("must have at most %d characters", maxText)}
		}
		return s, nil
	case Date:
		return parseDate(s)
	case Select:
		return f.option(s)
	case URL:
		return normalizeURL(s)
	case Email:
		n, err := emailaddr.Normalize(s)
		if err != nil {
			return nil, &problem{code: "invalid_email", message: err.Error()}
		}
		return n, nil
	case Number, Boolean, MultiSelect:
	}
	return nil, f.wrongType()
}

// option returns s when it is one of the options.
func (f *Field) option(s string) (any, *problem) {
	if slices.Contains(f.Options, s) {
		return s, nil
	}
	if slices.Contains(f.ArchivedOptions, s) {
		return nil, &problem{code: "archived_option", message: "the option is archived: restore it, or take one of " + suggest.Quoted(f.Options)}
	}
	return nil, &problem{code: "unknown_option", message: "must be one of " + suggest.Quoted(f.Options), suggestion: suggest.Closest(s, f.Options)}
}

// normalizeList returns the options in an order of their own: that of the definition can
// change, and a value has one form.
func (f *Field) normalizeList(list []string) (any, *problem) {
	if f.Type != MultiSelect {
		return nil, f.wrongType()
	}
	if len(list) == 0 {
		return nil, nil
	}
	if len(list) > maxOptions {
		return nil, &problem{code: "too_long", message: fmt.Sprintf("must have at most %d options", maxOptions)}
	}
	list = slices.Clone(list)
	unknown := make(map[string]bool, len(list))
	for i, s := range list {
		list[i] = strings.TrimSpace(s)
		unknown[list[i]] = true
	}
	for _, o := range f.Options {
		delete(unknown, o)
	}
	for _, s := range list {
		if unknown[s] {
			return f.option(s)
		}
	}
	return slices.Compact(slices.Sorted(slices.Values(list))), nil
}

// dateForms are what is read without guessing: ISO 8601 only, because 03/04/26 has
// three meanings. A form without a zone is UTC.
var dateForms = []string{"2006-01-02", time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02 15:04"}

func parseDate(s string) (any, *problem) {
	if len(s) == 10 { // nearly always; spares the attempts
		if t, err := time.Parse(time.DateOnly, s); err == nil {
			return formatDate(t)
		}
	}
	for _, form := range dateForms[1:] {
		if t, err := time.Parse(form, s); err == nil {
			return formatDate(t)
		}
	}
	return nil, &problem{code: "invalid_date", message: "must be a date such as 2026-01-31 or a time such as 2026-01-31T10:00:00Z"}
}

func formatDate(t time.Time) (any, *problem) {
	t = t.UTC()
	if y := t.Year(); y < 1 || y > 9999 {
		return nil, &problem{code: "out_of_range", message: "must lie between the years 1 and 9999"}
	}
	return t.Truncate(time.Microsecond).Format(DateLayout), nil
}

func normalizeURL(s string) (any, *problem) {
	invalid := &problem{code: "invalid_url", message: "must be an http or https URL such as https://example.com/page, at most 2048 bytes"}
	u, err := url.Parse(strings.TrimSpace(s))
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.User != nil || !validHost(u) {
		return nil, invalid
	}
	u.Host = strings.ToLower(u.Host)
	// What is escaped grows, and an empty fragment goes: a space may have been before it.
	normal := strings.TrimSpace(u.String())
	if len(normal) > maxURL {
		return nil, invalid
	}
	return normal, nil
}

// validHost is narrower than url.Parse, which takes quotes and angle brackets in a host
// and any number for a port. Names may have letters beyond ASCII, as RFC 3987 has them.
func validHost(u *url.URL) bool {
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return false
		}
	}
	name := u.Hostname()
	if strings.HasPrefix(u.Host, "[") {
		ip, err := netip.ParseAddr(name)
		return err == nil && ip.Is6() && ip.Zone() == ""
	}
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsMark(r) && !unicode.IsDigit(r) && !strings.ContainsRune(".-_", r)
	})
}

// textForm is form of a cell of a file: numbers, booleans and lists are text there.
func (f *Field) textForm(cell string) (any, *problem) {
	cell = strings.TrimSpace(cell)
	switch f.Type {
	case Number:
		if cell == "" {
			return nil, nil
		}
		n, err := strconv.ParseFloat(cell, 64)
		if err != nil || strings.ContainsAny(cell, "xXpP_nN") {
			return nil, numberProblem
		}
		return f.normalizeNumber(n)
	case Boolean:
		switch strings.ToLower(cell) {
		case "":
			return nil, nil
		case "true", "t", "yes", "y", "1", "on":
			return true, nil
		case "false", "f", "no", "n", "0", "off":
			return false, nil
		}
		return nil, &problem{code: "invalid_boolean", message: "must be true or false (yes, no, 1 and 0 are understood)"}
	case MultiSelect:
		return f.normalizeList(splitOptions(cell))
	case Text, Date, Select, URL, Email:
	}
	return f.normalizeString(cell)
}

// splitOptions reads the options of a multi_select in a cell of a file.
func splitOptions(cell string) []string {
	parts := strings.FieldsFunc(cell, func(r rune) bool { return r == ';' || r == '|' })
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	return slices.DeleteFunc(parts, func(s string) bool { return s == "" })
}

// fieldError is the problem as part of an answer.
func (f *Field) fieldError(value any, p *problem) tenancy.FieldError {
	return tenancy.FieldError{
		Field: "customFields." + f.Key, Value: show(value), Code: p.code, Message: p.message, Suggestion: p.suggestion,
	}
}

// show is a value in an error message, shortened and printable.
func show(value any) string {
	s, ok := value.(string)
	if !ok {
		b, err := json.Marshal(value)
		if err != nil {
			return ""
		}
		s = string(b)
	}
	return fault.Shown(s)
}
