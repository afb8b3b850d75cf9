package persons

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/tenancy"
)

// matchHandler does the runs.
type matchHandler struct{ *Matcher }

// phases are what a run does, one after the other. Those after the first match by a key.
const phaseKeys = "keys"

var phases = []string{phaseKeys, string(ByUPN), string(ByEmailName), string(ByNameDepartment)}

// matchCursor is where a run is.
type matchCursor struct {
	Phase  int              `json:"phase"`
	Domain tenancy.DomainID `json:"domain,omitzero"` // of the keys
	After  string           `json:"after,omitempty"` // the last recipient, or key
}

// Open reads where the run is.
func (h matchHandler) Open(_ context.Context, run bulk.Run) (bulk.Work, error) {
	w := &matchWork{Matcher: h.Matcher, id: run.ID}
	scope, err := matchScope(run)
	if err != nil {
		return nil, bulk.Permanent(err)
	}
	w.scope = scope
	if run.Cursor != nil {
		if err := json.Unmarshal(run.Cursor, &w.cursor); err != nil {
			return nil, bulk.Permanent(fmt.Errorf("persons: the cursor of a run: %w", err))
		}
	}
	return w, nil
}

// matchScope returns what a run is over.
func matchScope(run bulk.Run) (tenancy.Tenant, error) {
	var args matchArgs
	if err := json.Unmarshal(run.Args, &args); err != nil {
		return tenancy.Tenant{}, fmt.Errorf("persons: the arguments of a run: %w", err)
	}
	return tenancy.Tenant{CompanyID: run.CompanyID, WorkspaceID: args.WorkspaceID}, nil
}

// Finish writes down how the run ended.
func (h matchHandler) Finish(ctx context.Context, tx *tenancy.Tx, run bulk.Run) error {
	scope, err := matchScope(run)
	if err != nil {
		return err
	}
	return tx.As(ctx, scope, func(ctx context.Context, tx *tenancy.Tx) error {
		_, err := tx.Exec(ctx, tx.SQL(`UPDATE strata.person_matches SET state = $3, error = $4, error_code = $5, finished_at = now() WHERE company_id = $1 AND id = $2`),
			scope.CompanyID, run.ID, string(run.State), run.Error, run.ErrorCode)
		return err
	})
}

type matchWork struct {
	*Matcher

	id     bulk.RunID
	scope  tenancy.Tenant
	cursor matchCursor
}

func (w *matchWork) Close() error { return nil }

// progress is what one batch did.
type progress struct {
	Counters

	total, processed int64
	shared           []Shared
}

// Batch does the next part of the phase that the run is in.
func (w *matchWork) Batch(ctx context.Context, tx *tenancy.Tx) (bulk.Batch, error) {
	next := w.cursor
	var did progress
	var err error
	if phases[next.Phase] == phaseKeys {
		did, err = w.keyBatch(ctx, tx, &next)
	} else {
		did, err = w.matchBatch(ctx, tx, &next)
	}
	if err != nil {
		return bulk.Batch{}, err
	}
	err = tx.As(ctx, w.scope, func(ctx context.Context, tx *tenancy.Tx) error { return w.note(ctx, tx, did) })
	if err != nil {
		return bulk.Batch{}, fmt.Errorf("persons: note how far a run is: %w", err)
	}
	w.cursor = next
	return bulk.Batch{Cursor: next, Processed: did.processed, Total: did.total, Done: next.Phase == len(phases)}, nil
}

// note adds what a batch did to the Matching. A run that had failed and is tried again runs.
func (w *matchWork) note(ctx context.Context, tx *tenancy.Tx, did progress) error {
	var sum Counters
	var shared []Shared
	err := tx.QueryRow(ctx, tx.SQL(`SELECT counters, shared FROM strata.person_matches WHERE company_id = $1 AND id = $2 FOR UPDATE`), w.scope.CompanyID, w.id).Scan(&sum, &shared)
	if err != nil {
		return err
	}
	sum.add(did.Counters)
	const most = 100
	if shared = append(shared, did.shared...); len(shared) > most {
		shared = shared[:most]
	}
	_, err = tx.Exec(ctx, tx.SQL(`UPDATE strata.person_matches SET state = 'running', finished_at = NULL, error = '', error_code = '',
		total = CASE WHEN $3 > 0 THEN $3 ELSE total END, processed = processed + $4, counters = $5, shared = $6 WHERE company_id = $1 AND id = $2`),
		w.scope.CompanyID, w.id, did.total, did.processed, sum, shared)
	return err
}
