package customfields

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"sync"

	"github.com/stratakit/strata/internal/suggest"
	"github.com/stratakit/strata/tenancy"
)

// Set is the fields of one workspace at one version. It does not change: a Registry
// gives out a new one after a change. It is safe for concurrent use.
type Set struct {
	// Version grows with every change of the workspace's definitions.
	Version int64 `json:"version"`
	// Fields are the fields that are not archived, by position and key.
	Fields []Field `json:"fields"`
	// Archived are the keys of those that are, sorted.
	Archived []string `json:"archived,omitempty"`
	// ArchivedSlots are the slots of those whose slot is not the key, by the key.
	ArchivedSlots map[string]string `json:"archivedSlots,omitempty"`
	// Layout is the Version at which values last changed their place, or what may be there:
	// what was prepared for storing by an older set does not fit any more.
	Layout int64 `json:"layout,omitempty"`

	index func() map[string]*Field
	keys  func() map[string]string // see slotKeys
}

// NewSet returns a Set of fields, for tests and for products that keep definitions of
// their own; those with an ArchivedAt are archived. It returns what is wrong with the
// definitions.
func NewSet(version int64, fields []Field) (*Set, error) {
	fields = slices.Clone(fields)
	seen := make(map[string]bool, len(fields))
	for i := range fields {
		fields[i].Options, fields[i].ArchivedOptions = slices.Clone(fields[i].Options), slices.Clone(fields[i].ArchivedOptions)
		if err := fields[i].check(); err != nil {
			return nil, err
		}
		key := fields[i].Key
		if seen[key] {
			return nil, &tenancy.ValidationError{Fields: []tenancy.FieldError{{Field: "key", Value: key, Code: "duplicate", Message: "two fields must not have the same key"}}}
		}
		seen[key] = true
	}
	return newSet(version, 0, fields), nil
}

func newSet(version, layout int64, fields []Field) *Set {
	s := &Set{Version: version, Layout: layout}
	for _, f := range fields {
		if f.ArchivedAt == nil {
			s.Fields = append(s.Fields, f)
		} else {
			s.Archived = append(s.Archived, f.Key)
			if f.Slot != f.Key && f.Slot != "" {
				if s.ArchivedSlots == nil {
					s.ArchivedSlots = map[string]string{}
				}
				s.ArchivedSlots[f.Key] = f.Slot
			}
		}
	}
	slices.Sort(s.Archived)
	return s.indexed()
}

// indexed makes s ready for use.
func (s *Set) indexed() *Set {
	for i := range s.Fields {
		if s.Fields[i].Slot == "" {
			s.Fields[i].Slot = s.Fields[i].Key
		}
		s.Fields[i].prepare()
	}
	s.keys = sync.OnceValue(s.slotKeys)
	s.index = sync.OnceValue(func() map[string]*Field {
		m := make(map[string]*Field, len(s.Fields))
		for i := range s.Fields {
			m[s.Fields[i].Key] = &s.Fields[i]
		}
		return m
	})
	return s
}

// Field returns the field of a key, or nil.
func (s *Set) Field(key string) *Field { return s.index()[key] }

// Keys returns the keys, sorted.
func (s *Set) Keys() []string { return slices.Sorted(maps.Keys(s.index())) }

// Normalize returns the stored form of a new record's values, by their slots: one form per
// type, no nulls. A null or an empty string means "not set". A field that is not among
// values has its Default. What is wrong, required fields without a value among it, comes
// back all at once as a *tenancy.ValidationError.
func (s *Set) Normalize(values map[string]any) (map[string]any, error) {
	out, _, _, err := s.NormalizeNew(values)
	return out, err
}

// NormalizeNew is Normalize where a record that is there already may be meant, which takes
// no defaults: unset are the slots that are to be empty afterwards, defaulted those whose
// fields were not given and have their Default.
func (s *Set) NormalizeNew(values map[string]any) (set map[string]any, unset, defaulted []string, err error) {
	w, v := s.normalize(values, (*Field).normalize)
	given, unset := maps.Clone(w.set), w.unset // a default empties nothing: the record that is there does not take it
	s.fill(&w, func(f *Field) bool { _, ok := values[f.Key]; return ok })
	for slot := range w.set {
		if _, ok := given[slot]; !ok {
			defaulted = append(defaulted, slot)
		}
	}
	s.requireAll(w.set, v)
	return w.set, unset, defaulted, v.OrNil()
}

// fill gives the fields that are not given their Default.
func (s *Set) fill(w *writes, given func(*Field) bool) {
	for i := range s.Fields {
		if f := &s.Fields[i]; f.filled != nil && !given(f) {
			f.store(w, f.filled) // which has been held to the field's rules
		}
	}
}

// Defaults returns the stored values of a new record that comes without any.
func (s *Set) Defaults() map[string]any {
	w := writes{set: map[string]any{}}
	s.fill(&w, func(*Field) bool { return false })
	return w.set
}

// NormalizePatch is Normalize for a change of an existing record, which has the values
// stored: only the given keys change, and the slots in unset are to be empty afterwards. A
// null clears what an archived field has left too, and an archived option may stay where
// it is.
func (s *Set) NormalizePatch(stored, values map[string]any) (set map[string]any, unset []string, err error) {
	w, v := s.normalize(values, func(f *Field, value any) (any, *problem) { return f.having(stored[f.Slot]).normalize(value) })
	for _, key := range w.cleared {
		if f := s.Field(key); f != nil && f.Required {
			v.Fields = append(v.Fields, requiredError(f))
		}
	}
	return w.set, w.unset, v.OrNil()
}

// NormalizeText is Normalize for the cells of a file: numbers, dates and booleans are
// text there, and the values of a multi_select are separated by ; or |. An empty cell says
// nothing, so that the field has its Default.
func (s *Set) NormalizeText(cells map[string]string) (map[string]any, error) {
	values := make(map[string]any, len(cells))
	for k, c := range cells {
		values[k] = c
	}
	w, v := s.normalize(values, func(f *Field, value any) (any, *problem) {
		if value, p := f.normalizeText(value.(string)); value != nil || p != nil {
			return value, p
		}
		return f.filled, nil
	})
	s.fill(&w, func(f *Field) bool { _, ok := values[f.Key]; return ok })
	s.requireAll(w.set, v)
	return w.set, v.OrNil()
}

// writes is what is to be stored for some values.
type writes struct {
	set     map[string]any // by slot
	unset   []string       // slots
	cleared []string       // the keys of fields that have no value afterwards
}

func (s *Set) normalize(values map[string]any, one func(*Field, any) (any, *problem)) (writes, *tenancy.ValidationError) {
	var v tenancy.ValidationError
	w := writes{set: make(map[string]any, len(values))}
	var unknown []string
	for _, key := range slices.Sorted(maps.Keys(values)) {
		f := s.Field(key)
		if f == nil {
			switch _, archived := slices.BinarySearch(s.Archived, key); {
			case !archived:
				unknown = append(unknown, key)
			case values[key] == nil:
				w.unset = append(w.unset, s.archivedSlot(key))
			default:
				v.Add("customFields."+key, "archived_field", "the field is archived: leave it out, or clear what it has left with null")
			}
			continue
		}
		value, p := one(f, values[key])
		if p == nil {
			p = f.store(&w, value)
		}
		if p != nil {
			v.Fields = append(v.Fields, f.fieldError(values[key], p))
		}
	}
	s.addUnknown(&v, unknown)
	return w, &v
}

// maxUnknown is how many unknown fields are named: what a request can hold of them would
// make an answer many times its size.
const maxUnknown = 20

func (s *Set) addUnknown(v *tenancy.ValidationError, unknown []string) {
	if len(unknown) == 0 {
		return
	}
	known := s.Keys()
	for _, key := range unknown[:min(len(unknown), maxUnknown)] {
		v.Fields = append(v.Fields, tenancy.FieldError{
			Field: "customFields." + show(key), Code: "unknown_field", Message: "the workspace has no such field", Suggestion: suggest.Closest(key, known),
		})
	}
	if more := len(unknown) - maxUnknown; more > 0 {
		v.Add("customFields", "unknown_field", fmt.Sprintf("… and %d more unknown fields", more))
	}
}

func (s *Set) requireAll(values map[string]any, v *tenancy.ValidationError) {
	for i := range s.Fields {
		f := &s.Fields[i]
		if _, ok := values[f.Slot]; f.Required && !ok && !slices.ContainsFunc(v.Fields, func(e tenancy.FieldError) bool { return e.Field == "customFields."+f.Key }) {
			v.Fields = append(v.Fields, requiredError(f))
		}
	}
}

func requiredError(f *Field) tenancy.FieldError {
	return tenancy.FieldError{Field: "customFields." + f.Key, Code: "required", Message: "must have a value"}
}

// AppendJSON appends a normalised map as a JSON object, keys sorted.
func AppendJSON(dst []byte, values map[string]any) []byte {
	dst = append(dst, '{')
	for i, k := range slices.Sorted(maps.Keys(values)) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, k)
		dst = append(dst, ':')
		dst = AppendValue(dst, values[k])
	}
	return append(dst, '}')
}

// AppendValue appends one normalised value as JSON.
func AppendValue(dst []byte, value any) []byte {
	switch v := value.(type) {
	case string:
		return appendString(dst, v)
	case float64:
		if v != 0 && math.Abs(v) < 1e-6 {
			return strconv.AppendFloat(dst, v, 'e', -1, 64)
		}
		return strconv.AppendFloat(dst, v, 'f', -1, 64)
	case bool:
		return strconv.AppendBool(dst, v)
	case []string:
		dst = append(dst, '[')
		for i, s := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendString(dst, s)
		}
		return append(dst, ']')
	}
	return append(dst, "null"...)
}

// appendString appends a JSON string. Text without anything to escape, which is nearly
// all of it, costs no detour.
func appendString(dst []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= 0x7f {
			b, err := json.Marshal(s)
			if err != nil { // a string always has a JSON form
				return append(dst, `""`...)
			}
			return append(dst, b...)
		}
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}

// Text reads one cell for one field, for programs that read many: the normalised value,
// nil for an empty cell, or what is wrong with it.
func (f *Field) Text(cell string) (any, *tenancy.FieldError) {
	value, p := f.normalizeText(cell)
	if p != nil {
		e := f.fieldError(cell, p)
		return nil, &e
	}
	return value, nil
}
