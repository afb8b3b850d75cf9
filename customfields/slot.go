package customfields

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// Kind says what a Transition does.
type Kind string

// The kinds.
const (
	KindConvert      Kind = "convert"       // the values get another type, in another slot
	KindRemoveOption Kind = "remove_option" // an option goes away
	KindPurge        Kind = "purge"         // the field goes away, with its values
)

// Transition is a change of a field that goes through every record, while it is under way
// (package lifecycle). Writers that know of it help it along:
//
//   - While Next is there they store a value in both slots, and refuse one that cannot be
//     converted.
//   - While Retired is there they clear that slot whenever they write the field. A writer
//     that still stores there has not heard of the change: what it wrote is the newest.
//   - They refuse Option.
type Transition struct {
	RunID string `json:"runId"`
	Kind  Kind   `json:"kind"`
	// Next is where the values will be, and as what. Nil from the moment they are.
	Next *Place `json:"next,omitempty"`
	// Retired is where they were, and as what.
	Retired *Place `json:"retired,omitempty"`
	// Option is the one that goes away, and Replacement what stands in for it, if anything.
	Option      string `json:"option,omitempty"`
	Replacement string `json:"replacement,omitempty"`
}

// Place is a slot, and what the values in it are.
type Place struct {
	Slot    string   `json:"slot"`
	Type    Type     `json:"type"`
	Options []string `json:"options,omitempty"`
	// ArchivedOptions are those that a value may have kept.
	ArchivedOptions []string `json:"archivedOptions,omitempty"`
}

// Place is where the values of the field are, and as what.
func (f *Field) Place() Place {
	return Place{Slot: f.Slot, Type: f.Type, Options: slices.Clone(f.Options), ArchivedOptions: slices.Clone(f.ArchivedOptions)}
}

// At returns the field as it is with its values in p. One of another type has no
// constraints, and of its default what can be converted.
func (f *Field) At(p Place) *Field {
	at := *f
	at.Slot, at.Type, at.Options, at.ArchivedOptions = p.Slot, p.Type, slices.Clone(p.Options), slices.Clone(p.ArchivedOptions)
	if p.Type != f.Type {
		f.prepare()
		at.Constraints, at.DateOnly, at.Default, at.prepared = Constraints{}, false, nil, prepared{}
		at.Default, _ = convert(f.Type, f.filled, &at)
		at.prepare()
	}
	return &at
}

// slots are all places where the field may have something.
func (f *Field) slots() []string {
	slots := []string{f.Slot}
	if t := f.Transition; t != nil {
		for _, p := range []*Place{t.Next, t.Retired} {
			if p != nil {
				slots = append(slots, p.Slot)
			}
		}
	}
	return slots
}

// relocated reports whether values have to be somewhere else, or be something else, than
// for the field before.
func (f *Field) relocated(before *Field) bool {
	return f.Slot != before.Slot || !reflect.DeepEqual(f.Transition, before.Transition)
}

// takesOther reports whether the field takes other values than before, or gives others. While
// the records are gone through that must not change: their values are held to it, and what
// does not fit is lost.
func (f *Field) takesOther(before *Field) bool {
	f.prepare()
	before.prepare()
	return !slices.Equal(f.Options, before.Options) || !slices.Equal(f.ArchivedOptions, before.ArchivedOptions) ||
		f.Constraints != before.Constraints || f.DateOnly != before.DateOnly || !reflect.DeepEqual(f.filled, before.filled)
}

var slotForm = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}(~[0-9]{1,9})?$`)

// ValidSlot reports whether s has the form of a slot, in which there is nothing to escape in SQL.
func ValidSlot(s string) bool { return slotForm.MatchString(s) }

// FreeSlot returns a slot for key that none of the workspace's fields uses: the key itself
// when it can be had.
func FreeSlot(key string, fields []Field) string {
	used := map[string]bool{}
	for i := range fields {
		for _, s := range fields[i].slots() {
			used[s] = true
		}
	}
	slot := key
	for n := 2; used[slot]; n++ {
		slot = fmt.Sprintf("%s~%d", key, n)
	}
	return slot
}

// store adds to w what has to be stored for the value of f, which is nil for none.
func (f *Field) store(w *writes, value any) *problem {
	if p := f.leaving(value); p != nil {
		return p
	}
	if value == nil {
		w.unset = append(w.unset, f.slots()...)
		w.cleared = append(w.cleared, f.Key)
		return nil
	}
	w.set[f.Slot] = value
	t := f.Transition
	if t == nil {
		return nil
	}
	if t.Retired != nil {
		w.unset = append(w.unset, t.Retired.Slot)
	}
	if t.Next != nil {
		next, p := convert(f.Type, value, f.At(*t.Next))
		switch {
		case p != nil:
			return &problem{code: "converting", message: fmt.Sprintf("the field is being made a %s, and there %s", t.Next.Type, p.message), suggestion: p.suggestion}
		case next == nil:
			w.unset = append(w.unset, t.Next.Slot)
		default:
			w.set[t.Next.Slot] = next
		}
	}
	return nil
}

// leaving refuses an option that is being removed.
func (f *Field) leaving(value any) *problem {
	if f.Transition == nil || f.Transition.Kind != KindRemoveOption {
		return nil
	}
	option := f.Transition.Option
	switch v := value.(type) {
	case string:
		if v != option {
			return nil
		}
	case []string:
		if !slices.Contains(v, option) {
			return nil
		}
	default:
		return nil
	}
	return &problem{code: "option_removed", message: fmt.Sprintf("the option %q is being removed", option), suggestion: f.Transition.Replacement}
}

// Named returns the values of a record by the keys of their fields: custom_fields holds
// them by their slots. What is on its way to another slot is left out. It may return
// stored itself.
func (s *Set) Named(stored map[string]any) map[string]any {
	keys := s.keys()
	if keys == nil {
		for slot := range stored {
			if strings.Contains(slot, "~") { // of a field or a change that is newer than s
				delete(stored, slot)
			}
		}
		return stored
	}
	named := make(map[string]any, len(stored))
	for slot, value := range stored {
		key, known := keys[slot]
		switch {
		case known && key != "":
			named[key] = value
		case known || strings.Contains(slot, "~"):
		default:
			if _, other := s.index()[slot]; !other {
				named[slot] = value // of a field that is newer than s
			}
		}
	}
	return named
}

// slotKeys returns the key of each slot, empty for one that is not to be seen, or nil when
// every value stands under its field's key.
func (s *Set) slotKeys() map[string]string {
	keys := make(map[string]string, len(s.Fields))
	plain := len(s.ArchivedSlots) == 0
	for i := range s.Fields {
		f := &s.Fields[i]
		for _, slot := range f.slots() {
			keys[slot] = ""
		}
		keys[f.Slot] = f.Key
		plain = plain && f.Slot == f.Key && f.Transition == nil
	}
	if plain {
		return nil
	}
	for _, key := range s.Archived {
		keys[s.archivedSlot(key)] = key
	}
	return keys
}

func (s *Set) archivedSlot(key string) string {
	if slot, ok := s.ArchivedSlots[key]; ok {
		return slot
	}
	return key
}
