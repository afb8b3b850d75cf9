package imports

import (
	"fmt"
	"strings"
	"time"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/tenancy"
)

// ID identifies an Import. It is also the id of the run (package bulk) that works on
// it, first to read the file and then to commit: one id to watch throughout.
type ID = tenancy.ID[Import]

// Status is where an import stands.
type Status string

// The statuses, in their order.
const (
	Pending    Status = "pending"    // waiting for the file
	Validating Status = "validating" // reading and checking it
	Previewed  Status = "preview"    // waiting for Commit
	Processing Status = "processing" // writing recipients
	Done       Status = "done"
	Failed     Status = "failed"
	Cancelled  Status = "cancelled"
	Undoing    Status = "undoing" // taking back what was written
	Undone     Status = "undone"
	Merged     Status = "merged" // a corrected report: its rows are those of the import that it corrects
)

// Import is one file on its way to becoming recipients.
type Import struct {
	ID       ID       `json:"jobId"`
	Status   Status   `json:"status"`
	FileName string   `json:"fileName"`
	Size     int64    `json:"size"`
	Conflict Conflict `json:"conflict,omitempty"`

	// SHA256 is the checksum of the file in hexadecimal, once it was read.
	SHA256 string `json:"sha256,omitempty"`

	// Corrects is the import that this one is the corrected error report of (Importer.Correct).
	Corrects ID `json:"corrects,omitzero"`
	// Round is how many commits of corrections there were, or are begun, after the first commit.
	Round int `json:"round,omitempty"`

	// Format is how the file is written, once it was looked at.
	Format *Format `json:"format,omitempty"`

	// Columns is the file's header, and Mapping what each column became; nil is ignored, or
	// split. The others are as in ProcessOptions: given to Process they say the same again.
	Columns   []string            `json:"columns,omitempty"`
	Mapping   map[string]*string  `json:"mapping,omitempty"`
	Join      map[string][]string `json:"join,omitempty"`
	Split     map[string][]string `json:"split,omitempty"`
	Constants map[string]string   `json:"constants,omitempty"`
	// Formats is how the columns with dates and numbers are read: each in one way throughout.
	Formats map[string]string `json:"formats,omitempty"`

	// CreatedFields are the keys of the custom fields that were made for the file.
	CreatedFields []string `json:"createdFields,omitempty"`
	// Suggestions are what columns were taken for, when no mapping was given, and what a person
	// should look at. Warnings are what deserves a look before the commit.
	Suggestions []Suggestion `json:"suggestions,omitempty"`
	Warnings    []Warning    `json:"warnings,omitempty"`

	// TotalRows counts the rows of the file, ProcessedRows those read or committed so far,
	// also when that failed or was cancelled.
	TotalRows     int64 `json:"totalRows"`
	ProcessedRows int64 `json:"processedRows"`

	// What the preview promised: of TotalRows so many are new, change a recipient, change
	// nothing, lose to a later row with the same address, or cannot be imported. In a later Round
	// New and Changed are rows that the next commit is for.
	New       int64 `json:"new"`
	Changed   int64 `json:"update"`
	Unchanged int64 `json:"unchanged"`
	Duplicate int64 `json:"duplicate"`
	Invalid   int64 `json:"invalid"`

	// What the commit did, or those of all rounds; the error report lists the rows that came out otherwise than
	// promised, because somebody changed recipients in between. TotalRows = Inserted + Updated + Unchanged + Duplicate + Invalid + Skipped
	// once it is done.
	Inserted int64 `json:"inserted"`
	Updated  int64 `json:"updated"`
	Skipped  int64 `json:"skipped"` // the recipient changed since the preview so that there was nothing to do

	// What Undo did: of Inserted + Updated so many were taken back, or left alone because the
	// recipient was edited since. UndoUntil is how long it can be undone; nil is not at all.
	Reverted  int64      `json:"reverted"`
	Kept      int64      `json:"kept"`
	UndoUntil *time.Time `json:"undoUntil"`

	Error     string    `json:"error"`
	CreatedAt time.Time `json:"createdAt"`
	UpdatedAt time.Time `json:"updatedAt"`
}

// Format is how a file is written, as it was found by looking or asked for.
type Format struct {
	Kind        string   `json:"kind"`                  // "csv" or "xlsx"
	Encoding    string   `json:"encoding,omitempty"`    // of CSV, such as "utf-8" or "windows-1252"
	Delimiter   string   `json:"delimiter,omitempty"`   // of CSV
	Compression string   `json:"compression,omitempty"` // of CSV: "gzip" or "zip"
	Sheet       string   `json:"sheet,omitempty"`       // of a workbook, the one that is read
	Sheets      []string `json:"sheets,omitempty"`      // of a workbook, all that have rows and columns
	HeaderRow   int      `json:"headerRow"`             // the first row is 1
}

// Warning is something that is not wrong, and may not be what was meant.
type Warning struct {
	Code    string `json:"code"`
	Column  string `json:"column,omitempty"`
	Message string `json:"message"`
}

// Preview is what a commit would do.
type Preview struct {
	Import
	ValidRows    int64        `json:"validRows"`
	ErrorRows    int64        `json:"errorRows"`
	SampleData   []SampleRow  `json:"sampleData"`
	SampleErrors []SampleRow  `json:"sampleErrors"`
	Limit        *LimitBudget `json:"limit"` // nil once it is committed or cancelled
	// EstimatedSeconds is about how long a commit takes, by how long it took to read and check
	// the file. 0 once it is committed or cancelled.
	EstimatedSeconds int64 `json:"estimatedSeconds"`
}

// SampleRow is a row of the file with its verdict.
type SampleRow struct {
	Row         int            `json:"row"`
	Verdict     string         `json:"verdict"`
	Data        map[string]any `json:"data,omitempty"`
	Errors      []RowError     `json:"errors,omitempty"`
	DuplicateOf int            `json:"duplicateOf,omitempty"`
}

// RowError is something that is wrong with a row.
type RowError struct {
	// Column is the column of the file; several with a plus between for what is joined, and
	// empty for what the row as a whole is.
	Column string `json:"column,omitempty"`
	tenancy.FieldError
}

// LimitBudget is what the commit costs of the plan. A nil Limit is no limit.
type LimitBudget struct {
	Resource string `json:"resource"`
	Existing int64  `json:"existing"`
	Incoming int64  `json:"incoming"`
	Limit    *int64 `json:"limit"`
	// Over is how much of the sum is beyond the limit: a commit is refused unless it is 0.
	Over int64 `json:"over"`
}

// plan is everything decided when processing starts; it is kept with the import, so
// that the work can go on in another process.
type plan struct {
	Format format `json:"format"`
	// Targets are what the columns are: "email", "name", "status", "fields.<key>",
	// "<extension>.<column>", "" for ignored; and after them what More is.
	Targets []string `json:"targets"`
	Slots   []string `json:"slots"` // by target: where a field's values were to be stored when the file was checked
	// Notations are, by target, how its column is written; "" for what is written in one way only.
	Notations []string `json:"notations,omitempty"`
	// Rivals are, by target, other notations that the sample could have been written in, and that
	// read none of it otherwise: what they read otherwise after it is an error.
	Rivals   [][]string       `json:"rivals,omitempty"`
	Join     map[string][]int `json:"join,omitempty"` // columns that are one target together, in order
	More     []more           `json:"more,omitempty"`
	Conflict Conflict         `json:"conflict"`
	// Definitions are those of the custom fields that the rows were checked by.
	Definitions []definition `json:"definitions"`
	// Defaults are the custom fields that a new recipient has when its row says nothing of them.
	Defaults    map[string]any `json:"defaults,omitempty"`
	Suggestions []Suggestion   `json:"suggestions,omitempty"`
	Warnings    []Warning      `json:"warnings,omitempty"`
	Created     []string       `json:"created,omitempty"` // keys of fields
	Facts       facts          `json:"facts,omitzero"`
	// Report says where a corrected report has the columns of the file that the rest is about.
	Report *reportColumns `json:"report,omitempty"`
}

// slotsOf returns plan.Slots for its targets.
func slotsOf(targets []string, set *customfields.Set) ([]string, error) {
	slots := make([]string, len(targets))
	for i, t := range targets {
		key, isField := strings.CutPrefix(t, fieldPrefix)
		f := set.Field(key)
		switch {
		case !isField || f == nil:
		case f.Transition != nil: // rows are prepared for one place, and written later
			return nil, fmt.Errorf("field %s, run %s: %w", key, f.Transition.RunID, customfields.ErrChanging)
		default:
			slots[i] = f.Slot
		}
	}
	return slots, nil
}

// values returns the staged values of fields and extensions by the columns of the file.
func (p plan) values(staged map[string]any, products enrollments) []any {
	out := make([]any, len(p.Targets))
	for i, t := range p.Targets {
		key, isField := strings.CutPrefix(t, fieldPrefix)
		extension, column, isProduct := cutTarget(t)
		switch {
		case isProduct:
			out[i] = products[extension][column]
		case !isField:
		case i < len(p.Slots):
			out[i] = staged[p.Slots[i]]
		default: // checked by a library without slots
			out[i] = staged[key]
		}
	}
	return out
}
