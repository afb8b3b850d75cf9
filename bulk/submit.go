package bulk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/tenancy"
)

// Submission asks for a run.
type Submission struct {
	// Kind is one that a handler is registered for where the queue is worked on.
	Kind string
	// Args are kept as JSON for the handler. Nil is {}.
	Args any
	// Total is how much there is to do, 0 when that is not known yet.
	Total int64
	// DedupKey keeps a second active run of the same kind and key out of the domain.
	// Empty: as many as you like. Only a run of a domain may have one.
	DedupKey string
	// Level says whose the run is: LevelWorkspace or LevelCompany for work of what is above
	// the domain, that has to be done in one of its domains. Such a run is not there for who
	// has the tenant of the domain; it is found, watched, paused and cancelled with a tenant
	// of its own level, and its audit trail is at that level. It ends when the domain is
	// deleted, and once it has ended it is forgotten when the domain moves. Zero: LevelDomain.
	Level tenancy.Level
	// MaxPerSecond is how much of it may be processed in a second (Runner.Throttle). 0: no
	// limit.
	MaxPerSecond int
	// ID becomes the run's. Zero: a new one. The id of a run that has ended may be used
	// again: the run starts over as what is submitted now, so that work in several phases
	// has one id to watch; its ledger goes on.
	ID RunID
}

// SubmitTx writes a run in the domain and for the actor of ctx; it starts when tx
// commits. It returns an *AlreadyRunningError, and tx goes on unharmed, when an active
// run has the same dedup key or the same ID.
func (r *Runner) SubmitTx(ctx context.Context, tx *tenancy.Tx, s Submission) (Run, error) {
	t := tx.Tenant()
	if t.Level() < tenancy.LevelDomain {
		return Run{}, &tenancy.LevelError{Want: tenancy.LevelDomain, Have: t.Level()}
	}
	if s.Kind == "" || s.Total < 0 {
		return Run{}, errors.New("bulk: submit: a run needs a kind and a total that is not negative")
	}
	if s.Level == tenancy.LevelNone {
		s.Level = tenancy.LevelDomain
	}
	if s.Level != tenancy.LevelDomain && s.DedupKey != "" {
		return Run{}, fmt.Errorf("bulk: submit: a run of a %s cannot have a DedupKey: that is one of the domain's", s.Level)
	}
	if err := checkThrottle(s.MaxPerSecond); err != nil {
		return Run{}, err
	}
	if s.ID.IsZero() {
		s.ID = tenancy.NewID[Run]()
	}
	if s.Args == nil {
		s.Args = struct{}{}
	}
	args, err := json.Marshal(s.Args)
	if err != nil {
		return Run{}, fmt.Errorf("bulk: submit: args: %w", err)
	}
	// A run that ends between two of these statements makes room: try again.
	for range 3 {
		run, err := r.restart(ctx, tx, s, args)
		if errors.Is(err, pgx.ErrNoRows) {
			run, err = r.insert(ctx, tx, s, args)
		}
		if err == nil {
			return run.Run, r.submitted(ctx, tx, run.Run)
		}
		if !errors.Is(err, pgx.ErrNoRows) {
			return Run{}, fmt.Errorf("bulk: submit: %w", err)
		}
		if err := running(ctx, tx, s.ID, s.Kind, s.DedupKey); err != nil {
			return Run{}, err
		}
	}
	return Run{}, ErrAlreadyRunning
}

// running returns an *AlreadyRunningError while a run of the domain is active that has an id, or
// is of a kind and has a dedup key.
func running(ctx context.Context, tx *tenancy.Tx, id RunID, kind, key string) error {
	var found RunID
	err := tx.QueryRow(ctx, tx.SQL(`SELECT id FROM strata.runs WHERE domain_id = $1 AND `+active+`
		AND (id = $2 OR kind = $3 AND dedup_key = $4 AND dedup_key <> '') ORDER BY id = $2 LIMIT 1`), tx.Tenant().DomainID, id, kind, key).Scan(&found)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil
	case err != nil:
		return fmt.Errorf("bulk: submit: %w", err)
	}
	return &AlreadyRunningError{RunID: found}
}

// restart makes a run that has ended into what is submitted now, or returns
// pgx.ErrNoRows when there is none of that id or an active one has the dedup key.
func (r *Runner) restart(ctx context.Context, tx *tenancy.Tx, s Submission, args []byte) (rec *record, err error) {
	actor := tenancy.ActorFrom(ctx)
	err = tx.Savepoint(ctx, func(tx *tenancy.Tx) error { // UPDATE knows no ON CONFLICT
		rec, err = one(tx.Query(ctx, tx.SQL(`UPDATE strata.runs SET kind = $3, queue = $4, args = $5, total = $6, dedup_key = $7, requested_by = $8, actor = $9, level = $10, max_per_second = $11,
				state = 'queued', cursor = NULL, processed = 0, counters = '{}', rate = 0, failures = 0, next_attempt_at = now(),
				cancel_requested = false, pause_requested = false, error = '', error_code = '', started_at = NULL, finished_at = NULL,
				updated_at = now(), version = version + 1
			WHERE domain_id = $1 AND id = $2 AND state IN ('completed', 'failed', 'cancelled') RETURNING `+runColumns),
			tx.Tenant().DomainID, s.ID, s.Kind, r.cfg.Queue, args, s.Total, s.DedupKey, actor.ID, actor, s.Level.String(), s.MaxPerSecond))
		return err
	})
	if taken(err) {
		return nil, pgx.ErrNoRows
	}
	return rec, err
}

// insert makes a new run, or returns pgx.ErrNoRows when there is one of that id or an
// active one has the dedup key.
func (r *Runner) insert(ctx context.Context, tx *tenancy.Tx, s Submission, args []byte) (*record, error) {
	t, actor := tx.Tenant(), tenancy.ActorFrom(ctx)
	return one(tx.Query(ctx, tx.SQL(`INSERT INTO strata.runs (domain_id, id, company_id, workspace_id, kind, queue, args, total, dedup_key, requested_by, actor, level, max_per_second)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) ON CONFLICT DO NOTHING RETURNING `+runColumns),
		t.DomainID, s.ID, t.CompanyID, t.WorkspaceID, s.Kind, r.cfg.Queue, args, s.Total, s.DedupKey, actor.ID, actor, s.Level.String(), s.MaxPerSecond))
}

func (r *Runner) submitted(ctx context.Context, tx *tenancy.Tx, run Run) error {
	if err := r.record(ctx, tx, "run.submitted", run); err != nil {
		return err
	}
	return r.enqueue(ctx, tx, run.ref(), r.cfg.Queue)
}

// record writes what happened to a run into the audit trail of its level.
func (r *Runner) record(ctx context.Context, tx *tenancy.Tx, action string, run Run) error {
	e := audit.Entry{Action: action, ResourceType: "run", ResourceID: run.ID.String(), Metadata: map[string]any{"kind": run.Kind}}
	if run.State.Final() {
		e.Metadata["processed"], e.Metadata["counters"] = run.Processed, run.Counters
	}
	if run.State == StateFailed {
		e.Status, e.ErrorMessage = audit.Failure, run.PublicError()
	}
	if run.Level == tenancy.LevelDomain {
		return r.audit.RecordTx(ctx, tx, e)
	}
	scope := tenancy.Tenant{CompanyID: run.CompanyID}
	if run.Level == tenancy.LevelWorkspace {
		scope.WorkspaceID = run.WorkspaceID
	}
	return tx.As(ctx, scope, func(ctx context.Context, tx *tenancy.Tx) error { return r.audit.RecordTx(ctx, tx, e) })
}
