package customfields

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/tenancy"
)

// The values of Field.UniqueState.
const (
	Building = "building"
	Clearing = "clearing"
)

// HoldValues names the table whose rows have the values of custom fields, as
// "strata.recipients": with columns domain_id, id, company_id, workspace_id, custom_fields
// and deleted_at, and the triggers of strata.take_unique_values. The package that owns the
// table calls it when it is made, before the Registry is used.
func (r *Registry) HoldValues(table string) { r.values = table }

// checkUnique says which fields can be unique.
func (f *Field) checkUnique(v *tenancy.ValidationError) {
	switch {
	case !f.Unique:
	case f.Type == Select || f.Type == MultiSelect || f.Type == Boolean:
		v.Add("unique", "not_allowed", "only text, number, date, url and email can be unique")
	case f.Default != nil:
		v.Add("unique", "not_allowed", "a unique field has no default: the second record would not get it")
	}
}

// turnUnique returns the new unique_state of f as it was, or "" when it stays.
func (r *Registry) turnUnique(before, after Field) (string, error) {
	switch {
	case before.Unique == after.Unique:
		return "", nil
	case before.Unique:
		return Clearing, nil
	case before.Transition != nil:
		return "", before.changing()
	case before.UniqueState == Clearing:
		return "", fmt.Errorf("key %q: %w", before.Key, ErrUniqueBusy)
	case r.values == "":
		return "", errors.New("customfields: no table of values is known: the package that has one calls HoldValues")
	}
	return Building, nil
}

// UniqueTx returns the keys of the unique fields, and the slots of their values, as they are
// now, whatever a Set says that was read before.
func (r *Registry) UniqueTx(ctx context.Context, tx *tenancy.Tx) (keys, slots []string, err error) {
	t, err := workspace(ctx, tx)
	if err != nil {
		return nil, nil, err
	}
	err = tx.Read(ctx, `SELECT key, coalesce(slot, key) FROM strata.custom_fields WHERE workspace_id = $1 AND unique_state IN ('building', 'on') ORDER BY key`, []any{t.WorkspaceID}, func(rows pgx.Rows) error {
		for rows.Next() {
			var key, slot string
			if err := rows.Scan(&key, &slot); err != nil {
				return err
			}
			keys, slots = append(keys, key), append(slots, slot)
		}
		return nil
	})
	return keys, slots, err
}

// Taken returns err as a *TakenError when it is PostgreSQL's about a value of a unique
// field, and otherwise as it is.
func Taken(err error) error {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || pg.ConstraintName != "custom_field_uniques_pkey" {
		return err
	}
	taken := &TakenError{}
	_ = json.Unmarshal([]byte(pg.Detail), &taken.Values) // nothing in it: it had become free again
	return taken
}

// SettleUniques ends what was begun and not ended, because its process died, for every
// workspace: fields that are becoming unique and fields that were. It returns how many it
// settled. Any number of processes may call it at once. A field whose values are not unique
// is not unique again, which the audit log says.
func (r *Registry) SettleUniques(ctx context.Context) (int, error) {
	type place struct {
		tenant tenancy.Tenant
		id     ID
		key    string
	}
	var due []place
	err := r.db.ReadTrusted(ctx, `SELECT company_id, workspace_id, id, key FROM strata.custom_fields WHERE unique_state IN ('building', 'clearing')`, nil, func(rows pgx.Rows) (err error) {
		due, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (p place, err error) {
			err = row.Scan(&p.tenant.CompanyID, &p.tenant.WorkspaceID, &p.id, &p.key)
			return p, err
		})
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("customfields: find fields that are becoming unique: %w", err)
	}
	settled := 0
	var errs []error
	for _, p := range due {
		ctx := tenancy.WithActor(tenancy.WithTenant(ctx, p.tenant), tenancy.Actor{Type: tenancy.ActorSystem})
		f, err := r.byID(ctx, p.id)
		if err == nil {
			_, err = r.settleUnique(ctx, f)
		}
		var duplicates *DuplicatesError
		if err == nil || errors.As(err, &duplicates) {
			settled++
		} else {
			errs = append(errs, fmt.Errorf("customfields: settle the unique field %s of workspace %s: %w", p.key, p.tenant.WorkspaceID, err))
		}
	}
	return settled, errors.Join(errs...)
}

// settleUnique brings a field that is becoming unique, or is not unique any more, there. It
// may be broken off and done again at any place.
func (r *Registry) settleUnique(ctx context.Context, f Field) (Field, error) {
	if f.UniqueState == "" {
		return f, nil
	}
	if err := r.awaitWriters(ctx); err != nil {
		return f, err
	}
	if f.UniqueState == Clearing {
		return r.clearUnique(ctx, f)
	}
	duplicates, err := r.claimAll(ctx, f)
	if errors.Is(err, ErrUniqueBusy) { // somebody else has settled it meanwhile
		if now, found := r.byID(ctx, f.ID); found == nil && now.Unique && now.UniqueState == "" && now.uniqueRun == f.uniqueRun {
			return now, nil
		}
	}
	if err != nil {
		return f, err
	}
	if duplicates == nil {
		return r.endUnique(ctx, f, "on", audit.Entry{Action: "custom_field.unique"})
	}
	out, err := r.endUnique(ctx, f, Clearing, audit.Entry{Action: "custom_field.not_unique", Status: audit.Failure, ErrorMessage: duplicates.Error()})
	if err != nil {
		return out, err
	}
	if out.UniqueState == Clearing {
		if out, err = r.settleUnique(ctx, out); err != nil {
			return out, err
		}
	}
	return out, duplicates
}

// awaitWriters waits for the transactions that are writing now: their triggers may have read
// the definitions of before. Later ones have read those of now.
func (r *Registry) awaitWriters(ctx context.Context) error {
	number := func(q string) (n int64, err error) {
		err = r.db.Read(ctx, q, nil, func(rows pgx.Rows) (err error) {
			n, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[int64])
			return err
		})
		return n, err
	}
	next, err := number(`SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint`)
	for pause := 5 * time.Millisecond; err == nil; pause = min(2*pause, time.Second) {
		var oldest int64
		if oldest, err = number(`SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint`); err != nil || oldest >= next {
			break
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
	return err
}

// endUnique gives a field that is in the state and run of f its next state, and returns the
// field as it is then: when somebody else has changed it meanwhile, as that left it.
func (r *Registry) endUnique(ctx context.Context, f Field, state string, entry audit.Entry) (out Field, err error) {
	err = r.db.InTx(ctx, func(tx *tenancy.Tx) error {
		t, err := r.change(ctx, tx)
		if err != nil {
			return err
		}
		rows, err := tx.Query(ctx, tx.SQL(`UPDATE strata.custom_fields AS f SET unique_state = $5, version = f.version + 1, updated_at = now()
			WHERE workspace_id = $1 AND id = $2 AND unique_state = $3 AND unique_run = $4 RETURNING `+fieldColumns), t.WorkspaceID, f.ID, f.UniqueState, f.uniqueRun, state)
		if err != nil {
			return err
		}
		if out, err = one(rows); err != nil {
			return err
		}
		entry.ResourceType, entry.ResourceID, entry.Metadata = "custom_field", f.ID.String(), map[string]any{"key": f.Key}
		return r.audit.RecordTx(ctx, tx, entry)
	})
	if errors.Is(err, ErrNotFound) {
		return r.byID(ctx, f.ID)
	}
	return out, err
}

// byID is Get for a field whose key may have changed.
func (r *Registry) byID(ctx context.Context, id ID) (Field, error) {
	all, err := r.List(ctx)
	if err != nil {
		return Field{}, err
	}
	i := slices.IndexFunc(all, ByID(id))
	if i < 0 {
		return Field{}, ErrNotFound
	}
	return all[i], nil
}

// clearUnique forgets which values of f are taken.
func (r *Registry) clearUnique(ctx context.Context, f Field) (Field, error) {
	// Of domains that are deleted too: nobody else would.
	err := r.eachDomain(tenancy.WithDeleted(ctx), true, func(ctx context.Context, t tenancy.Tenant) error {
		for rows := int64(uniqueBatch); rows == uniqueBatch; {
			err := r.db.InTx(ctx, func(tx *tenancy.Tx) error {
				// A range of the key needs no luck with the plan. No hash is beyond the one that is the last.
				tag, err := tx.Exec(ctx, tx.SQL(`DELETE FROM strata.custom_field_uniques WHERE domain_id = $1 AND slot = $2 AND hash <= coalesce(
					(SELECT hash FROM strata.custom_field_uniques WHERE domain_id = $1 AND slot = $2 ORDER BY hash OFFSET $3 - 1 LIMIT 1),
					decode(repeat('ff', 17), 'hex'))`), t.DomainID, f.Slot, uniqueBatch)
				rows = tag.RowsAffected()
				return err
			})
			if err != nil {
				return fmt.Errorf("customfields: forget the values of a field: %w", err)
			}
		}
		return nil
	})
	if err != nil {
		return f, err
	}
	return r.endUnique(ctx, f, "off", audit.Entry{Action: "custom_field.unique_off"})
}

// eachDomain calls fn in the scope of every domain of the workspace of ctx, also of those that
// are deleted if so asked.
func (r *Registry) eachDomain(ctx context.Context, deleted bool, fn func(ctx context.Context, t tenancy.Tenant) error) error {
	t, err := tenancy.WorkspaceFrom(ctx)
	if err != nil {
		return err
	}
	var domains []tenancy.DomainID
	err = r.db.Read(ctx, `SELECT id FROM strata.domains WHERE company_id = $1 AND workspace_id = $2 AND ($3 OR deleted_at IS NULL) ORDER BY id`,
		[]any{t.CompanyID, t.WorkspaceID, deleted}, func(rows pgx.Rows) (err error) {
			domains, err = pgx.CollectRows(rows, pgx.RowTo[tenancy.DomainID])
			return err
		})
	if err != nil {
		return fmt.Errorf("customfields: find the domains of the workspace: %w", err)
	}
	for _, t.DomainID = range domains {
		// One that is gone since has no records that matter.
		if err := fn(tenancy.WithTenant(ctx, t), t); err != nil && !errors.Is(err, tenancy.ErrNotFound) {
			return err
		}
	}
	return nil
}
