package recipients

import (
	"errors"
	"fmt"
	"slices"

	"github.com/stratakit/strata/internal/fault"
	"github.com/stratakit/strata/tenancy"
)

// The package's sentinel errors.
var (
	// ErrNotFound is returned for a recipient that is not in the domain of the context:
	// it never existed, is deleted, or is somebody else's.
	ErrNotFound error = fault.New(fault.NotFound, "recipient_not_found", "recipient not found")

	// ErrEmailTaken is what an *EmailTakenError is about.
	ErrEmailTaken error = fault.New(fault.Conflict, "email_taken", "another recipient of the domain has this address")

	// ErrVersion is returned by what is conditional (Change.Version, IfVersion) when the
	// recipient changed since it was read.
	ErrVersion error = fault.New(fault.Conflict, "version_conflict", "the recipient has changed since it was read: read it again")

	// ErrTooMany is returned by the batch forms for more than MaxBatch recipients.
	ErrTooMany error = fault.New(fault.Invalid, "too_many", "at most 1,000 recipients at once: more are work for a run")

	// ErrEnrolled is returned by Enroll for a recipient that is enrolled already.
	ErrEnrolled error = fault.New(fault.Conflict, "already_enrolled", "the recipient is enrolled already")

	// ErrNotEnrolled is returned by Get, Update and Withdraw of Enrollments for a recipient that
	// is there, but has no row.
	ErrNotEnrolled error = fault.New(fault.NotFound, "not_enrolled", "the recipient is not enrolled")

	// ErrUnknownExtension is returned by Store.Extension for a name that no product has.
	ErrUnknownExtension error = fault.New(fault.NotFound, "unknown_extension", "there is no such extension of recipients")

	// ErrElsewhere is returned by AnyEnrollments for a change of an extension that only another
	// product's process can check.
	ErrElsewhere error = fault.New(fault.Conflict, "other_product", "another product keeps this: ask there")

	// ErrValueTaken is returned by Enroll and Update of Enrollments when another recipient of
	// the domain has a value that is unique.
	ErrValueTaken error = fault.New(fault.Conflict, "value_taken", "another recipient of the domain has this value")

	// ErrTimeout is returned by List and Count when a filter takes longer than allowed.
	ErrTimeout error = fault.New(fault.Unavailable, "filter_timeout", "the filter took too long: make it narrower")
)

// EmailTakenError is returned by Create, Update and Restore when another recipient of the
// domain has the address. It wraps ErrEmailTaken.
type EmailTakenError struct {
	// ID is the recipient that has it.
	ID ID
}

// Error names the other recipient.
func (e *EmailTakenError) Error() string { return fmt.Sprintf("%s: %s", ErrEmailTaken.Error(), e.ID) }

// Unwrap returns ErrEmailTaken.
func (e *EmailTakenError) Unwrap() error { return ErrEmailTaken }

// Kind is fault.Conflict.
func (e *EmailTakenError) Kind() fault.Kind { return fault.Conflict }

// Code is "email_taken".
func (e *EmailTakenError) Code() string { return "email_taken" }

// Details are the members an HTTP answer has beside code and message.
func (e *EmailTakenError) Details() map[string]any { return map[string]any{"recipientId": e.ID} }

// problems are what is wrong with the rows of a call, in the order of the rows.
type problems []problem

type problem struct {
	row int
	err error
}

func (p *problems) add(row int, err error) { *p = append(*p, problem{row, err}) }

// addField adds what is wrong with one field.
func (p *problems) addField(row int, e tenancy.FieldError) {
	p.add(row, &tenancy.ValidationError{Fields: []tenancy.FieldError{e}})
}

// orNil returns p as an error when something is wrong, and nil otherwise.
func (p problems) orNil() error {
	if len(p) == 0 {
		return nil
	}
	return p
}

// Error is that of all rows.
func (p problems) Error() string { return p.together().Error() }

// alone is the error of a call with one row.
func alone(err error) error {
	var p problems
	if errors.As(err, &p) {
		return p[0].err
	}
	return err
}

// together is the error of a call with several rows, each field with the index of its row
// before it.
func together(err error) error {
	var p problems
	if errors.As(err, &p) {
		return p.together()
	}
	return err
}

func (p problems) together() *tenancy.ValidationError {
	v := &tenancy.ValidationError{}
	slices.SortStableFunc(p, func(a, b problem) int { return a.row - b.row })
	for _, row := range p {
		at := fmt.Sprintf("[%d]", row.row)
		var wrong *tenancy.ValidationError
		switch {
		case errors.As(row.err, &wrong):
			for _, f := range wrong.Fields {
				f.Field = at + "." + f.Field
				v.Fields = append(v.Fields, f)
			}
			continue
		case errors.Is(row.err, ErrEmailTaken):
			at += ".email"
		case errors.Is(row.err, ErrVersion):
			at += ".version"
		default:
			at += ".id"
		}
		v.Add(at, fault.CodeOf(row.err), row.err.Error())
	}
	return v
}

// all returns what is wrong in several *tenancy.ValidationErrors as one.
func all(errs ...error) error {
	var v tenancy.ValidationError
	for _, err := range errs {
		if err := collect(&v, err); err != nil {
			return err
		}
	}
	return v.OrNil()
}

// collect moves the fields of a *tenancy.ValidationError into v and returns any other error.
func collect(v *tenancy.ValidationError, err error) error {
	var other *tenancy.ValidationError
	if errors.As(err, &other) {
		v.Fields = append(v.Fields, other.Fields...)
		return nil
	}
	return err
}
