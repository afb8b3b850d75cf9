package recipients

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/billing"
	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/tenancy"
)

// Create adds a recipient. Errors: *tenancy.ValidationError, *EmailTakenError,
// *customfields.TakenError, *billing.LimitError.
func (s *Store) Create(ctx context.Context, in New) (Recipient, error) {
	return one(inTx(ctx, s, func(tx *tenancy.Tx) ([]Recipient, error) { return s.create(ctx, tx, []New{in}) }))
}

// CreateTx is Create in the caller's transaction: after an error, tx goes on as before the
// call.
func (s *Store) CreateTx(ctx context.Context, tx *tenancy.Tx, in New) (Recipient, error) {
	return one(inSavepoint(ctx, tx, func(tx *tenancy.Tx) ([]Recipient, error) { return s.create(ctx, tx, []New{in}) }))
}

// CreateMany is Create for up to MaxBatch recipients, all or none. Errors: ErrTooMany,
// *tenancy.ValidationError with all that is wrong with any row, *billing.LimitError.
func (s *Store) CreateMany(ctx context.Context, in []New) ([]Recipient, error) {
	return many(inTx(ctx, s, func(tx *tenancy.Tx) ([]Recipient, error) { return s.create(ctx, tx, in) }))
}

// CreateManyTx is CreateMany in the caller's transaction: after an error, tx goes on as before
// the call.
func (s *Store) CreateManyTx(ctx context.Context, tx *tenancy.Tx, in []New) ([]Recipient, error) {
	return many(inSavepoint(ctx, tx, func(tx *tenancy.Tx) ([]Recipient, error) { return s.create(ctx, tx, in) }))
}

func (s *Store) create(ctx context.Context, tx *tenancy.Tx, in []New) ([]Recipient, error) {
	set, err := s.begin(ctx, tx, len(in))
	if err != nil || len(in) == 0 {
		return nil, err
	}
	rows, a, wrong, err := normalizeAll(set, in)
	if err != nil {
		return nil, err
	}
	if len(wrong) > 0 && len(a) > 0 { // or it would be said only when the rest is right
		if err := s.findTaken(ctx, tx, a, &wrong); err != nil {
			return nil, err
		}
	}
	if err := wrong.orNil(); err != nil {
		return nil, err
	}
	out, record := make([]Recipient, len(in)), make([]audit.Entry, len(in))
	for len(a) > 0 {
		inserted, err := s.insert(ctx, tx, set, rows, a)
		if err != nil {
			return nil, err
		}
		for row, r := range inserted {
			out[row], record[row] = r, entry("recipient.created", r.ID, rows[row].given)
			delete(a, rows[row].emailNorm)
		}
		if len(a) == 0 {
			break
		}
		// Those that are left are taken, or were until a moment ago.
		if err := s.findTaken(ctx, tx, a, &wrong); err != nil {
			return nil, err
		}
		if err := wrong.orNil(); err != nil {
			return nil, err
		}
	}
	if err := s.audit.RecordTx(ctx, tx, record...); err != nil {
		return nil, err
	}
	return out, s.limits.Consume(ctx, tx, billing.ResourceRecipients, int64(len(in)))
}

// normalizeAll checks all rows and finds those with the same address.
func normalizeAll(set *customfields.Set, in []New) (rows []normalized, a addresses, wrong problems, err error) {
	rows, a = make([]normalized, len(in)), make(addresses, len(in))
	for i := range in {
		var v tenancy.ValidationError
		rows[i], err = normalize(set, in[i])
		if err := collect(&v, err); err != nil {
			return nil, nil, nil, err
		}
		if err := v.OrNil(); err != nil {
			wrong.add(i, err)
		}
		if rows[i].emailNorm != "" {
			a.add(i, rows[i].emailNorm, &wrong)
		}
	}
	return rows, a, wrong, nil
}

// insert adds those of rows that are in a, in the order of their addresses, so that calls
// with the same ones wait for each other, and leaves out those whose address is taken.
func (s *Store) insert(ctx context.Context, tx *tenancy.Tx, set *customfields.Set, rows []normalized, a addresses) (map[int]Recipient, error) {
	t := tx.Tenant()
	var (
		n        = len(a)
		ids      = make([]ID, 0, n)
		emails   = make([]string, 0, n)
		norms    = make([]string, 0, n)
		names    = make([]string, 0, n)
		statuses = make([]string, 0, n)
		reasons  = make([]string, 0, n)
		fields   = make([]string, 0, n)
		values   = make([]map[string]any, len(rows))
		byID     = make(map[ID]int, n)
	)
	for i, r := range rows {
		if row, ok := a[r.emailNorm]; !ok || row != i {
			continue
		}
		id := tenancy.NewID[Recipient]()
		ids, emails, norms, names = append(ids, id), append(emails, r.email), append(norms, r.emailNorm), append(names, r.name)
		statuses, reasons = append(statuses, string(r.status)), append(reasons, r.reason)
		fields = append(fields, string(customfields.AppendJSON(nil, r.fields)))
		values[i], byID[id] = r.fields, i
	}
	out := make(map[int]Recipient, n)
	err := tx.Read(ctx, `INSERT INTO strata.recipients AS r (domain_id, company_id, workspace_id, id, email, email_norm, name, status, status_reason, custom_fields)
		SELECT $1, $2, $3, n.id, n.email, n.email_norm, n.name, n.status, n.reason, n.custom_fields
		FROM unnest($4::uuid[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::jsonb[]) AS n (id, email, email_norm, name, status, reason, custom_fields)
		ORDER BY n.email_norm COLLATE "C"
		ON CONFLICT (domain_id, email_norm) WHERE deleted_at IS NULL DO NOTHING RETURNING `+recipientColumns,
		[]any{t.DomainID, t.CompanyID, t.WorkspaceID, ids, emails, norms, names, statuses, reasons, fields}, func(rows pgx.Rows) error {
			inserted, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Recipient, error) { return scanRecipient(set, row) })
			for _, r := range inserted {
				out[byID[r.ID]] = r
			}
			return err
		})
	if err != nil {
		return nil, takenValues(set, values, fmt.Errorf("recipients: add: %w", err))
	}
	return out, nil
}
