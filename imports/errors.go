package imports

import (
	"fmt"

	"github.com/stratakit/strata/internal/fault"
)

// The package's sentinel errors.
var (
	// ErrNotFound is returned for an import that is not in the domain of the context.
	ErrNotFound error = fault.New(fault.NotFound, "import_not_found", "import not found")
	// ErrMappingNotFound is returned for a saved mapping that is not in the workspace of the
	// context.
	ErrMappingNotFound error = fault.New(fault.NotFound, "mapping_not_found", "mapping not found")
	// ErrNotUploaded is returned by Process before the file has arrived.
	ErrNotUploaded error = fault.New(fault.Conflict, "not_uploaded", "the file has not been uploaded: PUT it to the upload URL first")
	// ErrTooLarge is returned for a file above Config.MaxFileSize.
	ErrTooLarge error = fault.New(fault.TooLarge, "file_too_large", "the file is too large")
	// ErrFileChanged is returned when the uploaded file is not the one that was announced
	// or processed.
	ErrFileChanged error = fault.New(fault.Conflict, "file_changed", "the uploaded file is not the one that was announced")
	// ErrSwept is returned for the file and the rows of an import that were deleted after
	// their time (Config.Keep).
	ErrSwept error = fault.New(fault.NotFound, "import_swept", "the file and its rows have been deleted after their time: upload it again")
	// ErrUndoExpired is returned by Undo when what the import changed is not kept any more
	// (Config.UndoFor).
	ErrUndoExpired error = fault.New(fault.Conflict, "undo_expired", "what the import changed is not kept any more, so that it cannot be undone")
	// ErrNotCorrectable is returned by Correct, and the error of its run, when too much has changed
	// since the import was committed, or too much time has passed.
	ErrNotCorrectable error = fault.New(fault.Conflict, "not_correctable", "the import cannot be corrected any more")
	// ErrFieldsChanged is returned by Commit when the workspace's custom fields have
	// changed since the rows were checked.
	ErrFieldsChanged error = fault.New(fault.Conflict, "fields_changed", "the custom fields have changed since the file was checked: process it again")
)

// StateError is returned for a call that the state of the import does not allow, such as
// committing twice.
type StateError struct {
	ID     ID
	Status Status
	Action string
}

// Error names the state.
func (e *StateError) Error() string {
	return fmt.Sprintf("an import that is %s cannot be %s", e.Status, e.Action)
}

// Kind is fault.Conflict.
func (e *StateError) Kind() fault.Kind { return fault.Conflict }

// Code is "wrong_state".
func (e *StateError) Code() string { return "wrong_state" }

// Details are the members an HTTP answer has beside code and message.
func (e *StateError) Details() map[string]any {
	return map[string]any{"jobId": e.ID, "status": e.Status}
}

// FileError says what keeps a whole file from being read, and what to do.
type FileError struct{ Reason, Message string }

// Error returns the message.
func (e *FileError) Error() string { return e.Message }

// Kind is fault.Invalid.
func (e *FileError) Kind() fault.Kind { return fault.Invalid }

// Code is the reason, such as "not_csv" or "no_email_column".
func (e *FileError) Code() string { return e.Reason }
