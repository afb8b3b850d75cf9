package web

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"

	"github.com/go-playground/validator/v10"
)

// checker is the one validator; it caches what it learns of types.
var checker = sync.OnceValue(func() *validator.Validate {
	v := validator.New(validator.WithRequiredStructEnabled())
	v.RegisterTagNameFunc(func(f reflect.StructField) string {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" {
			return ""
		}
		return name
	})
	return v
})

// validate holds a struct to its "validate" tags. Anything else is valid.
func validate(v any) error {
	value := reflect.ValueOf(v)
	for value.Kind() == reflect.Pointer && !value.IsNil() {
		value = value.Elem()
	}
	if value.Kind() != reflect.Struct {
		return nil
	}
	err := checker().Struct(v)
	var wrong validator.ValidationErrors
	if !errors.As(err, &wrong) {
		return err
	}
	fields := make([]FieldError, len(wrong))
	for i, e := range wrong {
		_, path, _ := strings.Cut(e.Namespace(), ".") // without the type's name
		code, message := explain(e)
		fields[i] = FieldError{Field: path, Code: code, Message: message}
	}
	return Invalid(fields...)
}

// explain says what would satisfy a tag.
func explain(e validator.FieldError) (code, message string) {
	unit := map[reflect.Kind]string{
		reflect.String: " characters", reflect.Slice: " items", reflect.Array: " items", reflect.Map: " entries",
	}[e.Kind()]
	switch e.Tag() {
	case "required", "required_with", "required_without", "required_if":
		return "required", "must not be empty"
	case "max", "lte":
		if unit != "" {
			return "too_long", fmt.Sprintf("must have at most %s%s", e.Param(), unit)
		}
		return "out_of_range", "must be at most " + e.Param()
	case "min", "gte":
		if unit != "" {
			return "too_short", fmt.Sprintf("must have at least %s%s", e.Param(), unit)
		}
		return "out_of_range", "must be at least " + e.Param()
	case "oneof":
		return "not_allowed", "must be one of " + strings.Join(strings.Fields(e.Param()), ", ")
	case "email":
		return "invalid_email", "must be an e-mail address such as ada@example.com"
	case "url", "http_url":
		return "invalid_url", "must be a URL such as https://example.com/path"
	case "uuid":
		return "invalid_id", "must be the 36-character form of a UUID"
	}
	return e.Tag(), strings.TrimSpace("must satisfy " + e.Tag() + " " + e.Param())
}
