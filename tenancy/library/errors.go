package library

import "github.com/stratakit/strata/internal/fault"

// The package's sentinel errors. What is wrong with an input is a *tenancy.ValidationError.
var (
	// ErrNotFound is returned for an item that does not exist, is deleted, is of another
	// type, or cannot be seen from the context. It never tells which.
	ErrNotFound error = fault.New(fault.NotFound, "library_item_not_found", "library item not found")
	// ErrNotOwner is returned for a change of an item that can be seen from the context
	// but belongs to the company or the platform above it.
	ErrNotOwner error = fault.New(fault.Forbidden, "library_item_inherited", "this library item belongs to the level above: clone it to change the clone")
	// ErrNameTaken is returned when the owner has an item of the type and the name.
	ErrNameTaken error = fault.New(fault.Conflict, "name_taken", "there is a library item of this name already")
	// ErrVersionConflict is returned when the item has another version than the one that
	// was to be changed: somebody else was faster. Read it again.
	ErrVersionConflict error = fault.New(fault.Conflict, "version_conflict", "the library item has changed since it was read: read it again")
	// ErrNoSource is returned when the source is asked for of an item that is no clone.
	ErrNoSource error = fault.New(fault.Conflict, "no_source", "this library item is not a clone")
	// ErrSourceGone is returned by Pull when the source is deleted, or can no longer be
	// seen from the context.
	ErrSourceGone error = fault.New(fault.Conflict, "source_gone", "the item that this one was cloned from is gone")
	// ErrNotPlatform is returned for work in the scope of Platform by an actor who does
	// not act for the platform.
	ErrNotPlatform error = fault.New(fault.Forbidden, "not_platform", "only the platform itself works on what it offers to every company")
)
