package lifecycle

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/internal/fault"
	"github.com/stratakit/strata/tenancy"
)

// RunID identifies a Run.
type RunID = tenancy.ID[Run]

// State is where a run is in its life.
type State string

// The states. Done and Cancelled are final; Failed waits for Retry or Cancel.
const (
	Running    State = "running"
	Cancelling State = "cancelling"
	Failed     State = "failed"
	Done       State = "done"
	Cancelled  State = "cancelled"
)

// Final reports whether a run in this state has ended.
func (s State) Final() bool { return s == Done || s == Cancelled }

// Step is what a run does next: see the package documentation.
type Step string

// The steps, in their order.
const (
	Wait  Step = "wait"
	Fill  Step = "fill"
	Flip  Step = "flip"
	Drain Step = "drain"
	Clean Step = "clean"
	End   Step = "end"
)

// next is the step after s.
func (s Step) next(kind customfields.Kind, state State) Step {
	switch {
	case s == Wait && kind == customfields.KindConvert && state == Running:
		return Fill
	case s == Wait || s == Drain:
		return Clean
	case s == Fill:
		return Flip
	case s == Flip:
		return Drain
	}
	return End
}

// Run is a change of a field that goes through the records of a workspace.
type Run struct {
	ID      RunID             `json:"id"`
	Kind    customfields.Kind `json:"kind"`
	FieldID customfields.ID   `json:"fieldId"`
	Key     string            `json:"key"` // as it was when the run began
	State   State             `json:"status"`
	Step    Step              `json:"step"`

	Spec

	// Total is how many values there were when it began, where that was counted.
	Total int64 `json:"total"`
	// Processed is how many records the step has gone through, Changed how many it has
	// changed, and Lost how many values it could not convert. When the run is done they are
	// those of the last step, Clean, which goes through all of them.
	Processed int64 `json:"processed"`
	Changed   int64 `json:"changed"`
	Lost      int64 `json:"lost"`

	// Error says why it failed, or is being tried again. With ErrorCode "internal" it may
	// speak of internals and is for operators only; PublicError is for everybody.
	Error     string `json:"-"`
	ErrorCode string `json:"-"`

	RequestedBy string     `json:"requestedBy"`
	CreatedAt   time.Time  `json:"createdAt"`
	UpdatedAt   time.Time  `json:"updatedAt"`
	FinishedAt  *time.Time `json:"finishedAt"`
}

// Spec is what was asked for.
type Spec struct {
	// From and To are the types of a conversion, and AcceptLoss how many values may be lost.
	From       customfields.Type `json:"from,omitempty"`
	To         customfields.Type `json:"to,omitempty"`
	AcceptLoss int64             `json:"acceptLoss,omitempty"`
	// Option and Replacement are those of the removal of an option.
	Option      string `json:"option,omitempty"`
	Replacement string `json:"replacement,omitempty"`
}

// PublicError is Error without what is nobody's business outside.
func (r Run) PublicError() string { return fault.Public(r.Error, r.ErrorCode) }

// cursor is where in its step a run is.
type cursor struct {
	// Settled is set once the wait for processes is over; Writers are the transactions that
	// are waited for then.
	Settled bool     `json:"settled,omitempty"`
	Waiting bool     `json:"waiting,omitempty"`
	Writers []string `json:"writers,omitempty"`

	// Table and Domain are those of the next batch, and After the id before it.
	Table  string           `json:"table,omitempty"`
	Domain tenancy.DomainID `json:"domain,omitzero"`
	After  recordID         `json:"after,omitzero"`
	// Rows is how many records the next batch looks at.
	Rows int `json:"rows,omitempty"`
}

// recordID is the id of a record in any table.
type recordID = tenancy.ID[record]

// record is a row of strata.custom_field_runs as the worker needs it.
type record struct {
	Run

	failedIn State
	cursor   cursor
	failures int
}

const runColumns = `id, kind, field_id, field_key, state, step, spec, total, processed, changed, lost, error, error_code, actor, created_at, updated_at, finished_at, failed_in, cursor, failures`

func scanRecord(row pgx.CollectableRow) (r record, err error) {
	var actor tenancy.Actor
	err = row.Scan(&r.ID, &r.Kind, &r.FieldID, &r.Key, &r.State, &r.Step, &r.Spec, &r.Total, &r.Processed, &r.Changed, &r.Lost, &r.Error, &r.ErrorCode,
		&actor, &r.CreatedAt, &r.UpdatedAt, &r.FinishedAt, &r.failedIn, &r.cursor, &r.failures)
	r.RequestedBy = actor.ID
	r.CreatedAt, r.UpdatedAt = r.CreatedAt.UTC(), r.UpdatedAt.UTC()
	return r, err
}

func one(rows pgx.Rows, err error) (record, error) {
	if err != nil {
		return record{}, err
	}
	r, err := pgx.CollectExactlyOneRow(rows, scanRecord)
	if errors.Is(err, pgx.ErrNoRows) {
		return r, ErrRunNotFound
	}
	return r, err
}

// Run returns a run of the workspace. Errors: ErrRunNotFound.
func (m *Manager) Run(ctx context.Context, id RunID) (Run, error) {
	t, err := tenancy.WorkspaceFrom(ctx)
	if err != nil {
		return Run{}, err
	}
	var r record
	err = m.db.Read(ctx, `SELECT `+runColumns+` FROM strata.custom_field_runs WHERE workspace_id = $1 AND id = $2`, []any{t.WorkspaceID, id}, func(rows pgx.Rows) (err error) {
		r, err = one(rows, nil)
		return err
	})
	return r.Run, err
}
