package bulk

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/stratakit/strata/internal/fault"
	"github.com/stratakit/strata/tenancy"
)

// RunID identifies a Run.
type RunID = tenancy.ID[Run]

// State is where a run is in its life.
type State string

// The states. The last three are final; of those only a failed run can be retried.
const (
	StateQueued     State = "queued"
	StateProcessing State = "processing"
	StatePaused     State = "paused"
	StateCompleted  State = "completed"
	StateFailed     State = "failed"
	StateCancelled  State = "cancelled"
)

// Final reports whether a run in this state has ended.
func (s State) Final() bool {
	return s == StateCompleted || s == StateFailed || s == StateCancelled
}

// Run is one piece of long work in a domain: what a Handler is given to work on, and
// what is known of it.
type Run struct {
	ID   RunID
	Kind string
	// Level says whose the run is: the domain's, or that of its workspace or company, which
	// has it worked on in one of its domains.
	Level       tenancy.Level
	CompanyID   tenancy.CompanyID
	WorkspaceID tenancy.WorkspaceID
	DomainID    tenancy.DomainID
	State       State

	// Args are those of the Submission, Cursor that of the last batch that committed;
	// nil before the first.
	Args   json.RawMessage
	Cursor json.RawMessage

	// Total is how much there is to do, 0 while that is not known.
	Total     int64
	Processed int64
	// Opened is how far the Open that goes on has come, beyond Processed.
	Opened   int64
	Counters map[string]int64
	// Rate is how much was processed in a second of work, as an average in which what is
	// older weighs less: 1/e of what it weighed 30 seconds of work before.
	Rate float64

	// Failures counts the attempts that failed since a batch last committed.
	Failures int
	// Error is what went wrong last. With ErrorCode "internal" it may speak of internals
	// and is for operators only; PublicError is for everybody.
	Error     string
	ErrorCode string

	// MaxPerSecond is how much may be processed in a second, 0 for no limit (Throttle). What
	// is beyond is waited for after a batch: a batch should be no larger than that.
	MaxPerSecond int

	// RequestedBy is the id of the actor that submitted it.
	RequestedBy string
	CreatedAt   time.Time
	StartedAt   *time.Time
	FinishedAt  *time.Time
	// Version grows with every change.
	Version int64

	opening *opening // nil but in the Run that Open gets
}

// PublicError is Error without what is nobody's business outside.
func (r Run) PublicError() string { return fault.Public(r.Error, r.ErrorCode) }

// Handler does the work of one kind of run. It is used by several runs at once.
type Handler interface {
	// Open prepares work that goes on where run.Cursor says. ctx has the tenant and the
	// actor that submitted the run. It may take long, and do all of the work as long as a
	// rollback need not undo it: the run stays ours while Open tells how far it is
	// (Run.Report) at least once in Config.Hang. ctx ends, within a second or so, when the
	// run is to be paused or cancelled; that is then done, whatever Open returns. It is called
	// again after every slice, every error and in every process that takes over: what it does
	// by itself must bear being done anew. A process that was frozen in it and has lost the run
	// goes on beside the one that took over, until ctx ends within a second or so; what it
	// returns is not used. A transaction of its own keeps its locks while it is frozen, unless
	// that has an idle_in_transaction_session_timeout.
	Open(ctx context.Context, run Run) (Work, error)
	// Finish runs inside the transaction that makes the state final: completed, failed
	// or cancelled, as run.State says. It can be called without Open, and for a cancelled
	// run by the process that was asked to cancel. What it does is undone when it
	// returns an error, and it is called again later. tx has the limit that Work.Batch
	// speaks of.
	Finish(ctx context.Context, tx *tenancy.Tx, run Run) error
}

// Work is an opened run. It is for one goroutine.
type Work interface {
	// Batch does the next part in tx, and nothing outside of it that a rollback would
	// not undo. After an error the Work is closed and the run opened anew at its cursor.
	// A batch of about a second is best: whoever asks to pause or cancel waits for it.
	// Within it tx must not be idle for as long as Config.Lease: PostgreSQL takes the
	// process for frozen then, ends the transaction, and the run may be taken over.
	Batch(ctx context.Context, tx *tenancy.Tx) (Batch, error)
	// Close releases what Open took.
	Close() error
}

// Batch is what one batch did.
type Batch struct {
	// Cursor is kept as JSON: where to go on after this batch. Nil: unchanged.
	Cursor any
	// Processed is how much this batch did.
	Processed int64
	// Total is how much there is to do in all. 0: unchanged.
	Total int64
	// Counters are added to those of the run.
	Counters map[string]int64
	// Done says that this was the last batch.
	Done bool
}

// active is the condition that a run has not ended.
const active = `state IN ('queued', 'processing', 'paused')`

// record is a row of strata.runs as the worker needs it.
type record struct {
	Run

	queue    string
	actor    tenancy.Actor
	batches  int
	cancel   bool
	pause    bool
	attempts int // how many there were, with the one that goes on
	token    uuid.UUID
}

const runColumns = `id, kind, level, company_id, workspace_id, domain_id, state, args, cursor, total, processed, opened, counters, rate, failures, error, error_code,
	requested_by, created_at, started_at, finished_at, version, queue, actor, batches, cancel_requested, pause_requested, attempts, max_per_second, lease`

func scanRecord(row pgx.CollectableRow) (*record, error) { return scanMore(row) }

// scanMore scans runColumns and what comes after them.
func scanMore(row pgx.CollectableRow, more ...any) (*record, error) {
	var r record
	var token *uuid.UUID
	err := row.Scan(append([]any{
		&r.ID, &r.Kind, (*levelText)(&r.Level), &r.CompanyID, &r.WorkspaceID, &r.DomainID, &r.State, &r.Args, &r.Cursor, &r.Total, &r.Processed, &r.Opened, &r.Counters, &r.Rate,
		&r.Failures, &r.Error, &r.ErrorCode, &r.RequestedBy, &r.CreatedAt, &r.StartedAt, &r.FinishedAt, &r.Version, &r.queue, &r.actor, &r.batches, &r.cancel, &r.pause, &r.attempts, &r.MaxPerSecond, &token,
	}, more...)...)
	if err != nil {
		return nil, err
	}
	if token != nil {
		r.token = *token
	}
	r.CreatedAt, r.StartedAt, r.FinishedAt = r.CreatedAt.UTC(), utc(r.StartedAt), utc(r.FinishedAt)
	return &r, nil
}

// levelText is a Level as the column level has it.
type levelText tenancy.Level

// ScanText reads the text that Level.String writes.
func (l *levelText) ScanText(v pgtype.Text) error {
	for level := tenancy.LevelCompany; level <= tenancy.LevelDomain; level++ {
		if v.Valid && level.String() == v.String {
			*l = levelText(level)
			return nil
		}
	}
	return fmt.Errorf("bulk: a run of the level %q", v.String)
}

func utc(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	u := t.UTC()
	return &u
}

// one reads the only row, or pgx.ErrNoRows.
func one(rows pgx.Rows, err error) (*record, error) {
	if err != nil {
		return nil, err
	}
	return pgx.CollectExactlyOneRow(rows, scanRecord)
}
