package bulk

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/tenancy"
)

const (
	// lookedAt is how many domains with runs that wait are looked at at once. While there are
	// more, each look goes on where the last one ended.
	lookedAt = 500
	// chosenAtOnce is how many runs one look chooses: some may be claimed by others meanwhile,
	// or turn out to be in a batch that is longer than their lease.
	chosenAtOnce = 64
	// chosenFor is how long a choice is good: then it is somebody else's turn.
	chosenFor = 100 * time.Millisecond
)

// chooser remembers whose turn it is in this process.
type chooser struct {
	mu    sync.Mutex
	turns []ref
	until time.Time
	after tenancy.DomainID // the last domain that was looked at, when there were more
	asked time.Time        // when a run that is worked on last asked whether it still is its turn

	turn   int64               // counts the runs that were claimed
	served map[uuid.UUID]int64 // of a company or a domain: its last turn
}

// remembered is how many companies and domains a process remembers to have served at least.
const remembered = 1000

// serve notes that a run of a domain was claimed.
func (c *chooser) serve(at ref) {
	if len(c.served) > 2*remembered {
		for id, turn := range c.served {
			if turn <= c.turn-remembered/2 {
				delete(c.served, id)
			}
		}
	}
	if c.served == nil {
		c.served = map[uuid.UUID]int64{}
	}
	c.turn++
	c.served[uuid.UUID(at.CompanyID)], c.served[uuid.UUID(at.DomainID)] = c.turn, c.turn
}

// pick claims the run whose turn it is, or returns nil when there is none.
func (r *Runner) pick(l *life) *record {
	c := &r.chooser
	c.mu.Lock()
	defer c.mu.Unlock()
	for looked := false; !l.stopped(); {
		if !looked && (len(c.turns) == 0 || time.Now().After(c.until)) {
			if !r.look(l.work, RunID{}) {
				return nil
			}
			looked = c.after.IsZero() // to the end
		}
		if len(c.turns) == 0 {
			if looked {
				return nil
			}
			continue
		}
		at := c.turns[0]
		c.turns = c.turns[1:]
		if rec := r.take(l, at); rec != nil {
			c.serve(at)
			return rec
		}
	}
	return nil
}

// look remembers whose turn it is, as if the run called leaving stood in line too.
func (r *Runner) look(ctx context.Context, leaving RunID) (ok bool) {
	c := &r.chooser
	turns, after, err := r.due(ctx, leaving)
	if err != nil {
		if ctx.Err() == nil {
			r.cfg.Log.ErrorContext(ctx, "cannot look for runs that are due", "error", err)
		}
		return false
	}
	c.turns, c.after, c.until = turns, after, time.Now().Add(chosenFor)
	return true
}

// outOfTurn reports whether a run that is worked on is to make room: all slots of this
// process are taken, and if it stood in line it would be another's turn. One run of a process
// may ask in turnAtLeast, so that not all of them make room for the same one.
func (r *Runner) outOfTurn(l *life, rec *record) bool {
	if len(r.slots) < cap(r.slots) {
		return false
	}
	c := &r.chooser
	if !c.mu.TryLock() { // somebody chooses: a lease does not wait for that
		return false
	}
	defer c.mu.Unlock()
	now := r.cfg.Now()
	if now.Sub(c.asked) < turnAtLeast {
		return false
	}
	c.asked = now
	ctx, cancel := context.WithTimeout(l.work, r.longest())
	defer cancel()
	return r.look(ctx, rec.ID) && len(c.turns) > 0 && c.turns[0].RunID != rec.ID
}

// dueSQL finds the runs that are due, in the order of their turns. First comes the company
// that would have the fewest runs in work with this one, of several the one whose last turn
// here was longest ago, then that of the run that has waited for longest; within a company its
// domains are treated alike. The domains that wait are walked along the index, so that
// it does not matter how many runs one of them has: of each only as many are read as it may
// have in work. The run $9, if there is one, counts as one that began to wait just now.
const dueSQL = `WITH RECURSIVE processing AS MATERIALIZED (
		SELECT company_id, domain_id, id, kind, lease_until FROM strata.runs WHERE queue = $1 AND state = 'processing'
	), working AS MATERIALIZED (
		SELECT * FROM processing WHERE id IS DISTINCT FROM $9
	), walk AS (
		(SELECT domain_id FROM strata.runs WHERE queue = $1 AND state = 'queued' AND domain_id > $3 ORDER BY domain_id LIMIT 1)
		UNION ALL
		SELECT (SELECT r.domain_id FROM strata.runs r WHERE r.queue = $1 AND r.state = 'queued' AND r.domain_id > walk.domain_id ORDER BY r.domain_id LIMIT 1)
		FROM walk WHERE walk.domain_id IS NOT NULL
	), waiting AS MATERIALIZED (
		SELECT domain_id FROM walk WHERE domain_id IS NOT NULL LIMIT $5
	), served AS MATERIALIZED (
		SELECT * FROM unnest($7::uuid[], $8::bigint[]) AS s (id, turn)
	), due AS (
		SELECT q.* FROM waiting d CROSS JOIN LATERAL (
			SELECT company_id, domain_id, id, next_attempt_at AS since FROM strata.runs
			WHERE queue = $1 AND domain_id = d.domain_id AND state = 'queued' AND next_attempt_at <= now() AND kind = ANY ($2)
			ORDER BY next_attempt_at LIMIT greatest(0, $4 - (SELECT count(*) FROM working w WHERE w.domain_id = d.domain_id))) q
		UNION ALL
		SELECT company_id, domain_id, id, lease_until FROM working WHERE lease_until < now() AND kind = ANY ($2)
		UNION ALL
		SELECT company_id, domain_id, id, now() FROM processing WHERE id = $9
		UNION ALL
		SELECT company_id, domain_id, id, next_attempt_at FROM strata.runs WHERE queue = $1 AND state = 'paused' AND cancel_requested AND kind = ANY ($2)
	), in_domain AS (
		SELECT *, (SELECT count(*) FROM working w WHERE w.domain_id = due.domain_id) + row_number() OVER (PARTITION BY domain_id ORDER BY since) AS of_domain,
			coalesce((SELECT turn FROM served WHERE id = domain_id), 0) AS domain_turn, coalesce((SELECT turn FROM served WHERE id = company_id), 0) AS company_turn
		FROM due
	), turns AS (
		SELECT *, (SELECT count(*) FROM working w WHERE w.company_id = d.company_id) + row_number() OVER (PARTITION BY company_id ORDER BY of_domain, domain_turn, since) AS of_company
		FROM in_domain d
	)
	SELECT t.company_id, t.domain_id, t.id, more.after
	FROM (SELECT (SELECT domain_id FROM waiting ORDER BY domain_id OFFSET $5 - 1) AS after) more LEFT JOIN turns t ON true
	ORDER BY t.of_company, t.company_turn, t.since LIMIT $6`

// due returns the runs whose turn it is, as if the one called leaving stood in line too, and
// which domain the next look begins after.
func (r *Runner) due(ctx context.Context, leaving RunID) (turns []ref, next tenancy.DomainID, err error) {
	c := &r.chooser
	ctx, cancel := context.WithTimeout(ctx, claimTimeout)
	defer cancel()
	served, turn := slices.Collect(maps.Keys(c.served)), make([]int64, 0, len(c.served))
	for _, id := range served {
		turn = append(turn, c.served[id])
	}
	err = r.db.ReadTrusted(ctx, dueSQL, []any{r.cfg.Queue, r.kinds(), uuid.UUID(c.after), r.cfg.MaxPerDomain, lookedAt, chosenAtOnce, served, turn, leaving}, func(rows pgx.Rows) error {
		for rows.Next() {
			var company *tenancy.CompanyID
			var domain, last *tenancy.DomainID
			var id *RunID
			if err := rows.Scan(&company, &domain, &id, &last); err != nil {
				return err
			}
			if last != nil {
				next = *last
			}
			if id != nil {
				turns = append(turns, ref{*company, *domain, *id})
			}
		}
		return rows.Err()
	})
	return turns, next, err
}
