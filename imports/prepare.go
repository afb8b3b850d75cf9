package imports

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/tenancy"
)

// ProcessOptions say how to read a file. The zero value finds out by itself.
type ProcessOptions struct {
	// Mapping says what each column is: "email", "name", "status", "fields.<key>", or nil
	// to ignore it. Without a Mapping the columns are recognised by their names.
	Mapping map[string]*string
	// Delimiter is one of , ; | and tab. Empty: found by looking.
	Delimiter string
	// Encoding is the label of the encoding of a CSV file (WHATWG Encoding Standard, IANA),
	// such as "windows-1252". Empty: found by looking.
	Encoding string
	// Sheet is the name of the sheet of a workbook. Empty: the first that is not hidden and
	// has rows.
	Sheet string
	// HeaderRow is the row with the names of the columns, the first being 1 and rows before it
	// being passed over. 0: found by looking.
	HeaderRow int
	// Conflict is what happens to a recipient that is already there. Default Update.
	Conflict Conflict
}

// Process reads and checks the uploaded file in a run, up to the preview. What is wrong
// with the file as a whole is returned at once as a *FileError or a
// *tenancy.ValidationError; what is wrong with a row is part of the preview. It may be
// called again, with other options, until Commit. Errors also: ErrNotFound,
// ErrNotUploaded, ErrFileChanged, ErrTooLarge, ErrSwept, *StateError.
func (im *Importer) Process(ctx context.Context, id ID, o ProcessOptions) (Import, error) {
	imp, s, err := im.read(ctx, id)
	if err != nil {
		return imp, err
	}
	if !mayProcess(imp) {
		return imp, &StateError{id, imp.Status, "processed"}
	}
	attrs, err := im.attributes(ctx, s.objectKey)
	switch {
	case err != nil:
		return imp, err
	case imp.Size > 0 && attrs.Size != imp.Size:
		return imp, fmt.Errorf("%w: %d bytes were announced, %d were uploaded", ErrFileChanged, imp.Size, attrs.Size)
	case attrs.Size > im.cfg.MaxFileSize:
		return imp, tooLarge(attrs.Size, im.cfg.MaxFileSize)
	}
	set, err := im.fields.Current(ctx)
	if err != nil {
		return imp, err
	}
	p, err := im.plan(ctx, s.objectKey, attrs.Size, o, set)
	if err != nil {
		return imp, err
	}
	rawPlan, err := json.Marshal(p)
	if err != nil {
		return imp, err
	}
	err = im.db.InTx(ctx, func(tx *tenancy.Tx) error {
		now, _, err := lock(ctx, tx, id)
		if err != nil {
			return err
		}
		if !mayProcess(now) {
			return &StateError{id, now.Status, "processed"}
		}
		rows, err := tx.Query(ctx, tx.SQL(`UPDATE strata.imports SET status = 'validating', plan = $3, fields_version = $4, etag = $5, size = $6, error = '', updated_at = now(),
				total = 0, new = 0, changed = 0, unchanged = 0, duplicate = 0, invalid = 0, inserted = 0, updated = 0, skipped = 0, processed = NULL, reservation_id = NULL, committed_at = NULL
			WHERE domain_id = $1 AND id = $2 RETURNING `+importColumns), tx.Tenant().DomainID, id, rawPlan, set.Version, attrs.ETag, attrs.Size)
		if imp, _, err = one(rows, err); err != nil {
			return err
		}
		args := processArgs{Clear: now.Status != Pending}
		if _, err := im.runner.SubmitTx(ctx, tx, bulk.Submission{Kind: KindProcess, ID: bulk.RunID(id), Args: args}); err != nil {
			return err
		}
		return im.record(ctx, tx, "import.processed", id, map[string]any{"conflict": p.Conflict, "bytes": attrs.Size})
	})
	return imp, err
}

// mayProcess says whether there is nothing yet that processing would undo.
func mayProcess(i Import) bool {
	return i.Status == Pending || i.Status == Previewed || i.Status == Failed && i.Inserted+i.Updated == 0
}

// plan looks at the beginning of the file and decides how it will be read.
func (im *Importer) plan(ctx context.Context, objectKey string, size int64, o ProcessOptions, set *customfields.Set) (plan, error) {
	switch o.Conflict {
	case "":
		o.Conflict = Update
	case Update, Skip, FillEmpty:
	default:
		v := &tenancy.ValidationError{}
		v.Add("options.conflict", "unknown_policy", "must be update, skip or fill_empty")
		return plan{}, v
	}
	f, err := im.source(ctx, objectKey, size, sniffBytes+1).begin(o, im.cfg.MaxFileSize)
	if err != nil {
		return plan{}, err
	}
	var targets []string
	if o.Mapping != nil {
		targets, err = parseMapping(f.Header, o.Mapping, set)
	} else {
		targets, err = suggestTargets(f.Header, set)
	}
	if err != nil {
		return plan{}, err
	}
	slots, err := slotsOf(targets, set)
	if err != nil {
		return plan{}, err
	}
	return plan{Format: f, Targets: targets, Slots: slots, Conflict: o.Conflict, Defaults: set.Defaults()}, checkRequired(targets, set)
}
