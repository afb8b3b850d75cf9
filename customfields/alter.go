package customfields

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stratakit/strata/billing"
	"github.com/stratakit/strata/tenancy"
)

// ByKey and ByID pick a field for AlterTx.
func ByKey(key string) func(Field) bool { return func(f Field) bool { return f.Key == key } }

// ByID picks the field of an id.
func ByID(id ID) func(Field) bool { return func(f Field) bool { return f.ID == id } }

// Alteration is a change of a definition that Update does not make, because the records
// or what names the field have to follow: it is for package lifecycle, which sees to that.
type Alteration struct {
	// Pick says which field, archived or not.
	Pick func(Field) bool
	// Change changes the field as the transaction sees it: its key, slot, type, options,
	// transition, or that it is archived. all are the fields of the workspace as they are.
	Change func(f *Field, all []Field) error
	// Action and Metadata are those of the audit entry.
	Action   string
	Metadata map[string]any
}

// AlterTx makes an Alteration in the caller's transaction, with what CreateTx says of it.
// Errors: ErrNotFound, those of Change, *tenancy.ValidationError, ErrKeyTaken, ErrKeyHeld.
func (r *Registry) AlterTx(ctx context.Context, tx *tenancy.Tx, a Alteration) (Field, error) {
	t, err := r.change(ctx, tx)
	if err != nil {
		return Field{}, err
	}
	all, err := list(ctx, tx, t.WorkspaceID)
	if err != nil {
		return Field{}, err
	}
	i := slices.IndexFunc(all, a.Pick)
	if i < 0 {
		return Field{}, ErrNotFound
	}
	before := all[i]
	f := before
	f.Options, f.ArchivedOptions = slices.Clone(before.Options), slices.Clone(before.ArchivedOptions)
	if err := a.Change(&f, all); err != nil {
		return Field{}, err
	}
	if err := f.check(); err != nil {
		return Field{}, err
	}
	if f.Key != before.Key {
		if err := r.held(ctx, tx, f.Key, f.ID); err != nil {
			return Field{}, err
		}
	}
	rows, err := tx.Query(ctx, tx.SQL(`UPDATE strata.custom_fields AS f SET (label, description, options, archived_options, constraints, date_only, required, default_value, filterable, position,
			key, slot, type, transition, archived_at, version, updated_at) = ($3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, nullif($14, $13), $15, $16, $17, f.version + 1, now())
		WHERE workspace_id = $1 AND id = $2 RETURNING `+fieldColumns),
		append(append([]any{t.WorkspaceID, f.ID}, f.mutable()...), f.Key, f.Slot, string(f.Type), f.Transition, f.ArchivedAt)...)
	if err == nil {
		f, err = pgx.CollectExactlyOneRow(rows, scanField)
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "23505" {
		return Field{}, fmt.Errorf("key %q: %w", f.Key, ErrKeyTaken)
	}
	if err != nil {
		return Field{}, fmt.Errorf("customfields: change a field: %w", err)
	}
	if f.relocated(&before) {
		_, err := tx.Exec(ctx, tx.SQL(`UPDATE strata.custom_field_sets SET layout = version WHERE workspace_id = $1`), t.WorkspaceID)
		if err != nil {
			return Field{}, fmt.Errorf("customfields: %w", err)
		}
	}
	return f, r.recordWith(ctx, tx, a.Action, f, a.Metadata)
}

// RemoveTx deletes an archived field in the caller's transaction, with what CreateTx says
// of it. Its values must be gone: see lifecycle.Manager.Purge.
func (r *Registry) RemoveTx(ctx context.Context, tx *tenancy.Tx, id ID, action string) error {
	t, err := r.change(ctx, tx)
	if err != nil {
		return err
	}
	f, err := r.FindTx(ctx, tx, ByID(id))
	if err != nil {
		return err
	}
	if f.ArchivedAt == nil {
		return fmt.Errorf("customfields: the field %s is not archived", f.Key)
	}
	if _, err := tx.Exec(ctx, tx.SQL(`DELETE FROM strata.custom_fields WHERE workspace_id = $1 AND id = $2`), t.WorkspaceID, id); err != nil {
		return fmt.Errorf("customfields: delete a field: %w", err)
	}
	return r.record(ctx, tx, action, f)
}

// FindTx returns a field, archived or not, as the transaction sees it, or ErrNotFound.
func (r *Registry) FindTx(ctx context.Context, tx *tenancy.Tx, pick func(Field) bool) (Field, error) {
	t, err := workspace(ctx, tx)
	if err != nil {
		return Field{}, err
	}
	all, err := list(ctx, tx, t.WorkspaceID)
	if err != nil {
		return Field{}, err
	}
	i := slices.IndexFunc(all, pick)
	if i < 0 {
		return Field{}, ErrNotFound
	}
	return all[i], nil
}

// Restore brings an archived field back, with the values that the records have kept. It
// counts towards the plan again. Errors: ErrNotFound, ErrNotArchived, ErrChanging while it
// is purged, *billing.LimitError, tenancy.ErrNotFound when the workspace is deleted.
func (r *Registry) Restore(ctx context.Context, key string) (out Field, err error) {
	err = r.db.InTx(ctx, func(tx *tenancy.Tx) error {
		out, err = r.RestoreTx(ctx, tx, key)
		return err
	})
	return out, err
}

// RestoreTx is Restore in the caller's transaction, with what CreateTx says of it.
func (r *Registry) RestoreTx(ctx context.Context, tx *tenancy.Tx, key string) (Field, error) {
	f, err := r.AlterTx(ctx, tx, Alteration{
		Pick: ByKey(key), Action: "custom_field.restored",
		Change: func(f *Field, _ []Field) error {
			switch {
			case f.Transition != nil:
				return f.changing()
			case f.ArchivedAt == nil:
				return ErrNotArchived
			}
			f.ArchivedAt = nil
			return nil
		},
	})
	if err != nil {
		return Field{}, err
	}
	if err := tx.LiveWorkspace(ctx); err != nil {
		return Field{}, err
	}
	return f, r.limits.Consume(ctx, tx, billing.ResourceCustomFields, 1)
}

// recordWith is record with more to say.
func (r *Registry) recordWith(ctx context.Context, tx *tenancy.Tx, action string, f Field, more map[string]any) error {
	e := entry(action, f)
	maps.Copy(e.Metadata, more)
	return r.audit.RecordTx(ctx, tx, e)
}

// held returns ErrKeyHeld for a key that is the place of another field's values since it was
// renamed, while there may be processes that know the field by its old key: what they are
// given for this one they would store there.
func (r *Registry) held(ctx context.Context, tx *tenancy.Tx, key string, id ID) error {
	const commit = 10 * time.Second // what the renaming may have lasted
	var held bool
	err := tx.QueryRow(ctx, tx.SQL(`SELECT EXISTS (SELECT FROM strata.custom_fields
		WHERE workspace_id = $1 AND slot = $2 AND id <> $3 AND updated_at > clock_timestamp() - $4::interval)`), tx.Tenant().WorkspaceID, key, id, r.cfg.Lifetime+commit).Scan(&held)
	switch {
	case err != nil:
		return fmt.Errorf("customfields: look for who had a key: %w", err)
	case held:
		return fmt.Errorf("key %q: %w", key, ErrKeyHeld)
	}
	return nil
}

// changing is ErrChanging with what is going on.
func (f *Field) changing() error {
	return fmt.Errorf("field %s, run %s: %w", f.Key, f.Transition.RunID, ErrChanging)
}

// Lifetime is Config.Lifetime: after how long every process has the current definitions.
func (r *Registry) Lifetime() time.Duration { return r.cfg.Lifetime }
