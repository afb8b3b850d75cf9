package bulk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stratakit/strata/tenancy"
)

// batch does one batch in one transaction with its ledger row and the new cursor, and
// reports whether the work is over.
func (s *session) batch(ctx context.Context, w Work) (ended bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Hang)
	defer cancel()
	var next *record
	var at time.Time // when it was done
	var did int64
	began := s.cfg.Now()
	err = s.db.InTx(ctx, func(tx *tenancy.Tx) error {
		now, err := s.fence(ctx, tx, s.rec)
		if err != nil {
			return err
		}
		if ended, err = s.heed(ctx, tx, now); ended || err != nil {
			return err
		}
		var b Batch
		err = safely("Batch", func() (err error) {
			b, err = w.Batch(ctx, tx)
			return err
		})
		if err != nil {
			return err
		}
		did, ended = b.Processed, b.Done
		at = s.cfg.Now()
		if next, err = s.advance(ctx, tx, now, b, at.Sub(s.last)); err != nil || !b.Done {
			return err
		}
		return s.end(ctx, tx, next, StateCompleted, nil, 0)
	})
	s.meter.batch(ctx, s.rec.Kind, s.cfg.Now().Sub(began))
	if err != nil || ended {
		return ended, err
	}
	s.rec = next
	s.last = at
	s.commits++
	s.pace.did(began, did, next.MaxPerSecond)
	s.cache.put(ctx, next.Run)
	return false, nil
}

// advance writes what a batch did, in the time it took, into the ledger and the run.
func (s *session) advance(ctx context.Context, tx *tenancy.Tx, now *record, b Batch, took time.Duration) (*record, error) {
	if b.Processed < 0 || b.Total < 0 {
		return nil, Permanent(fmt.Errorf("bulk: a batch of %s processed %d of %d", now.Kind, b.Processed, b.Total))
	}
	var cursor []byte // nil leaves it unchanged
	if b.Cursor != nil {
		var err error
		if cursor, err = json.Marshal(b.Cursor); err != nil {
			return nil, Permanent(fmt.Errorf("bulk: the cursor of %s: %w", now.Kind, err))
		}
	}
	counters := maps.Clone(now.Counters)
	if counters == nil {
		counters = map[string]int64{}
	}
	for name, n := range b.Counters {
		counters[name] += n
	}
	own := b.Counters
	if own == nil {
		own = map[string]int64{}
	}
	rate := averaged(s.rec.Rate, now.Processed, b.Processed, took.Seconds())
	_, err := tx.Exec(ctx, tx.SQL(`INSERT INTO strata.run_batches (company_id, domain_id, run_id, batch_no, processed, counters, committed_at)
		VALUES ($1, $2, $3, $4, $5, $6, clock_timestamp())`),
		now.CompanyID, now.DomainID, now.ID, now.batches+1, b.Processed, own)
	if err != nil {
		return nil, fmt.Errorf("bulk: ledger: %w", err)
	}
	// The lease begins anew with the end of the batch, not with its begin.
	next, err := one(tx.Query(ctx, tx.SQL(`UPDATE strata.runs SET cursor = coalesce($3::jsonb, cursor), processed = processed + $4, opened = 0, counters = $5, batches = batches + 1,
			total = CASE WHEN $6::bigint > 0 THEN $6 ELSE total END, rate = $7, failures = 0, error = '', error_code = '',
			lease_until = clock_timestamp() + $8::interval, updated_at = now(), version = version + 1
		WHERE domain_id = $1 AND id = $2 RETURNING `+runColumns),
		now.DomainID, now.ID, cursor, b.Processed, counters, b.Total, rate, s.cfg.Lease))
	if err != nil {
		return nil, fmt.Errorf("bulk: advance: %w", err)
	}
	return next, nil
}

// conflict reports whether a transaction lost against another one and only has to be
// done again.
func conflict(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "40001" || pg.Code == "40P01")
}
