package recipients

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/billing"
	"github.com/stratakit/strata/tenancy"
)

// Purge takes recipients away for good and at once, whether they are deleted or not, with
// what products keep of them in extension tables: what a person may ask for by article 17 of
// the GDPR. All or none of up to MaxBatch; with versions each must have one of them. What
// stays is the audit trail, which holds ids only, and for some time files and rows of imports
// (imports.Config.Keep). Errors: ErrTooMany, *tenancy.ValidationError with the rows that are
// not there; of a single id ErrNotFound, ErrVersion.
func (s *Store) Purge(ctx context.Context, ids []ID, versions ...IfVersion) error {
	_, err := inTx(ctx, s, func(tx *tenancy.Tx) ([]ID, error) { return s.purge(ctx, tx, ids, versions) })
	return purged(ids, err)
}

// PurgeTx is Purge in the caller's transaction: after an error, tx goes on as before the call.
func (s *Store) PurgeTx(ctx context.Context, tx *tenancy.Tx, ids []ID, versions ...IfVersion) error {
	_, err := inSavepoint(ctx, tx, func(tx *tenancy.Tx) ([]ID, error) { return s.purge(ctx, tx, ids, versions) })
	return purged(ids, err)
}

func purged(ids []ID, err error) error {
	if len(ids) == 1 {
		return alone(err)
	}
	return together(err)
}

func (s *Store) purge(ctx context.Context, tx *tenancy.Tx, ids []ID, versions []IfVersion) ([]ID, error) {
	if _, err := s.begin(ctx, tx, len(ids)); err != nil || len(ids) == 0 {
		return nil, err
	}
	rows, wrong, err := s.holdIDs(ctx, tx, ids, either, versions)
	if err != nil {
		return nil, err
	}
	if err := wrong.orNil(); err != nil {
		return nil, err
	}
	var counted int64
	for _, h := range rows {
		if h.DeletedAt == nil {
			counted++
		}
	}
	if err := erase(ctx, tx, ids); err != nil {
		return nil, err
	}
	if err := s.audit.RecordTx(ctx, tx, entries("recipient.purged", ids)...); err != nil {
		return nil, err
	}
	return ids, s.limits.Release(ctx, tx, billing.ResourceRecipients, counted)
}

// erase deletes rows that the transaction has locked: the one place where recipients end.
// Rows of extensions go with them by their foreign keys.
func erase(ctx context.Context, tx *tenancy.Tx, ids []ID) error {
	_, err := tx.Exec(ctx, tx.SQL(`DELETE FROM strata.recipients r USING `+fmt.Sprintf(written, `$2::uuid[]`, `id`)+` WHERE r.domain_id = w.domain_id AND r.id = w.id`), tx.Tenant().DomainID, ids)
	if err != nil {
		return fmt.Errorf("recipients: purge: %w", err)
	}
	return nil
}

// purgeBatches is how many batches of one domain a call of PurgeDeleted does at most, so that
// a large one does not keep the others waiting.
const purgeBatches = 100

// PurgeDeleted purges what was deleted longer ago than Config.PurgeAfter, in every domain:
// recipients, and all of those whose domain, workspace or company was, which gives back their
// place in the plan. It returns how many it purged. It works in batches of MaxBatch, each a
// transaction with one audit entry that names the recipients, so that nothing is lost when
// the process dies; of a large domain the next call goes on. Any number of processes may call
// it at once: each domain is left to one of them. A domain that cannot be purged does not keep
// the others: the errors come joined.
func (s *Store) PurgeDeleted(ctx context.Context) (int, error) {
	before := s.now().Add(-s.purgeAfter)
	due, gone, err := s.ending(ctx, before)
	if err != nil {
		return 0, err
	}
	total := 0
	_, err = s.eachDomain(ctx, due, func(ctx context.Context) (did bool, err error) {
		t, err := tenancy.DomainFrom(ctx)
		for n, batches := MaxBatch, 0; err == nil && n == MaxBatch && batches < purgeBatches; batches++ {
			if n, err = s.purgeBatch(ctx, gone[t.DomainID], before); err != nil {
				return did, fmt.Errorf("recipients: purge: %w", err)
			}
			total, did = total+n, did || n > 0
		}
		return did, err
	})
	return total, err
}

// ending finds the domains with something that was deleted before a time, and which of them are
// gone, or their workspace or company: there all of it is purged. It looks once into an index for
// each domain there is.
func (s *Store) ending(ctx context.Context, before time.Time) (due []tenancy.Tenant, gone map[tenancy.DomainID]bool, err error) {
	gone = map[tenancy.DomainID]bool{}
	err = s.db.ReadTrusted(ctx, `
		SELECT d.company_id, d.workspace_id, d.id, d.gone FROM (
			SELECT d.company_id, d.workspace_id, d.id, coalesce(least(d.deleted_at, w.deleted_at, c.deleted_at) < $1, false) AS gone
			FROM strata.domains d
			JOIN strata.workspaces w ON w.company_id = d.company_id AND w.id = d.workspace_id
			JOIN strata.companies c ON c.id = d.company_id) d
		WHERE CASE WHEN d.gone THEN EXISTS (SELECT FROM strata.recipients r WHERE r.domain_id = d.id)
			ELSE EXISTS (SELECT FROM strata.recipients r WHERE r.domain_id = d.id AND r.deleted_at < $1) END
		ORDER BY d.id`, []any{before}, func(rows pgx.Rows) error {
		var t tenancy.Tenant
		var all bool
		_, err := pgx.ForEachRow(rows, []any{&t.CompanyID, &t.WorkspaceID, &t.DomainID, &all}, func() error {
			due, gone[t.DomainID] = append(due, t), all
			return nil
		})
		return err
	})
	if err != nil {
		return nil, nil, fmt.Errorf("recipients: find what is to be purged: %w", err)
	}
	return due, gone, nil
}

// purgeBatch purges the next recipients of ctx's domain: those deleted before a time, or of a
// domain that is gone any. It does nothing while another process is at this domain.
func (s *Store) purgeBatch(ctx context.Context, gone bool, before time.Time) (n int, err error) {
	ids, err := inTx(ctx, s, func(tx *tenancy.Tx) (ids []ID, err error) {
		domain := tx.Tenant().DomainID
		var mine bool
		if err := tx.QueryRow(ctx, `SELECT pg_try_advisory_xact_lock(hashtextextended('strata.recipients.purge/' || $1, 0))`, domain.String()).Scan(&mine); err != nil || !mine {
			return nil, err
		}
		which, order, args := `deleted_at < $2`, `deleted_at, id`, []any{domain, before}
		if gone {
			which, order, args = `true`, `id`, args[:1]
		}
		var counted int64
		err = tx.Read(ctx, fmt.Sprintf(`WITH next AS MATERIALIZED (
				SELECT id FROM strata.recipients WHERE domain_id = $1 AND %s ORDER BY %s LIMIT %d)
			SELECT r.id, r.deleted_at IS NULL FROM strata.recipients r WHERE r.domain_id = $1 AND r.id = ANY (ARRAY(SELECT id FROM next)) AND %[1]s
			ORDER BY r.id FOR UPDATE`, which, order, MaxBatch), args, func(rows pgx.Rows) error {
			var id ID
			var live bool
			_, err := pgx.ForEachRow(rows, []any{&id, &live}, func() error {
				ids = append(ids, id)
				if live {
					counted++
				}
				return nil
			})
			return err
		})
		if err != nil || len(ids) == 0 {
			return nil, err
		}
		if err := erase(ctx, tx, ids); err != nil {
			return nil, err
		}
		err = s.audit.RecordTx(ctx, tx, audit.Entry{
			Action: "recipients.purged", ResourceType: "domain", ResourceID: domain.String(), Metadata: map[string]any{"count": len(ids), "recipients": ids},
		})
		if err != nil {
			return nil, err
		}
		return ids, s.limits.Release(ctx, tx, billing.ResourceRecipients, counted)
	})
	return len(ids), err
}
