package bulk

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/tenancy"
)

// retriedAtOnce is how many runs one RetryAll tries again at most.
const retriedAtOnce = 1000

// Retried is what RetryAll did.
type Retried struct {
	// Runs go on.
	Runs []RunID
	// Conflicts were left as they are, because an active run has their dedup key.
	Conflicts []Conflict
	// More says that there are more than one call takes on: call it again.
	More bool
}

// Conflict is a failed run that cannot be tried again while another one is active.
type Conflict struct{ RunID, Active RunID }

// RetryAll is Retry for the failed runs of ctx's domain that q asks for by its Kind, the
// oldest first, up to 1,000. Its State and its page do not matter. Each run is changed in a
// transaction of its own; one that somebody else tried again meanwhile is left alone. What was
// done before an error stays and is returned with it.
func (r *Runner) RetryAll(ctx context.Context, q ListQuery) (Retried, error) {
	var done Retried
	failed, err := r.failedIDs(ctx, q.Kind)
	if err != nil {
		return done, err
	}
	if done.More = len(failed) > retriedAtOnce; done.More {
		failed = failed[:retriedAtOnce]
	}
	for _, id := range failed {
		_, err := r.Retry(ctx, id)
		var active *AlreadyRunningError
		switch {
		case err == nil:
			done.Runs = append(done.Runs, id)
		case errors.As(err, &active):
			done.Conflicts = append(done.Conflicts, Conflict{id, active.RunID})
		case errors.Is(err, ErrState), errors.Is(err, ErrNotFound):
		default:
			return done, err
		}
	}
	return done, nil
}

// failedIDs returns the failed runs of a kind, the oldest first, one more than RetryAll takes.
func (r *Runner) failedIDs(ctx context.Context, kind string) (ids []RunID, err error) {
	t, err := tenancy.DomainFrom(ctx)
	if err != nil {
		return nil, err
	}
	err = r.db.Read(ctx, `SELECT id FROM strata.runs WHERE domain_id = $1 AND level = 'domain' AND state = 'failed' AND ($2 = '' OR kind = $2) ORDER BY id LIMIT $3`,
		[]any{t.DomainID, kind, retriedAtOnce + 1}, func(rows pgx.Rows) (err error) {
			ids, err = pgx.CollectRows(rows, pgx.RowTo[RunID])
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("bulk: find failed runs: %w", err)
	}
	return ids, nil
}
