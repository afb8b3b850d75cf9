package customfields

import "github.com/stratakit/strata/internal/fault"

// The package's sentinel errors.
var (
	// ErrNotFound is returned for a field the workspace does not have.
	ErrNotFound error = fault.New(fault.NotFound, "custom_field_not_found", "custom field not found")
	// ErrKeyTaken is returned by Create for a key the workspace uses or has archived.
	ErrKeyTaken error = fault.New(fault.Conflict, "key_taken", "the workspace already has a custom field with this key, perhaps archived")
	// ErrOptionInUse is returned by Update for options that leave out one there was:
	// values of records would become invalid.
	ErrOptionInUse error = fault.New(fault.Conflict, "option_removed", "an option can be added, moved and archived, not left out: name it among archivedOptions")
	// ErrVersion is returned by Update when the field has changed since it was read.
	ErrVersion error = fault.New(fault.Conflict, "version_conflict", "the custom field has changed since it was read: read it again")
)
