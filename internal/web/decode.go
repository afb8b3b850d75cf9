package web

import (
	"bytes"
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
	return validate(v)
}

// ReadBody reads r's body as it is. It refuses more bytes than DecodeJSON would
// (fault.TooLarge) and a body that ends early (fault.Malformed).
func ReadBody(r *http.Request) ([]byte, error) {
	limit := maxBody(r.Context())
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, limit))
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return nil, fault.New(fault.TooLarge, "too_large", fmt.Sprintf("the body has more than %d bytes", limit))
	}
	if err != nil {
		return nil, malformed("malformed", "the body ended early")
	}
	return body, nil
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
		name = strings.Trim(name, `"`)
		return malformed("unknown_field", fmt.Sprintf("unknown field %q", name),
			FieldError{Field: name, Code: "unknown_field", Message: "there is no such field"})
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
	return "a number"
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
