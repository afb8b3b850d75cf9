package recipients

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/tenancy"
)

const countLiveSQL = `SELECT coalesce(sum(n), 0)::bigint FROM strata.recipient_counts WHERE domain_id = $1 AND kind = 'status'`

// reader is a tenancy.DB or a tenancy.Tx.
type reader interface {
	Read(ctx context.Context, q string, args []any, scan func(pgx.Rows) error) error
}

// liveCount returns how many recipients of a domain are not deleted, exactly, without looking
// at them. In a transaction it counts what that has done.
func liveCount(ctx context.Context, db reader, domain tenancy.DomainID) (n int64, err error) {
	err = db.Read(ctx, countLiveSQL, []any{domain}, func(rows pgx.Rows) (err error) {
		n, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[int64])
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("recipients: read how many there are: %w", err)
	}
	return n, nil
}

const (
	// foldFrom is how many rows of counts a domain has before they are worth folding, and
	// foldedAtOnce how many one transaction folds.
	foldFrom, foldedAtOnce = 64, 50_000

	// countsLock is the lock of who changes the counts of a domain on other grounds than a write.
	countsLock       = `hashtextextended('recipients.counts/' || $1::text, 0)`
	tryCountsLockSQL = `SELECT pg_try_advisory_xact_lock(` + countsLock + `)`

	// foldSQL is one statement: whoever reads sees the rows before it or those after it, and
	// both have the same sums. Rows that nobody sees yet stay. It begins behind what was folded
	// before, so that it does not have to step over all that is dead there.
	foldSQL = `WITH folded AS (
			DELETE FROM strata.recipient_counts WHERE domain_id = $1 AND id > $2 AND id <= coalesce((
				SELECT id FROM strata.recipient_counts WHERE domain_id = $1 AND id > $2 ORDER BY id OFFSET $3 - 1 LIMIT 1), 9223372036854775807)
			RETURNING id, company_id, workspace_id, kind, key, n),
		summed AS (INSERT INTO strata.recipient_counts (domain_id, company_id, workspace_id, kind, key, n)
			SELECT $1, company_id, workspace_id, kind, key, sum(n) FROM folded GROUP BY 2, 3, 4, 5 HAVING sum(n) <> 0)
		SELECT count(*), coalesce(max(id), $2) FROM folded`
)

// FoldCounts puts the rows together that writers have added to the counts of their domains, in
// every domain where there are many, and returns in how many it did. It changes no count and
// nobody waits for it. Run it every few minutes; any number of processes may. The errors of
// several domains come joined.
func (s *Store) FoldCounts(ctx context.Context) (int, error) {
	due, err := s.domainsOf(ctx, `SELECT d.company_id, d.workspace_id, d.id FROM strata.domains d
		JOIN (SELECT domain_id FROM strata.recipient_counts GROUP BY domain_id HAVING count(*) >= $1) c ON c.domain_id = d.id ORDER BY d.id`, foldFrom)
	if err != nil {
		return 0, err
	}
	return s.eachDomain(ctx, due, func(ctx context.Context) (did bool, err error) {
		for after, folded := int64(0), foldedAtOnce; err == nil && folded == foldedAtOnce; {
			folded, after, err = s.fold(ctx, after)
			did = did || folded > 0
		}
		return did, err
	})
}

// fold folds the next rows behind after, unless somebody else does, and returns how many they
// were and the last one.
func (s *Store) fold(ctx context.Context, after int64) (folded int, last int64, err error) {
	err = s.db.InTx(ctx, func(tx *tenancy.Tx) error {
		domain := tx.Tenant().DomainID
		var alone bool
		if err := tx.QueryRow(ctx, tryCountsLockSQL, domain).Scan(&alone); err != nil || !alone {
			return err
		}
		if err := tx.QueryRow(ctx, tx.SQL(foldSQL), domain, after, foldedAtOnce).Scan(&folded, &last); err != nil {
			return fmt.Errorf("recipients: fold counts: %w", err)
		}
		return nil
	})
	return folded, last, err
}

// domainsOf reads tenants of domains, live or deleted, with a statement of this package.
func (s *Store) domainsOf(ctx context.Context, q string, args ...any) (domains []tenancy.Tenant, err error) {
	err = s.db.ReadTrusted(ctx, q, args, func(rows pgx.Rows) (err error) {
		domains, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (t tenancy.Tenant, err error) {
			err = row.Scan(&t.CompanyID, &t.WorkspaceID, &t.DomainID)
			return t, err
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("recipients: find domains: %w", err)
	}
	return domains, nil
}

// eachDomain does a chore as the system in each domain, and returns in how many it did
// something. One that fails does not keep the others; one that is being moved has to wait for
// the next time.
func (s *Store) eachDomain(ctx context.Context, domains []tenancy.Tenant, do func(context.Context) (bool, error)) (int, error) {
	ctx = tenancy.WithActor(tenancy.WithDeleted(ctx), tenancy.Actor{Type: tenancy.ActorSystem})
	return tenancy.Chore(ctx, domains, func(ctx context.Context, d tenancy.Tenant) (bool, error) {
		did, err := do(tenancy.WithTenant(ctx, d))
		if err != nil {
			err = fmt.Errorf("domain %s: %w", d.DomainID, err)
		}
		return did, err
	})
}
