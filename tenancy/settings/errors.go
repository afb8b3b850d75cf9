package settings

import (
	"fmt"

	"github.com/stratakit/strata/internal/fault"
	"github.com/stratakit/strata/tenancy"
)

// The package's sentinel errors.
var (
	// ErrUnknownKey is returned by Explain and Clear for a name that no registered key has.
	ErrUnknownKey error = fault.New(fault.NotFound, "setting_not_found", "there is no such setting")
	// ErrNotSet is returned by Clear when there is nothing to clear at the tenant's level.
	ErrNotSet error = fault.New(fault.NotFound, "setting_not_set", "this setting has no value of its own here")
	// ErrDomainLevel is returned for setting something for a domain: settings are a
	// company's and a workspace's. A domain has only what a move kept, and can clear that.
	ErrDomainLevel error = fault.New(fault.Forbidden, "domain_level", "settings belong to companies and workspaces: a domain can only clear what a move kept")
)

// refusal is why a value cannot be one of a key.
type refusal struct{ code, message, suggestion string }

func (r *refusal) Error() string { return r.message }

func refuse(code, format string, args ...any) *refusal {
	return &refusal{code: code, message: fmt.Sprintf(format, args...)}
}

func (r *refusal) on(field string) tenancy.FieldError {
	return tenancy.FieldError{Field: field, Code: r.code, Message: r.message, Suggestion: r.suggestion}
}
