package blueprint

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
)

// object is a JSON object by its top-level fields.
type object map[string]json.RawMessage

// override is what a workspace has instead of the blueprint's value of a field, and what
// the blueprint had when it was overridden.
type override struct {
	Value json.RawMessage `json:"value"`
	Base  json.RawMessage `json:"base,omitempty"`
}

// laidOver returns the body with the overrides in place of its own values.
func laidOver(body json.RawMessage, overrides map[string]override) (json.RawMessage, object, error) {
	var o object
	if err := json.Unmarshal(body, &o); err != nil {
		return nil, nil, err
	}
	own := maps.Clone(o)
	for field, v := range overrides {
		o[field] = v.Value
	}
	raw, err := json.Marshal(o)
	return raw, own, err
}

// keptFields says which fields a workspace keeps, and which of them the blueprint, whose
// own values are given, has changed since.
func keptFields(overrides map[string]override, own object) []Change {
	var out []Change
	for _, field := range slices.Sorted(maps.Keys(overrides)) {
		c := Change{Action: Kept, Subject: field, Detail: "overridden in this workspace"}
		if !same(overrides[field].Base, own[field]) {
			c.Detail += "; the blueprint has changed it since"
		}
		out = append(out, c)
	}
	return out
}

// same reports whether two values are the same JSON; none is null.
func same(a, b json.RawMessage) bool { return bytes.Equal(plain(a), plain(b)) }

// plain writes a value with its fields sorted and its numbers as they are.
func plain(raw json.RawMessage) []byte {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v any
	if len(raw) > 0 && dec.Decode(&v) != nil {
		return raw
	}
	out, err := json.Marshal(v)
	if err != nil {
		return raw
	}
	return out
}
