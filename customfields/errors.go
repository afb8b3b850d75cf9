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
	ErrOptionInUse error = fault.New(fault.Conflict, "option_removed", "an option can be added, moved and archived, not left out: name it among archivedOptions, or remove it, which goes through the records")
	// ErrVersion is returned by Update when the field has changed since it was read.
	ErrVersion error = fault.New(fault.Conflict, "version_conflict", "the custom field has changed since it was read: read it again")
	// ErrChanging is returned for what cannot be done to a field while another change of it
	// goes through the records.
	ErrChanging error = fault.New(fault.Conflict, "field_changing", "the field is being changed: wait until that has ended, or cancel it")
	// ErrNotArchived is returned by Restore for a field that is in use.
	ErrNotArchived error = fault.New(fault.Conflict, "field_not_archived", "the field is not archived")
)
