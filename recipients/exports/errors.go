package exports

import (
	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/internal/fault"
)

// The package's sentinel errors.
var (
	// ErrNotFound is returned for an export that is not in the domain of the context.
	ErrNotFound error = fault.New(fault.NotFound, "export_not_found", "export not found")
	// ErrExpired is returned for an export whose file has been deleted: after its time
	// (Config.Keep), or because the domain was moved.
	ErrExpired error = fault.New(fault.NotFound, "export_expired", "the file has been deleted after its time: export again")
	// ErrURL is returned for a URL that was not signed here, was changed or has expired, or
	// whose file is gone.
	ErrURL error = fault.New(fault.Forbidden, "download_url_invalid", "the URL is not valid or has expired: ask for a new one")
	// ErrNoBucket is returned for what is too large to be answered at once where there is
	// nowhere to keep files.
	ErrNoBucket error = fault.New(fault.TooLarge, "export_too_large", "too many recipients for one answer, and no store for files is configured: narrow the filter")
	// ErrStore is what went wrong with an export that the bucket did not take.
	ErrStore error = fault.New(fault.Unavailable, "file_store_unavailable", "the store for files does not take the export: try again later")
	// ErrTooSlow is what went wrong with an export that took longer than Config.Timeout.
	ErrTooSlow error = fault.New(fault.Unavailable, "export_timeout", "the export took too long: narrow the filter")
	// ErrMoved is what went wrong with an export that was tried again after its domain was
	// moved.
	ErrMoved error = fault.New(fault.Conflict, "domain_moved", "the domain was moved since: export again")
	// ErrTooManyRows is returned for more recipients than an XLSX sheet has rows.
	ErrTooManyRows error = fault.New(fault.Invalid, "too_many_rows", "a sheet of XLSX has room for 1,048,575 recipients: narrow the filter, or take csv or jsonl")
	// ErrLongCell is what went wrong with an export of a text that a cell of XLSX cannot hold.
	ErrLongCell error = fault.New(fault.Invalid, "cell_too_long", "a text has more than the 32,767 characters that a cell of XLSX holds: take csv or jsonl")
)

// permanent marks an error that trying again cannot help: one of a kind that a user can do
// something about.
func permanent(err error) error {
	if fault.Passing(err) {
		return err
	}
	return bulk.Permanent(err)
}
