package audit

import "github.com/stratakit/strata/internal/fault"

// The package's sentinel errors. All of them are mistakes of the program and not of its
// user; nothing was written.
var (
	// ErrNoAction is returned for an Entry that does not say what happened.
	ErrNoAction error = fault.New(fault.Internal, "audit_no_action", "an audit entry needs an action")

	// ErrStatus is returned for an Entry whose status is neither Success nor Failure.
	ErrStatus error = fault.New(fault.Internal, "audit_status", "the status of an audit entry is success or failure")

	// ErrOtherTenant is returned when the context's company is not the transaction's.
	ErrOtherTenant error = fault.New(fault.Internal, "audit_other_tenant", "the context is of another company than the transaction")
)
