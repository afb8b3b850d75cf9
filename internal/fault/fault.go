// Package fault gives every error of the library one of a few kinds, so that a
// single table can turn any error into an HTTP status and callers can act on
// what happened instead of on message text.
package fault

import (
	"errors"
)

// Kind says what went wrong in terms a caller can act on.
type Kind string

// The kinds. internal/web holds the one table from kind to HTTP status.
const (
	Malformed       Kind = "malformed"       // the request cannot be read
	Unauthenticated Kind = "unauthenticated" // no principal
	LimitExceeded   Kind = "limit_exceeded"  // the plan does not allow that much
	Forbidden       Kind = "forbidden"       // known, and not allowed
	NotFound        Kind = "not_found"       // not there, or not yours: never tells which
	Conflict        Kind = "conflict"        // the current state does not allow it
	TooLarge        Kind = "too_large"       // more bytes than accepted
	Invalid         Kind = "invalid"         // readable, and wrong
	Moving          Kind = "moving"          // the domain is being moved
	Throttled       Kind = "throttled"       // too much at once
	Unavailable     Kind = "unavailable"     // a backend is down
	Internal        Kind = "internal"        // everything else
)

// Error is an error with a kind, a stable machine-readable code and a message for
// a person. The zero value is not useful; make one with New.
type Error struct {
	kind    Kind
	code    string
	message string
}

// New returns an Error. Packages use it for their sentinels and wrap those with
// fmt.Errorf("...: %w", err) to add what was being done.
func New(kind Kind, code, message string) *Error {
	return &Error{kind: kind, code: code, message: message}
}

// Error returns the message.
func (e *Error) Error() string { return e.message }

// Kind returns what went wrong.
func (e *Error) Kind() Kind { return e.kind }

// Code returns the stable machine word.
func (e *Error) Code() string { return e.code }

// KindOf returns the kind of the first error in err's chain that has one, and
// Internal when none has.
func KindOf(err error) Kind {
	var k interface{ Kind() Kind }
	if errors.As(err, &k) {
		return k.Kind()
	}
	return Internal
}

// Passing reports whether trying again later may help: err is of a kind about which whoever asked
// can do nothing.
func Passing(err error) bool {
	switch KindOf(err) { //nolint:exhaustive // all the others
	case Internal, Unavailable, Throttled, Moving:
		return true
	}
	return false
}

// CodeOf returns the code of the first error in err's chain that has one, and
// "internal" when none has.
func CodeOf(err error) string {
	var c interface{ Code() string }
	if errors.As(err, &c) {
		return c.Code()
	}
	return string(Internal)
}

// MessageOf is what of err's text a client may know. It is the whole text when err is a
// chain that ends in an error with a kind, and only that error's own text when others are
// joined to it or a backend is down: those may be from a backend and none of the client's
// business. Of an Internal error nothing is.
func MessageOf(err error) string {
	var own interface {
		error
		Kind() Kind
	}
	if !errors.As(err, &own) || own.Kind() == Internal {
		return "internal error"
	}
	if own.Kind() == Unavailable {
		return own.Error()
	}
	for e := err; e != nil; e = errors.Unwrap(e) {
		if _, ok := e.(interface{ Kind() Kind }); ok {
			return err.Error()
		}
	}
	return own.Error()
}
