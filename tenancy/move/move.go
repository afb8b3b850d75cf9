package move

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/internal/fault"
	"github.com/stratakit/strata/tenancy"
)

// ID identifies a Move.
type ID = tenancy.ID[Move]

// State is where a move is in its life.
type State string

// The states. Until a move is done, cancelled or failed a process works on it, and in each
// state but the first two of these the domain takes no writes.
const (
	Done       State = "done"
	Cancelled  State = "cancelled"
	Preparing  State = "preparing"  // waiting for the last writers
	Copying    State = "copying"    // rewriting rows
	Flipping   State = "flipping"   // the domain goes over
	Cancelling State = "cancelling" // rewriting rows back
	Failed     State = "failed"     // waiting for Retry or Cancel
)

// Final reports whether a move in this state has ended and the domain takes writes again.
func (s State) Final() bool { return s == Done || s == Cancelled }

// Place is a workspace and its company.
type Place struct {
	CompanyID   tenancy.CompanyID   `json:"companyId"`
	WorkspaceID tenancy.WorkspaceID `json:"workspaceId"`
}

// Move is one move of a domain.
type Move struct {
	ID       ID               `json:"jobId"`
	State    State            `json:"status"`
	DomainID tenancy.DomainID `json:"domainId"`
	From     Place            `json:"from"`
	To       Place            `json:"to"`

	// Tables says how far it is with the rows of each table; while it is being cancelled,
	// with their way back.
	Tables []TableProgress `json:"tables"`
	// Findings are the warnings that there were when it started.
	Findings []Finding `json:"findings"`

	// Error says why it failed, was cancelled by itself, or is being tried again. With
	// ErrorCode "internal" it may speak of internals and is for operators only.
	Error     string `json:"-"`
	ErrorCode string `json:"-"`

	RequestedBy string     `json:"requestedBy"`
	CreatedAt   time.Time  `json:"createdAt"`
	UpdatedAt   time.Time  `json:"updatedAt"`
	FinishedAt  *time.Time `json:"finishedAt"`

	fromPlan, toPlan string // of the companies, as readPlans found them
}

// TableProgress is how far a move is with one table.
type TableProgress struct {
	Schema  string `json:"schema"`
	Table   string `json:"table"`
	Product string `json:"product"`
	// Rows is how many rows of the domain it has, Estimated that this is a guess.
	Rows      int64 `json:"rows"`
	Estimated bool  `json:"estimated,omitempty"`
	// Rewritten is how many of them name their new place by now.
	Rewritten int64 `json:"rewritten"`
	Done      bool  `json:"done"`
}

// PublicError is Error without what is nobody's business outside.
func (m Move) PublicError() string { return fault.Public(m.Error, m.ErrorCode) }

// Rows returns how many rows there are to rewrite, and how many are.
func (m Move) Rows() (rewritten, total int64) {
	for _, t := range m.Tables {
		rewritten, total = rewritten+t.Rewritten, total+t.Rows
	}
	return rewritten, max(rewritten, total)
}

// CrossCompany reports whether the domain changes its company.
func (m Move) CrossCompany() bool { return m.From.CompanyID != m.To.CompanyID }

// Source is the domain where it comes from. What a Participant is given knows the plans of
// both companies.
func (m Move) Source() tenancy.Tenant {
	return tenancy.Tenant{CompanyID: m.From.CompanyID, WorkspaceID: m.From.WorkspaceID, DomainID: m.DomainID, Plan: m.fromPlan}
}

// Target is the workspace that it goes to.
func (m Move) Target() tenancy.Tenant {
	return tenancy.Tenant{CompanyID: m.To.CompanyID, WorkspaceID: m.To.WorkspaceID, Plan: m.toPlan}
}

// company is the scope of what is not the domain's own: the row of the move, the domain's.
func (m Move) company() tenancy.Tenant { return tenancy.Tenant{CompanyID: m.From.CompanyID} }

// Severity says what a Finding means for a move.
type Severity string

// The severities.
const (
	Block Severity = "block" // it cannot start
	Warn  Severity = "warn"  // whoever starts it should know
)

// Finding is something that a move would meet or change.
type Finding struct {
	// Kind is a stable machine word, such as "custom_field_type".
	Kind     string   `json:"kind"`
	Severity Severity `json:"severity"`
	// Subject names what it is about, such as the key of a field.
	Subject string `json:"subject,omitempty"`
	Message string `json:"message"`
	// Cause is the error that a blocking finding stands for, such as a plan's limit, when it
	// is one.
	Cause error `json:"-"`
}

// Participant is a package that has a say in moves: one that keeps something of a domain
// outside of the rows that carry the domain's id, or counts them.
type Participant interface {
	// PreviewMove says what would keep m from being done, and what it would change. ctx has
	// the tenant of m.Source; what is asked of the target is asked with m.Target. It is
	// called before a move starts, and once more when the last writer is gone.
	PreviewMove(ctx context.Context, m Move) ([]Finding, error)
	// DomainMoved does the participant's part in the transaction in which the domain goes
	// over, when all rows have been rewritten. ctx and tx are in the scope of m.Source; the
	// target's is reached by tx.As(ctx, m.Target(), ...). After an error with a kind, such
	// as a plan's limit, nothing is done and the move has failed; another error is tried
	// again first.
	DomainMoved(ctx context.Context, tx *tenancy.Tx, m Move) error
}

// record is a row of strata.moves as the worker needs it.
type record struct {
	Move

	progress []progress
	actor    tenancy.Actor
	token    uuid.UUID
	failedIn State // when it has
	failures int
}

// progress is TableProgress with the place in the table: the last key that was rewritten.
type progress struct {
	TableProgress

	Cursor []string `json:"cursor,omitempty"`
}

const moveColumns = `id, state, domain_id, company_id, workspace_id, to_company_id, to_workspace_id, tables, findings, error, error_code,
	actor, failures, failed_in, lease, created_at, updated_at, finished_at`

func scanRecord(row pgx.CollectableRow) (*record, error) {
	var r record
	var token *uuid.UUID
	err := row.Scan(&r.ID, &r.State, &r.DomainID, &r.From.CompanyID, &r.From.WorkspaceID, &r.To.CompanyID, &r.To.WorkspaceID,
		&r.progress, &r.Findings, &r.Error, &r.ErrorCode, &r.actor, &r.failures, &r.failedIn, &token, &r.CreatedAt, &r.UpdatedAt, &r.FinishedAt)
	if err != nil {
		return nil, err
	}
	if token != nil {
		r.token = *token
	}
	r.RequestedBy = r.actor.ID
	r.CreatedAt, r.UpdatedAt = r.CreatedAt.UTC(), r.UpdatedAt.UTC()
	r.Tables = make([]TableProgress, len(r.progress))
	for i, p := range r.progress {
		r.Tables[i] = p.TableProgress
	}
	return &r, nil
}

func one(rows pgx.Rows, err error) (*record, error) {
	if err != nil {
		return nil, err
	}
	return pgx.CollectExactlyOneRow(rows, scanRecord)
}
