package move

import (
	"errors"
	"fmt"
	"strings"

	"github.com/stratakit/strata/internal/fault"
)

// The package's sentinel errors.
var (
	// ErrNotFound is returned for a domain that was never moved, and for moves of others.
	ErrNotFound error = fault.New(fault.NotFound, "not_found", "not found")

	// ErrState is returned for what a move's state does not allow, such as cancelling one
	// that is done.
	ErrState error = fault.New(fault.Conflict, "wrong_state", "the state of the move does not allow this")

	// ErrPlatform is returned for a change to a move between companies by anybody but the
	// platform.
	ErrPlatform error = fault.New(fault.Forbidden, "platform_only", "only the platform moves a domain from one company to another")

	// ErrAlreadyMoving is what every *AlreadyMovingError is.
	ErrAlreadyMoving error = fault.New(fault.Conflict, "already_running", "the domain is being moved already")

	// ErrBlocked is what every *BlockedError is.
	ErrBlocked error = fault.New(fault.Conflict, "move_blocked", "the domain cannot be moved there as things are")

	// errLeaseLost stops work on a move that somebody else has taken over, or whose state
	// was changed.
	errLeaseLost = errors.New("move: the lease is lost")

	// errWritersRemain is returned while a transaction that began before the fence lasts.
	errWritersRemain = errors.New("move: a transaction still writes to the domain")

	// errRowsRemain is returned for a flip that found rows which were not rewritten.
	errRowsRemain = errors.New("move: rows have come up since they were rewritten")

	// errDomainGone ends a move whose domain was deleted meanwhile.
	errDomainGone error = fault.New(fault.NotFound, "domain_gone", "the domain was deleted meanwhile")
)

// AlreadyMovingError is returned by Start while a move of the domain has not ended.
type AlreadyMovingError struct {
	// ID is the move's.
	ID ID
}

// Error names the move.
func (e *AlreadyMovingError) Error() string { return ErrAlreadyMoving.Error() + ": " + e.ID.String() }

// Is makes errors.Is(err, ErrAlreadyMoving) true.
func (e *AlreadyMovingError) Is(target error) bool { return target == ErrAlreadyMoving }

// Kind is fault.Conflict.
func (e *AlreadyMovingError) Kind() fault.Kind { return fault.Conflict }

// Code is "already_running".
func (e *AlreadyMovingError) Code() string { return "already_running" }

// Details are the members an HTTP answer has beside code and message.
func (e *AlreadyMovingError) Details() map[string]any { return map[string]any{"jobId": e.ID.String()} }

// BlockedError is returned by Start with everything that keeps the move from being done.
type BlockedError struct{ Findings []Finding }

// Error joins the messages.
func (e *BlockedError) Error() string {
	parts := make([]string, len(e.Findings))
	for i, f := range e.Findings {
		parts[i] = f.Message
	}
	return ErrBlocked.Error() + ": " + strings.Join(parts, "; ")
}

// Is makes errors.Is(err, ErrBlocked) true.
func (e *BlockedError) Is(target error) bool { return target == ErrBlocked }

// Kind is fault.Conflict.
func (e *BlockedError) Kind() fault.Kind { return fault.Conflict }

// Code is "move_blocked".
func (e *BlockedError) Code() string { return "move_blocked" }

// Details are the members an HTTP answer has beside code and message.
func (e *BlockedError) Details() map[string]any { return map[string]any{"findings": e.Findings} }

// passing reports whether an error is one to be tried again: it says nothing of the move.
func passing(err error) bool {
	switch fault.KindOf(err) {
	case fault.Internal, fault.Unavailable, fault.Throttled:
		return true
	}
	return false
}

func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("move: %s: %w", what, err)
}
