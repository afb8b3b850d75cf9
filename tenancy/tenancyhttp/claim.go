package tenancyhttp

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/internal/fault"
	"github.com/stratakit/strata/tenancy"
)

// keyLifetime is how long a key stands for its first request.
const keyLifetime = 24 * time.Hour

// platform stands for the company in keys of requests that have none. No company has
// this id: it is no UUIDv7.
var platform = tenancy.CompanyID{255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255}

var errClaimLost error = fault.New(fault.Conflict, "idempotency_claim_lost",
	"this request took so long that a repeat of it went on in its place: nothing was changed by this one")

// claim is the right of one request to do the work that a key stands for.
type claim struct {
	db          *tenancy.DB
	company     tenancy.CompanyID
	scope       []byte // who asks what, with which key
	fingerprint []byte // what exactly is asked
	id          tenancy.ID[claim]
}

// earlier is what is known of the request that had the key before.
type earlier struct {
	fingerprint []byte
	running     bool
	answer      *kept // nil without one
}

// inTx runs fn in the company of the claim, whatever ctx is about.
func (c *claim) inTx(ctx context.Context, fn func(tx *tenancy.Tx) error) error {
	return c.db.InTx(tenancy.WithTenant(ctx, tenancy.Tenant{CompanyID: c.company}), fn)
}

// take claims the key for lease, or returns who was earlier. A key whose time is over is
// free, and so is one whose request died before it committed anything.
func (c *claim) take(ctx context.Context, lease time.Duration) (before *earlier, err error) {
	err = c.inTx(ctx, func(tx *tenancy.Tx) error {
		tag, err := tx.Exec(ctx, tx.SQL(`INSERT INTO strata.idempotency_keys AS k (company_id, scope, fingerprint, claim, leased_until, expires_at)
			VALUES ($1, $2, $3, $4, now() + $5::interval, now() + $6::interval)
			ON CONFLICT (company_id, scope) DO UPDATE SET fingerprint = $3, claim = $4, leased_until = excluded.leased_until, expires_at = excluded.expires_at,
				committed = false, status = NULL, headers = NULL, body = NULL, created_at = now()
			WHERE k.expires_at <= now() OR k.status IS NULL AND NOT k.committed AND k.leased_until <= now()`),
			c.company, c.scope, c.fingerprint, c.id, lease, keyLifetime)
		if err != nil || tag.RowsAffected() == 1 {
			return err
		}
		before, err = c.read(ctx, tx)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("tenancyhttp: claim an idempotency key: %w", err)
	}
	return before, nil
}

func (c *claim) read(ctx context.Context, tx *tenancy.Tx) (*earlier, error) {
	var b earlier
	var status *int
	var answer kept
	err := tx.QueryRow(ctx, tx.SQL(`SELECT fingerprint, leased_until > now(), status, headers, body FROM strata.idempotency_keys
		WHERE company_id = $1 AND scope = $2`), c.company, c.scope).Scan(&b.fingerprint, &b.running, &status, &answer.headers, &answer.body)
	if errors.Is(err, pgx.ErrNoRows) { // it was released just now: as good as running, for a moment
		return &earlier{fingerprint: c.fingerprint, running: true}, nil
	}
	if err == nil && status != nil {
		answer.status = *status
		b.answer = &answer
	}
	return &b, err
}

// beforeCommit notes, in the transaction of the work itself, that the work is done: should
// the answer get lost, nobody does it again. A request whose claim is no longer its own
// must not commit. A transaction that only read notes nothing.
func (c *claim) beforeCommit(ctx context.Context, tx *tenancy.Tx) error {
	const enter = `SELECT set_config('strata.company_id', $1, true)`
	var b pgx.Batch
	b.Queue(enter, c.company.String())
	b.Queue(tx.SQL(`WITH work AS MATERIALIZED (SELECT pg_current_xact_id_if_assigned() IS NOT NULL AS done)
		UPDATE strata.idempotency_keys k SET committed = k.committed OR work.done FROM work WHERE k.company_id = $1 AND k.scope = $2 AND k.claim = $3`),
		c.company, c.scope, c.id)
	b.Queue(enter, tx.Tenant().CompanyID.String())
	results := tx.SendBatch(ctx, &b)
	_, err := results.Exec()
	if err == nil {
		var tag interface{ RowsAffected() int64 }
		if tag, err = results.Exec(); err == nil && tag.RowsAffected() == 0 {
			err = errClaimLost
		}
	}
	if err := errors.Join(err, results.Close()); err != nil {
		return fmt.Errorf("tenancyhttp: note an idempotency key: %w", err)
	}
	return nil
}

// finish keeps the answer for repeats.
func (c *claim) finish(ctx context.Context, a kept) error {
	if len(a.body) > maxKept {
		a.body = nil
	} else if a.body == nil {
		a.body = []byte{}
	}
	return c.inTx(ctx, func(tx *tenancy.Tx) error {
		_, err := tx.Exec(ctx, tx.SQL(`UPDATE strata.idempotency_keys SET status = $4, headers = $5, body = $6, expires_at = now() + $7::interval
			WHERE company_id = $1 AND scope = $2 AND claim = $3`), c.company, c.scope, c.id, a.status, a.headers, a.body, keyLifetime)
		return err
	})
}

// release lets a repeat try again at once, unless something was committed: then the key
// stays, and its lease ends.
func (c *claim) release(ctx context.Context) error {
	return c.inTx(ctx, func(tx *tenancy.Tx) error {
		_, err := tx.Exec(ctx, tx.SQL(`DELETE FROM strata.idempotency_keys WHERE company_id = $1 AND scope = $2 AND claim = $3 AND NOT committed`),
			c.company, c.scope, c.id)
		if err == nil {
			_, err = tx.Exec(ctx, tx.SQL(`UPDATE strata.idempotency_keys SET leased_until = now() WHERE company_id = $1 AND scope = $2 AND claim = $3`),
				c.company, c.scope, c.id)
		}
		return err
	})
}
