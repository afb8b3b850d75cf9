package imports

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"gocloud.dev/blob"

	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/tenancy"
)

// ProcessOptions say how to read a file. The zero value finds out by itself.
type ProcessOptions struct {
	// Mapping says what each column is: "email", "name", "status", "fields.<key>", a column of an
	// extension of recipients by its name in JSON, such as "sms.phone", or nil to ignore it. A row
	// with such a column enrolls its recipient in the product, or changes what it names of what the
	// product has of them: either way it must be complete by itself, as a new enrollment is. One
	// whose cells for an extension are all empty does neither. Without a Mapping columns are what
	// they were in the last file with these columns that the workspace has committed, and otherwise
	// recognised by their names and values.
	Mapping map[string]*string
	// Formats says how columns with dates or numbers are written, such as "DD/MM/YYYY" or
	// "1.234,56"; a date may have a time after it. Default: found by looking at the first rows,
	// once for a column. What they leave open although a cell could be read in two ways is a
	// warning, and is then read as DD/MM/YYYY, or with a decimal point; such a cell after them
	// is an error of its row.
	Formats map[string]string
	// Join says which columns make one name or text together, by its target, in this order
	// and with a space between.
	Join map[string][]string
	// Split says what the words of a column become, by the column: each target gets one, and
	// the last all that are left.
	Split map[string][]string
	// Constants are values that all rows have, by their targets, written as in a cell.
	Constants map[string]string
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
	// CreateFields makes custom fields of columns for which there is none: of those that the
	// Mapping maps to a fields.<key> that does not exist, and without a Mapping of all that
	// nothing is known of. Their type is that of all values of the first rows, and text when in
	// doubt. They are made before the file is read, all or none, and stay when nothing is
	// committed. Errors then also: *billing.LimitError, customfields.ErrKeyTaken.
	CreateFields bool
	// Conflict is what happens to a recipient that is already there. Default Update.
	Conflict Conflict
}

// Process reads and checks the uploaded file in a run, up to the preview. What is wrong
// with the file as a whole is returned at once as a *FileError or a
// *tenancy.ValidationError; what is wrong with a row is part of the preview. It may be
// called again, with other options, until Commit; what reports have corrected (Correct) is forgotten
// then. Errors also: ErrNotFound,
// ErrNotUploaded, ErrFileChanged, ErrTooLarge, ErrSwept, *StateError.
func (im *Importer) Process(ctx context.Context, id ID, o ProcessOptions) (Import, error) {
	imp, s, err := im.read(ctx, id)
	if err != nil {
		return imp, err
	}
	if !mayProcess(imp) {
		return imp, &StateError{id, imp.Status, "processed"}
	}
	attrs, err := im.uploaded(ctx, imp, s)
	if err != nil {
		return imp, err
	}
	set, err := im.fields.Current(ctx)
	if err != nil {
		return imp, err
	}
	p, set, err := im.plan(ctx, s.objectKey, attrs.Size, o, set)
	if err != nil {
		return imp, err
	}
	p.Created = append(s.plan.Created, p.Created...)
	return im.begin(ctx, id, p, set.Version, attrs, ID{})
}

// uploaded looks at the file of an import that is to be read.
func (im *Importer) uploaded(ctx context.Context, imp Import, s stored) (*blob.Attributes, error) {
	attrs, err := im.attributes(ctx, s.objectKey)
	switch {
	case err != nil:
		return nil, err
	case imp.Size > 0 && attrs.Size != imp.Size:
		return nil, fmt.Errorf("%w: %d bytes were announced, %d were uploaded", ErrFileChanged, imp.Size, attrs.Size)
	case attrs.Size > im.cfg.MaxFileSize:
		return nil, tooLarge(attrs.Size, im.cfg.MaxFileSize)
	}
	return attrs, nil
}

// begin submits the run that reads a file by a plan, made with the fields of a version: as the
// report of the import that it corrects, unless that is the zero ID.
func (im *Importer) begin(ctx context.Context, id ID, p plan, version int64, attrs *blob.Attributes, corrects ID) (imp Import, err error) {
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
				total = 0, new = 0, changed = 0, unchanged = 0, duplicate = 0, invalid = 0, inserted = 0, updated = 0, skipped = 0, processed = NULL, reservation_id = NULL, committed_at = NULL, corrects = $7, round = 0, sha256 = NULL
			WHERE domain_id = $1 AND id = $2 RETURNING `+importColumns), tx.Tenant().DomainID, id, rawPlan, version, attrs.ETag, attrs.Size, corrects)
		if imp, _, err = one(rows, err); err != nil {
			return err
		}
		args := processArgs{Clear: now.Status != Pending}
		if _, err := im.runner.SubmitTx(ctx, tx, bulk.Submission{Kind: KindProcess, ID: bulk.RunID(id), Args: args}); err != nil {
			return err
		}
		about := map[string]any{"conflict": p.Conflict, "bytes": attrs.Size}
		if !corrects.IsZero() {
			about["corrects"] = corrects
		}
		return im.record(ctx, tx, "import.processed", id, about)
	})
	return imp, err
}

// mayProcess says whether there is nothing yet that processing would undo.
func mayProcess(i Import) bool {
	return i.Status == Pending || (i.Status == Previewed || i.Status == Failed) && i.Inserted+i.Updated == 0
}

// plan looks at the beginning of the file and decides how it will be read, with the fields there
// are then.
func (im *Importer) plan(ctx context.Context, objectKey string, size int64, o ProcessOptions, set *customfields.Set) (plan, *customfields.Set, error) {
	switch o.Conflict {
	case "":
		o.Conflict = Update
	case Update, Skip, FillEmpty:
	default:
		v := &tenancy.ValidationError{}
		v.Add("options.conflict", "unknown_policy", "must be update, skip or fill_empty")
		return plan{}, nil, v
	}
	begun, err := im.source(ctx, objectKey, size, sniffBytes+1).begin(o, im.cfg.MaxFileSize)
	if err != nil {
		return plan{}, nil, err
	}
	f, sample, whole := begun.format, begun.sample, begun.whole
	of, err := im.products(ctx, o)
	if err != nil {
		return plan{}, nil, err
	}
	var saved *Decided
	if o.Mapping == nil {
		if saved, err = im.remembered(ctx, f.Header); err != nil {
			return plan{}, nil, err
		}
	}
	var created []string
	if o.CreateFields {
		if set, created, err = im.withFields(ctx, f, sample, whole, o, saved, set, of); err != nil {
			return plan{}, nil, err
		}
	}
	p, err := decide(f, sample, o, saved, set, of)
	if err == nil {
		err = checkEnrolledConstants(ctx, p, set, of)
	}
	p.Created = created
	return p, set, err
}

// decide makes the plan for a file of a format, that begins with the rows of sample.
func decide(f format, sample [][]string, o ProcessOptions, saved *Decided, set *customfields.Set, of products) (p plan, err error) {
	p = plan{Format: f, Conflict: o.Conflict, Definitions: definitionsOf(set), Defaults: set.Defaults()}
	c := newColumns(f.Header, set, of)
	if p.Suggestions, err = c.decide(o, sample, saved); err != nil {
		return plan{}, err
	}
	c.plan(&p, o.Formats, sample)
	if len(c.wrong.Fields) == 0 {
		c.checkRequired()
	}
	if err := c.wrong.OrNil(); err != nil {
		return plan{}, err
	}
	p.Warnings = append(p.Warnings, c.warn(p.Suggestions)...)
	if p.Slots, err = slotsOf(p.Targets, set); err != nil {
		return plan{}, err
	}
	return p, checkConstants(p, set, of)
}

// decide gives the columns their targets: as o says, and otherwise by their names and values.
func (c *columns) decide(o ProcessOptions, sample [][]string, saved *Decided) ([]Suggestion, error) {
	if c.given(o); o.Mapping != nil {
		c.mapped(o.Mapping)
	} else if len(c.wrong.Fields) == 0 {
		return c.guess(sample, saved, o.CreateFields)
	}
	return nil, nil
}

// withFields creates the fields that the file needs beside those of set, once it is known that
// with them it can be read, and returns all of them and the new keys. A process that dies before
// the import goes on has made fields that nothing is in, and that the next call finds.
func (im *Importer) withFields(ctx context.Context, f format, sample [][]string, whole bool, o ProcessOptions, saved *Decided, set *customfields.Set, of products) (*customfields.Set, []string, error) {
	c := newColumns(f.Header, set, of)
	suggestions, err := c.decide(o, sample, saved)
	if err != nil {
		return nil, nil, err
	}
	fields := c.invent(o, suggestions, sample, whole)
	if len(fields) == 0 {
		return set, nil, nil
	}
	with, err := customfields.NewSet(set.Version, slices.Concat(set.Fields, fields))
	if err != nil {
		return nil, nil, err
	}
	if _, err := decide(f, sample, o, saved, with, of); err != nil {
		return nil, nil, err
	}
	if err := im.createFields(ctx, fields); err != nil {
		return nil, nil, err
	}
	keys := make([]string, len(fields))
	for i, f := range fields {
		keys[i] = f.Key
	}
	set, err = im.fields.Current(ctx)
	return set, keys, err
}
