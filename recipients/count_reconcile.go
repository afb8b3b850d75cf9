package recipients

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/tenancy"
)

// Drift is a count of a domain that was not what its tables hold.
type Drift struct {
	// Kind is "status" or "extension", Key the status or the name of the extension.
	Kind, Key string
	// Missing is what was missing from the count; less than nothing is what it had too much.
	Missing int64
}

// String returns d as "status active: 3 missing".
func (d Drift) String() string { return fmt.Sprintf("%s %s: %d missing", d.Kind, d.Key, d.Missing) }

// reconcileSQL is one statement, and so one snapshot: in it the rows that writers have
// committed are there together with their counts. What is missing is added and nothing is
// set, so that it stays right whatever is written meanwhile. An extension that came after
// $2 was read is left for the next time; one whose table is not there any more has no
// enrolments. %s are the counts of the extensions' tables.
const reconcileSQL = `WITH counted AS (
		SELECT kind, key, sum(n) AS n FROM strata.recipient_counts
		WHERE domain_id = $1 AND (kind = 'status' OR key = ANY ($2::text[]) OR key NOT IN (SELECT name FROM strata.counted_extensions()))
		GROUP BY kind, key),
	there AS (
		SELECT 'status' AS kind, status AS key, count(*) AS n FROM strata.recipients WHERE domain_id = $1 AND deleted_at IS NULL GROUP BY status%s),
	drift AS (
		SELECT kind, key, coalesce(there.n, 0) - coalesce(counted.n, 0) AS n FROM counted FULL JOIN there USING (kind, key))
	INSERT INTO strata.recipient_counts (domain_id, company_id, workspace_id, kind, key, n)
	SELECT $1, $3, $4, kind, key, n FROM drift WHERE n <> 0 ORDER BY kind, key RETURNING kind, key, n`

const reconcileExtension = `
		UNION ALL SELECT 'extension', $2[%d], count(*) FROM %s x JOIN strata.recipients r ON r.domain_id = x.domain_id AND r.id = x.recipient_id
		WHERE x.domain_id = $1 AND r.deleted_at IS NULL`

// Reconcile compares the counts of the domain of ctx's tenant with what its tables hold,
// mends them and returns where they differed, which the audit log says too. They can only
// differ where somebody has switched triggers off, or registered an extension over rows that
// were there. It reads all recipients of the domain; nobody waits for it.
func (s *Store) Reconcile(ctx context.Context) ([]Drift, error) {
	var drift []Drift
	err := s.db.InTx(ctx, func(tx *tenancy.Tx) error {
		t, err := tenancy.DomainFrom(ctx)
		if err != nil {
			return err
		}
		// Two at once would both add what is missing.
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(`+countsLock+`)`, t.DomainID); err != nil {
			return err
		}
		drift, err = reconcile(ctx, tx, t)
		if err != nil || len(drift) == 0 {
			return err
		}
		texts := make([]string, len(drift))
		for i, d := range drift {
			texts[i] = d.String()
		}
		return s.audit.RecordTx(ctx, tx, audit.Entry{
			Action: "recipient_counts.mended", ResourceType: "domain", ResourceID: t.DomainID.String(), Metadata: map[string]any{"drift": texts},
		})
	})
	if err != nil {
		return nil, fmt.Errorf("recipients: reconcile counts: %w", err)
	}
	return drift, nil
}

func reconcile(ctx context.Context, tx *tenancy.Tx, t tenancy.Tenant) (drift []Drift, err error) {
	names, tables := []string{}, strings.Builder{}
	err = tx.Read(ctx, `SELECT name, relation FROM strata.counted_extensions()`, nil, func(rows pgx.Rows) error {
		var name, table string
		_, err := pgx.ForEachRow(rows, []any{&name, &table}, func() error {
			names = append(names, name)
			fmt.Fprintf(&tables, reconcileExtension, len(names), table)
			return nil
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	rows, err := tx.Query(ctx, fmt.Sprintf(tx.SQL(reconcileSQL), tx.SQL(tables.String())), t.DomainID, names, t.CompanyID, t.WorkspaceID)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Drift])
}

// A day has reconcileSlots turns of reconcileEvery.
const (
	reconcileEvery = 5 * time.Minute
	reconcileSlots = int64(24 * time.Hour / reconcileEvery)
)

// ReconcileCounts reconciles the domains whose turn has come since this Store was asked last, at
// first those whose turn it is, and returns in how many there was something to mend. Called every
// five minutes or so, it comes to each domain once a day; any number of processes may call it.
// The errors of several domains come joined.
func (s *Store) ReconcileCounts(ctx context.Context) (int, error) {
	now := s.now().Unix() / int64(reconcileEvery/time.Second)
	last := s.reconciled.Swap(now)
	if last == 0 || last > now {
		last = now - 1
	}
	slots := []int64{}
	for slot := max(last, now-reconcileSlots) + 1; slot <= now; slot++ {
		slots = append(slots, slot%reconcileSlots)
	}
	due, err := s.domainsOf(ctx, `SELECT company_id, workspace_id, id FROM strata.domains
		WHERE deleted_at IS NULL AND mod(mod(hashtextextended(id::text, 0), $1) + $1, $1) = ANY ($2::bigint[]) ORDER BY id`, reconcileSlots, slots)
	if err != nil {
		s.reconciled.CompareAndSwap(now, last) // or their turn would be over
		return 0, err
	}
	return s.eachDomain(ctx, due, func(ctx context.Context) (bool, error) {
		drift, err := s.Reconcile(ctx)
		return len(drift) > 0, err
	})
}
