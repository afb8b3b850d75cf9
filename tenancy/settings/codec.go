package settings

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"time"
)

// codec writes and reads the values of one type.
type codec[T any] struct {
	kind     reflect.Kind
	duration bool
	wants    string // what a value must be, for a person
	wrong    string // why T cannot be the type of a key
}

func codecOf[T any]() codec[T] {
	t := reflect.TypeFor[T]()
	c := codec[T]{kind: t.Kind(), duration: t == reflect.TypeFor[time.Duration](), wants: wanted(t)}
	switch t.Kind() { //nolint:exhaustive // every other kind has a JSON form
	case reflect.Interface, reflect.Func, reflect.Chan, reflect.UnsafePointer, reflect.Complex64, reflect.Complex128:
		c.wrong = fmt.Sprintf("%s has no JSON form of its own", t)
	}
	return c
}

// wanted says in words what t is read from.
func wanted(t reflect.Type) string {
	if t == reflect.TypeFor[time.Duration]() {
		return `a duration such as "90s" or "1h30m"`
	}
	switch t.Kind() { //nolint:exhaustive // the numbers that are left are whole ones
	case reflect.Pointer:
		return wanted(t.Elem()) + " or null"
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "a string"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Slice, reflect.Array:
		return "an array"
	case reflect.Struct, reflect.Map:
		return "an object"
	}
	return "a whole number in range"
}

// parse reads the one JSON value of raw.
func (c codec[T]) parse(raw []byte, strict bool) (T, *refusal) {
	var v T
	if strict && len(raw) > MaxValueBytes { // what is stored comes back with spaces and long numbers
		return v, refuse("too_large", "must have at most %d bytes as JSON", MaxValueBytes)
	}
	if c.kind != reflect.Pointer && string(bytes.TrimSpace(raw)) == "null" {
		return v, refuse("null", "must be %s: null is not a value here, and clearing is not setting", c.wants)
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	if strict {
		dec.DisallowUnknownFields()
	}
	var err error
	if c.duration {
		err = decodeDuration(dec, &v)
	} else {
		err = dec.Decode(&v)
	}
	var wrong *json.UnmarshalTypeError
	switch {
	case err == nil:
		if _, err := dec.Token(); !errors.Is(err, io.EOF) {
			return v, refuse("wrong_type", "must be one JSON value")
		}
		return v, nil
	case errors.As(err, &wrong) && wrong.Field == "":
		return v, refuse("wrong_type", "must be %s, not %s", c.wants, wrong.Value)
	case errors.As(err, &wrong):
		return v, refuse("wrong_type", "%s must be %s, not %s", wrong.Field, wanted(wrong.Type), wrong.Value)
	}
	return v, refuse("wrong_type", "must be %s: %s", c.wants, strings.TrimPrefix(err.Error(), "json: "))
}

func decodeDuration(dec *json.Decoder, v any) error {
	var text string
	if err := dec.Decode(&text); err != nil {
		return err
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return fmt.Errorf("%q is none", text)
	}
	*v.(*time.Duration) = d
	return nil
}

// value returns v with its JSON. A nil slice or map is an empty one.
func (c codec[T]) value(v T) (value, *refusal) {
	if rv := reflect.ValueOf(&v).Elem(); c.kind == reflect.Slice && rv.IsNil() {
		rv.Set(reflect.MakeSlice(rv.Type(), 0, 0))
	} else if c.kind == reflect.Map && rv.IsNil() {
		rv.Set(reflect.MakeMap(rv.Type()))
	}
	var written any = v
	if c.duration {
		written = any(v).(time.Duration).String()
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(written); err != nil {
		return value{}, refuse("invalid", "has no JSON form: %s", strings.TrimPrefix(err.Error(), "json: "))
	}
	raw := bytes.TrimSpace(out.Bytes())
	if len(raw) > MaxValueBytes {
		return value{}, refuse("too_large", "must have at most %d bytes as JSON", MaxValueBytes)
	}
	if hasNUL(raw) {
		return value{}, refuse("invalid_text", `must not contain the character \u0000`)
	}
	return value{typed: v, raw: raw}, nil
}

// hasNUL reports whether a string in raw has the character U+0000, which PostgreSQL
// cannot store.
func hasNUL(raw []byte) bool {
	if !bytes.Contains(raw, []byte(`\u0000`)) {
		return false
	}
	for dec := json.NewDecoder(bytes.NewReader(raw)); ; {
		token, err := dec.Token()
		if err != nil {
			return false
		}
		if s, ok := token.(string); ok && strings.ContainsRune(s, 0) {
			return true
		}
	}
}
