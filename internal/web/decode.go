package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/stratakit/strata/internal/fault"
)

// DecodeJSON reads the one JSON value of r's body into v and checks it against the
// "validate" tags of v's type. It refuses more bytes than allowed (fault.TooLarge), what
// is not JSON, unknown fields and anything after the value (fault.Malformed), and values
// that are wrong (fault.Invalid, all of them at once).
func DecodeJSON(r *http.Request, v any) error {
	body, err := ReadBody(r)
	if err != nil {
		return err
	}
	if len(bytes.TrimSpace(body)) == 0 {
		return malformed("malformed", "the body is empty, want JSON")
	}
	if !utf8.Valid(body) {
		return malformed("invalid_text", "the body is not UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return decodeError(err, len(body))
	}
	if rest := bytes.TrimSpace(body[dec.InputOffset():]); len(rest) > 0 {
		return malformed("trailing_data", fmt.Sprintf("the body goes on after its JSON value, at byte %d", dec.InputOffset()))
	}
	if hasNUL(body) {
		return malformed("invalid_text", `the character \u0000 is not allowed in text`)
	}
	if err := checkNames(body, v); err != nil {
		return err
	}
	return validate(v)
}

// checkNames refuses what encoding/json lets through when it reads an object into a
// struct: null in place of the object, a name in other letters' case, and a name twice,
// of which it would take the last.
func checkNames(body []byte, v any) error {
	t := reflect.TypeOf(v)
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	if start, err := dec.Token(); err != nil || start != json.Delim('{') {
		return malformed("malformed", "the body must be an object, not null")
	}
	known, seen := names(t), map[string]bool{}
	for dec.More() {
		token, err := dec.Token()
		name, _ := token.(string)
		var skipped json.RawMessage
		if err := errors.Join(err, dec.Decode(&skipped)); err != nil { // it was read before
			return malformed("malformed", "the body is not JSON: "+err.Error())
		}
		switch {
		case !known[name]:
			return unknownField(name)
		case seen[name]:
			return malformed("duplicate_field", fmt.Sprintf("field %q is there twice", name),
				FieldError{Field: name, Code: "duplicate_field", Message: "must be there once"})
		}
		seen[name] = true
	}
	return nil
}

// names are the members that a struct is read from.
func names(t reflect.Type) map[string]bool {
	out := map[string]bool{}
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" {
			name = f.Name
		}
		out[name] = true
	}
	return out
}

func unknownField(name string) error {
	return malformed("unknown_field", fmt.Sprintf("unknown field %q", name),
		FieldError{Field: name, Code: "unknown_field", Message: "there is no such field"})
}

// ReadBody reads r's body as it is. It refuses more bytes than DecodeJSON would
// (fault.TooLarge), a body that ends early (fault.Malformed), and one that the server has
// no more time to wait for (context.DeadlineExceeded).
func ReadBody(r *http.Request) ([]byte, error) {
	limit := maxBody(r.Context())
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, limit))
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return nil, fault.New(fault.TooLarge, "too_large", fmt.Sprintf("the body has more than %d bytes", limit))
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return nil, fmt.Errorf("web: read the body: %w", err)
	case err != nil:
		return nil, malformed("malformed", "the body ended early")
	}
	return body, nil
}

// NoBody refuses a body with something in it (fault.Malformed), where nothing of it would
// be heeded. It leaves the body to be read again.
func NoBody(r *http.Request) error {
	body, err := ReadBody(r)
	if err != nil {
		return err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if s := string(bytes.TrimSpace(body)); s != "" && s != "{}" {
		return malformed("unexpected_body", "this takes no body: leave it empty")
	}
	return nil
}

// decodeError says what is wrong in terms of the body. It wraps nothing: the kind of an
// error from a field's own decoding, such as that of an id, is not the kind of this one.
func decodeError(err error, size int) error {
	var syntax *json.SyntaxError
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return malformed("malformed", fmt.Sprintf("the body is not JSON: %s at byte %d", syntax.Error(), syntax.Offset))
	case errors.Is(err, io.ErrUnexpectedEOF):
		return malformed("malformed", fmt.Sprintf("the body is not JSON: it ends in the middle of a value at byte %d", size))
	case errors.As(err, &wrong) && wrong.Field == "":
		return malformed("malformed", fmt.Sprintf("the body must be %s, not %s", jsonType(wrong.Type), wrong.Value))
	case errors.As(err, &wrong):
		return Invalid(FieldError{Field: wrong.Field, Code: "wrong_type", Message: fmt.Sprintf("must be %s, not %s", jsonType(wrong.Type), wrong.Value)})
	}
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return unknownField(strings.Trim(name, `"`))
	}
	return &requestError{kind: fault.Invalid, code: "validation_failed", message: "invalid value: " + err.Error()}
}

// jsonType names the JSON type that t is read from.
func jsonType(t reflect.Type) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() { //nolint:exhaustive // every other kind is a number
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Slice, reflect.Array:
		return "an array"
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return "an integer in range"
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "an integer in range, not negative"
	}
	return "a number in range"
}

// hasNUL reports whether a JSON text that was read without error has the character
// U+0000 in a string. PostgreSQL cannot store it.
func hasNUL(body []byte) bool {
	escape := []byte(`\u0000`)
	for from := 0; ; {
		i := bytes.Index(body[from:], escape)
		if i < 0 {
			return false
		}
		i += from
		before := 0
		for i-before > 0 && body[i-before-1] == '\\' {
			before++
		}
		if before%2 == 0 {
			return true
		}
		from = i + len(escape)
	}
}
