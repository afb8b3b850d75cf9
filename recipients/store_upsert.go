package recipients

import (
	"context"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/billing"
	"github.com/stratakit/strata/tenancy"
)

// Outcome is what an upsert did with a row.
type Outcome string

// The outcomes.
const (
	Created   Outcome = "created"
	Updated   Outcome = "updated"
	Unchanged Outcome = "unchanged" // it was so already, and has no new version and no audit entry
)

// Upserted is a recipient as it is after an upsert.
type Upserted struct {
	Recipient

	Outcome Outcome `json:"outcome"`
}

// Upsert adds a recipient, or changes the one that has the address: name and status
// where they are given, and the given custom fields, of which nil clears one. A status that
// is stricter than the one given stays (Status). Errors: *tenancy.ValidationError,
// *customfields.TakenError, *billing.LimitError.
func (s *Store) Upsert(ctx context.Context, in New) (r Recipient, created bool, err error) {
	u, err := one(inTx(ctx, s, func(tx *tenancy.Tx) ([]Upserted, error) { return s.upsert(ctx, tx, []New{in}) }))
	return u.Recipient, u.Outcome == Created, err
}

// UpsertTx is Upsert in the caller's transaction: after an error, tx goes on as before the
// call.
func (s *Store) UpsertTx(ctx context.Context, tx *tenancy.Tx, in New) (r Recipient, created bool, err error) {
	u, err := one(inSavepoint(ctx, tx, func(tx *tenancy.Tx) ([]Upserted, error) { return s.upsert(ctx, tx, []New{in}) }))
	return u.Recipient, u.Outcome == Created, err
}

// UpsertMany is Upsert for up to MaxBatch recipients, all or none, each address once. It
// returns them in the order of in. Errors: ErrTooMany, *tenancy.ValidationError with all that
// is wrong with any row, *billing.LimitError.
func (s *Store) UpsertMany(ctx context.Context, in []New) ([]Upserted, error) {
	return many(inTx(ctx, s, func(tx *tenancy.Tx) ([]Upserted, error) { return s.upsert(ctx, tx, in) }))
}

// UpsertManyTx is UpsertMany in the caller's transaction: after an error, tx goes on as before
// the call.
func (s *Store) UpsertManyTx(ctx context.Context, tx *tenancy.Tx, in []New) ([]Upserted, error) {
	return many(inSavepoint(ctx, tx, func(tx *tenancy.Tx) ([]Upserted, error) { return s.upsert(ctx, tx, in) }))
}

func (s *Store) upsert(ctx context.Context, tx *tenancy.Tx, in []New) ([]Upserted, error) {
	set, err := s.begin(ctx, tx, len(in))
	if err != nil || len(in) == 0 {
		return nil, err
	}
	rows, a, wrong, err := normalizeAll(set, in)
	if err != nil {
		return nil, err
	}
	if err := wrong.orNil(); err != nil {
		return nil, err
	}
	out := make([]Upserted, len(in))
	var record []audit.Entry
	created := 0
	for len(a) > 0 { // once, unless others come and go
		norms := make([]string, 0, len(a))
		for norm := range a {
			norms = append(norms, norm)
		}
		there, err := s.hold(ctx, tx, `r.email_norm = ANY ($2) AND `+live, norms)
		if err != nil {
			return nil, err
		}
		writes := make([]write, 0, len(there))
		for i := range there {
			row := a[there[i].emailNorm]
			delete(a, there[i].emailNorm)
			w := writing(row, &there[i])
			w.merge(set, in[row], rows[row])
			if !w.changes() {
				out[row] = Upserted{there[i].named(set), Unchanged}
				continue
			}
			writes = append(writes, w)
			record = append(record, entry("recipient.updated", w.id, w.changed))
		}
		updated, err := s.write(ctx, tx, set, len(in), writes)
		if err != nil {
			return nil, err
		}
		for row, r := range updated {
			out[row] = Upserted{r, Updated}
		}
		if len(a) == 0 {
			break
		}
		inserted, err := s.insert(ctx, tx, set, rows, a)
		if err != nil {
			return nil, err
		}
		for row, r := range inserted {
			delete(a, rows[row].emailNorm)
			out[row] = Upserted{r, Created}
			record = append(record, entry("recipient.created", r.ID, rows[row].given))
		}
		created += len(inserted)
	}
	if err := s.audit.RecordTx(ctx, tx, record...); err != nil {
		return nil, err
	}
	return out, s.limits.Consume(ctx, tx, billing.ResourceRecipients, int64(created))
}
