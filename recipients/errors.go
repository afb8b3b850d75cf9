package recipients

import (
	"errors"

	"github.com/stratakit/strata/internal/fault"
	"github.com/stratakit/strata/tenancy"
)

// The package's sentinel errors.
var (
	// ErrNotFound is returned for a recipient that is not in the domain of the context:
	// it never existed, is deleted, or is somebody else's.
	ErrNotFound error = fault.New(fault.NotFound, "recipient_not_found", "recipient not found")

	// ErrEmailTaken is returned by Create, Update and Restore when another recipient of
	// the domain has the address.
	ErrEmailTaken error = fault.New(fault.Conflict, "email_taken", "another recipient of the domain has this address")

	// ErrVersion is returned by Update when the recipient changed since it was read.
	ErrVersion error = fault.New(fault.Conflict, "version_conflict", "the recipient has changed since it was read: read it again")

	// ErrEnrolled is returned by Enroll for a recipient that is enrolled already.
	ErrEnrolled error = fault.New(fault.Conflict, "already_enrolled", "the recipient is enrolled already")

	// ErrNotEnrolled is returned by Get, Update and Withdraw of Enrollments for a recipient that
	// is there, but has no row.
	ErrNotEnrolled error = fault.New(fault.NotFound, "not_enrolled", "the recipient is not enrolled")

	// ErrValueTaken is returned by Enroll and Update of Enrollments when another recipient of
	// the domain has a value that is unique.
	ErrValueTaken error = fault.New(fault.Conflict, "value_taken", "another recipient of the domain has this value")

	// ErrTimeout is returned by List and Count when a filter takes longer than allowed.
	ErrTimeout error = fault.New(fault.Unavailable, "filter_timeout", "the filter took too long: make it narrower")
)

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
