package tenancy

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5"
)

const (
	recheckBatch = 64 // domains in one call
	recheckLanes = 8  // of them at once
)

// RecheckDomains looks again for the records of verified names that are due, 64 at most,
// and returns how many it looked for. A record that is missing at three checks in a row,
// over ProofConfig.Grace, is taken for gone: the proof lapses, and another company can
// prove the name. That the name servers do not answer says nothing of the kind.
//
// strata.Start calls it. Any number of processes may at once: each name is checked by one
// of them, and by another when that one dies. It needs no tenant. Without a Prover it does
// nothing.
func (s *Store) RecheckDomains(ctx context.Context) (int, error) {
	if s.cfg.Proof.Prover == nil {
		return 0, nil
	}
	var due []Tenant
	err := s.db.ReadTrusted(ctx, `SELECT d.company_id, d.workspace_id, d.id
		FROM strata.domain_checks k JOIN strata.domains d ON d.company_id = k.company_id AND d.id = k.domain_id
		WHERE k.due_at <= now() AND (k.claim IS NULL OR k.claimed_until <= now()) AND d.verified_at IS NOT NULL AND d.deleted_at IS NULL
		ORDER BY k.due_at LIMIT $1`, []any{recheckBatch}, func(rows pgx.Rows) (err error) {
		due, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (t Tenant, err error) {
			err = row.Scan(&t.CompanyID, &t.WorkspaceID, &t.DomainID)
			return t, err
		})
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("tenancy: find the domain names to check: %w", err)
	}
	var (
		mu      sync.Mutex
		lanes   sync.WaitGroup
		checked int
		errs    []error
		work    = make(chan Tenant)
	)
	for range min(recheckLanes, len(due)) {
		lanes.Go(func() {
			for t := range work {
				done, err := s.recheck(WithActor(WithTenant(ctx, t), Actor{Type: ActorSystem}), t.DomainID)
				mu.Lock()
				if done {
					checked++
				}
				if err != nil {
					errs = append(errs, fmt.Errorf("tenancy: check the name of domain %s again: %w", t.DomainID, err))
				}
				mu.Unlock()
			}
		})
	}
	for _, t := range due {
		if ctx.Err() != nil {
			errs = append(errs, ctx.Err())
			break
		}
		work <- t
	}
	close(work)
	lanes.Wait()
	return checked, errors.Join(errs...)
}

// recheck reports whether the name was checked by this process.
func (s *Store) recheck(ctx context.Context, id DomainID) (bool, error) {
	c, err := s.claimCheck(ctx, id, true)
	if errors.Is(err, ErrCheckRunning) || errors.Is(err, ErrNotFound) { // by another, or nothing to check
		return false, nil
	}
	if err != nil {
		return false, err
	}
	_, err = c.run(ctx)
	if errors.Is(err, ErrCheckRunning) || errors.Is(err, ErrNotFound) { // it took too long, so another took over; or it is deleted
		return false, nil
	}
	return true, err
}
