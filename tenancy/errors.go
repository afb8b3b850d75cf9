package tenancy

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/stratakit/strata/internal/fault"
)

// The package's sentinel errors. Test for them with errors.Is.
var (
	// ErrNoTenant is returned when scoped work is asked of a context that carries no
	// tenant. It is a programming error, never "all tenants".
	ErrNoTenant error = fault.New(fault.Internal, "no_tenant", "no tenant in the context: resolve one and put it there with tenancy.WithTenant")

	// ErrNotFound is returned for a company, workspace or domain that does not exist,
	// is deleted, or belongs to somebody else. It never tells which.
	ErrNotFound error = fault.New(fault.NotFound, "not_found", "not found")

	// ErrInvalidID is returned by ParseID for anything but the 36-character form of a UUID.
	ErrInvalidID error = fault.New(fault.NotFound, "not_found", "not a valid id: want the 36-character form of a UUID")

	// ErrReadOnly is returned for a write while the subscription allows reading only.
	ErrReadOnly error = fault.New(fault.Forbidden, "subscription_read_only", "the subscription allows reading only: settle it to write again")

	// ErrBlocked is returned for any access while the subscription is blocked.
	ErrBlocked error = fault.New(fault.Forbidden, "subscription_blocked", "access is blocked by the state of the subscription")

	// ErrSuspended is returned for any access to a suspended company, workspace or domain.
	ErrSuspended error = fault.New(fault.Forbidden, "suspended", "this company, workspace or domain is suspended")

	// ErrNotPlatform is returned when somebody of a company asks for what only the platform
	// may see.
	ErrNotPlatform error = fault.New(fault.Forbidden, "forbidden", "this is for the platform only")

	// ErrMoving is returned for a write to a domain while it is being moved to another
	// workspace. Reading goes on.
	ErrMoving error = fault.New(fault.Moving, "domain_moving", "the domain is being moved to another workspace: it can be read, and written to again when that is done")

	// ErrConflict is returned when a slug or a domain name is already taken where it must be unique.
	ErrConflict error = fault.New(fault.Conflict, "already_exists", "already exists")

	// ErrCheckRunning is returned by VerifyDomain while another check of the same domain runs.
	ErrCheckRunning error = fault.New(fault.Conflict, "verification_running", "the name is being checked right now: try again in a moment")

	// ErrDomainTaken is returned by VerifyDomain when the record is there, and so is that of
	// another domain, which has proven the name before.
	ErrDomainTaken error = fault.New(fault.Conflict, "domain_taken",
		"your record is there, and so is that of another owner, who has proven this name before: remove the other TXT record of that name, then verify again")

	// ErrNoProver is returned by VerifyDomain without a Prover (StoreConfig.Proof).
	ErrNoProver error = fault.New(fault.Unavailable, "verification_unavailable", "domain names cannot be verified here: nothing is configured to ask DNS")
)

// LevelError is returned when work needs a deeper tenant than the context has,
// such as recipients asked of a company.
type LevelError struct{ Want, Have Level }

// Error names both levels.
func (e *LevelError) Error() string {
	return fmt.Sprintf("the context holds a %s, this needs a %s", e.Have, e.Want)
}

// Is makes errors.Is(err, ErrNoTenant) true.
func (e *LevelError) Is(target error) bool { return target == ErrNoTenant }

// FieldError is one thing wrong with one field of an input.
type FieldError struct {
	// Field is the path of the field in the request body, such as "customFields.tier".
	Field string `json:"field"`
	// Value is the offending value, shortened; empty when there was none.
	Value string `json:"value,omitempty"`
	// Code is a stable machine word, such as "required" or "invalid_email".
	Code string `json:"code,omitempty"`
	// Message says what is wrong and what would be right.
	Message string `json:"message"`
	// Suggestion is a value that would be accepted, when there is an obvious one.
	Suggestion string `json:"suggestion,omitempty"`
}

// ValidationError carries everything that is wrong with an input at once.
type ValidationError struct{ Fields []FieldError }

// Error joins the messages.
func (e *ValidationError) Error() string {
	parts := make([]string, len(e.Fields))
	for i, f := range e.Fields {
		parts[i] = f.Field + ": " + f.Message
	}
	return "invalid input: " + strings.Join(parts, "; ")
}

// Kind is fault.Invalid.
func (e *ValidationError) Kind() fault.Kind { return fault.Invalid }

// Code is "validation_failed".
func (e *ValidationError) Code() string { return "validation_failed" }

// FieldErrors returns Fields for the "errors" member of an HTTP answer.
func (e *ValidationError) FieldErrors() any { return e.Fields }

// OrNil returns e as an error when something is wrong, and nil otherwise.
func (e *ValidationError) OrNil() error {
	if e == nil || len(e.Fields) == 0 {
		return nil
	}
	return e
}

// PrefixFields puts a prefix before the fields of a *ValidationError, as for what is part of a
// larger request: "name" becomes "owner.name". Any other error it returns as it is.
func PrefixFields(prefix string, err error) error {
	var v *ValidationError
	if prefix == "" || !errors.As(err, &v) {
		return err
	}
	out := &ValidationError{Fields: slices.Clone(v.Fields)}
	for i := range out.Fields {
		out.Fields[i].Field = prefix + out.Fields[i].Field
	}
	return out
}

// Add notes one more thing that is wrong.
func (e *ValidationError) Add(field, code, message string) {
	e.Fields = append(e.Fields, FieldError{Field: field, Code: code, Message: message})
}
