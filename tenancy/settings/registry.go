package settings

import (
	"errors"
	"fmt"

	"github.com/stratakit/strata/internal/suggest"
)

// Registry is the keys that a program knows. It does not change.
type Registry struct {
	keys  []*definition // in the order they were given
	index map[string]int
}

// NewRegistry returns a Registry of keys. It fails, with everything that is wrong at once,
// for a name that is used twice or has not the form of one, a default that is not in order,
// and a mode without what it needs.
func NewRegistry(keys ...AnyKey) (*Registry, error) {
	r := &Registry{index: make(map[string]int, len(keys))}
	var wrong []error
	for _, k := range keys {
		d := k.definition()
		for _, w := range d.wrong {
			wrong = append(wrong, fmt.Errorf("settings: key %q: %s", d.name, w))
		}
		if _, taken := r.index[d.name]; taken {
			wrong = append(wrong, fmt.Errorf("settings: key %q: the name is used twice", d.name))
		}
		r.index[d.name] = len(r.keys)
		r.keys = append(r.keys, d)
	}
	if len(wrong) > 0 {
		return nil, errors.Join(wrong...)
	}
	return r, nil
}

// position returns where the values of d are. A key of that name is not enough: it could
// have another type.
func (r *Registry) position(d *definition) (int, error) {
	i, ok := r.index[d.name]
	if !ok || r.keys[i] != d {
		return 0, fmt.Errorf("settings: the Store was made without the key %q", d.name)
	}
	return i, nil
}

// named returns the key of a name, or why there is none.
func (r *Registry) named(name string) (*definition, *refusal) {
	if i, ok := r.index[name]; ok {
		return r.keys[i], nil
	}
	names := make([]string, len(r.keys))
	for i, d := range r.keys {
		names[i] = d.name
	}
	why := refuse("unknown_key", "there is no such setting")
	if why.suggestion = suggest.Closest(name, names); why.suggestion != "" {
		why.message += fmt.Sprintf(" (did you mean %q?)", why.suggestion)
	}
	return nil, why
}
