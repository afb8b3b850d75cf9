package recipients

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/stratakit/strata/billing"
	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/tenancy"
)

// Create adds a recipient. Errors: *tenancy.ValidationError, ErrEmailTaken,
// *customfields.TakenError, *billing.LimitError.
func (s *Store) Create(ctx context.Context, in New) (Recipient, error) {
	return inTx(ctx, s, func(tx *tenancy.Tx) (Recipient, error) { return s.create(ctx, tx, in) })
}

// CreateTx is Create in the caller's transaction: after an error, tx goes on as before the
// call.
func (s *Store) CreateTx(ctx context.Context, tx *tenancy.Tx, in New) (Recipient, error) {
	return inSavepoint(ctx, tx, func() (Recipient, error) { return s.create(ctx, tx, in) })
}

func (s *Store) create(ctx context.Context, tx *tenancy.Tx, in New) (Recipient, error) {
	r, _, err := s.insert(ctx, tx, in, false)
	if errors.Is(err, ErrNotFound) { // nothing was inserted
		err = ErrEmailTaken
	}
	return r, err
}

// Upsert adds a recipient, or changes the one that has the address: name and status
// where they are given, and the given custom fields, of which nil clears one. Errors:
// *tenancy.ValidationError, *customfields.TakenError, *billing.LimitError.
func (s *Store) Upsert(ctx context.Context, in New) (r Recipient, created bool, err error) {
	r, err = inTx(ctx, s, func(tx *tenancy.Tx) (r Recipient, err error) {
		r, created, err = s.insert(ctx, tx, in, true)
		return r, err
	})
	return r, created && err == nil, err
}

// UpsertTx is Upsert in the caller's transaction: after an error, tx goes on as before the
// call.
func (s *Store) UpsertTx(ctx context.Context, tx *tenancy.Tx, in New) (r Recipient, created bool, err error) {
	r, err = inSavepoint(ctx, tx, func() (r Recipient, err error) {
		r, created, err = s.insert(ctx, tx, in, true)
		return r, err
	})
	return r, created && err == nil, err
}

// insert adds a recipient. One that has the address is changed with update, and without
// it left alone: ErrNotFound.
func (s *Store) insert(ctx context.Context, tx *tenancy.Tx, in New, update bool) (r Recipient, created bool, err error) {
	t, err := tenancy.DomainFrom(ctx)
	if err != nil {
		return Recipient{}, false, err
	}
	set, err := s.fields.SetTx(ctx, tx)
	if err != nil {
		return Recipient{}, false, err
	}
	n, err := normalize(set, in)
	if err != nil {
		return Recipient{}, false, err
	}
	id := tenancy.NewID[Recipient]()
	args := []any{t.DomainID, id, t.CompanyID, t.WorkspaceID, n.email, n.emailNorm, n.name, string(n.status), customfields.AppendJSON(nil, n.fields)}
	onConflict, changed := `NOTHING`, []string{}
	if update {
		args = append(args, n.cleared, n.defaulted)
		onConflict = `UPDATE SET custom_fields = (r.custom_fields || (excluded.custom_fields - $11::text[])) - $10::text[], version = r.version + 1, updated_at = now()`
		if strings.TrimSpace(in.Name) != "" {
			onConflict, changed = onConflict+`, name = excluded.name`, append(changed, "name")
		}
		if in.Status != "" {
			onConflict, changed = onConflict+`, status = excluded.status`, append(changed, "status")
		}
	}
	rows, err := tx.Query(ctx, tx.SQL(`INSERT INTO strata.recipients AS r (domain_id, id, company_id, workspace_id, email, email_norm, name, status, custom_fields)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
		ON CONFLICT (domain_id, email_norm) WHERE deleted_at IS NULL DO `+onConflict+` RETURNING `+recipientColumns), args...)
	if r, err = one(set, rows, err); err != nil {
		return Recipient{}, false, err
	}
	if r.ID != id {
		changed = append(changed, slices.Sorted(maps.Keys(in.CustomFields))...) // set or cleared
		return r, false, s.record(ctx, tx, "recipient.updated", r.ID, changed)
	}
	if err := s.record(ctx, tx, "recipient.created", id, n.given); err != nil {
		return Recipient{}, false, err
	}
	return r, true, s.limits.Consume(ctx, tx, billing.ResourceRecipients, 1)
}
