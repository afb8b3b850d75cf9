package billing

import (
	"fmt"

	"github.com/stratakit/strata/internal/fault"
)

// The package's sentinel errors.
var (
	// ErrLimit is what every *LimitError is: errors.Is(err, ErrLimit).
	ErrLimit error = fault.New(fault.LimitExceeded, "limit_exceeded", "the plan's limit would be exceeded")

	// ErrUnknownPlan is returned for a plan the Catalog does not have: nothing is allowed
	// then. A plan that a caller asked for is a *tenancy.ValidationError instead.
	ErrUnknownPlan error = fault.New(fault.Internal, "unknown_plan", "there is no such plan in the catalog")

	// ErrReservation is returned when more is settled than a reservation still holds, or
	// when it is closed, also by ExpireReservations, or not this company's.
	ErrReservation error = fault.New(fault.Conflict, "reservation_gone", "the reservation does not hold that much any more")

	// ErrSubscriptionChanging is returned for the first use of a resource that has no
	// counter yet while the company's subscription is being changed: try again. Nothing
	// was counted.
	ErrSubscriptionChanging error = fault.New(fault.Conflict, "subscription_changing", "the subscription is being changed right now: try again")

	// ErrNotSubscribed is returned for a company that was never provisioned.
	ErrNotSubscribed error = fault.New(fault.NotFound, "not_subscribed", "the company has no subscription")
)

// LimitError is returned when Existing + Incoming would exceed Limit. Nothing was
// counted; roll the transaction back.
type LimitError struct {
	Resource string
	Existing int64 // used and reserved; more than Limit after a downgrade
	Incoming int64
	Limit    int64
	Plan     string
}

// Remaining is what would still fit, never negative.
func (e *LimitError) Remaining() int64 { return max(0, e.Limit-e.Existing) }

// Error says all the numbers, and how many are too many.
func (e *LimitError) Error() string {
	return fmt.Sprintf("plan %s allows %d %s: there are %d, and %d more would be %d too many",
		e.Plan, e.Limit, e.Resource, e.Existing, e.Incoming, e.Incoming-(e.Limit-e.Existing))
}

// Is makes errors.Is(err, ErrLimit) true.
func (e *LimitError) Is(target error) bool { return target == ErrLimit }

// Kind is fault.LimitExceeded.
func (e *LimitError) Kind() fault.Kind { return fault.LimitExceeded }

// Code is "limit_exceeded".
func (e *LimitError) Code() string { return "limit_exceeded" }

// Details are the members an HTTP answer has beside code and message.
func (e *LimitError) Details() map[string]any {
	return map[string]any{"resource": e.Resource, "existing": e.Existing, "incoming": e.Incoming, "limit": e.Limit}
}
