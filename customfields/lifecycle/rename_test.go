package lifecycle_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/billing"
	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/customfields/lifecycle"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
)

// segments is a product's table of filters.
type segments struct{}

const segmentsSQL = `
	CREATE TABLE segments (workspace_id uuid NOT NULL, id text NOT NULL, filter text NOT NULL, PRIMARY KEY (workspace_id, id));
	ALTER TABLE segments ENABLE ROW LEVEL SECURITY;
	CREATE POLICY tenant ON segments TO strata_app USING (workspace_id = (SELECT nullif(current_setting('strata.workspace_id', true), '')::uuid));
	GRANT SELECT, INSERT, UPDATE ON segments TO strata_app`

func (segments) Kind() string { return "segment" }

func (segments) Filters(ctx context.Context, tx *tenancy.Tx) ([]lifecycle.Saved, error) {
	rows, err := tx.Query(ctx, `SELECT id, 'Segment ' || id, filter FROM segments WHERE workspace_id = $1 ORDER BY id`, tx.Tenant().WorkspaceID)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[lifecycle.Saved])
}

func (segments) Rewrite(ctx context.Context, tx *tenancy.Tx, id, expression string) error {
	_, err := tx.Exec(ctx, `UPDATE segments SET filter = $3 WHERE workspace_id = $1 AND id = $2`, tx.Tenant().WorkspaceID, id, expression)
	return err
}

func withSegments(c *lifecycle.Config) { c.Holders = []lifecycle.Holder{segments{}} }

// openSegments is a world with segments, those given in company A by their ids.
func openSegments(t *testing.T, filters map[string]string) *world {
	t.Helper()
	w := open(t, withSegments)
	_, err := w.Pool.Exec(t.Context(), segmentsSQL)
	require.NoError(t, err)
	require.NoError(t, w.DB.InTx(w.A.WorkspaceCtx, func(tx *tenancy.Tx) error {
		for id, filter := range filters {
			if _, err := tx.Exec(t.Context(), `INSERT INTO segments VALUES ($1, $2, $3)`, w.A.WorkspaceID, id, filter); err != nil {
				return err
			}
		}
		return nil
	}))
	return w
}

func (w *world) segments(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	require.NoError(t, w.DB.InTx(w.A.WorkspaceCtx, func(tx *tenancy.Tx) error {
		saved, err := segments{}.Filters(t.Context(), tx)
		for _, s := range saved {
			out[s.ID] = s.Expression
		}
		return err
	}))
	return out
}

func TestRename(t *testing.T) {
	t.Parallel()
	w := openSegments(t, map[string]string{
		"big": "fields.size == \"1\" // fields.size\n || has(fields.size)", "city": `fields.city == "fields.size"`, "broken": `fields.size ==`,
	})
	ctx := w.A.WorkspaceCtx
	w.define(t, customfields.Field{Key: "size", Type: customfields.Text})
	w.define(t, customfields.Field{Key: "city", Type: customfields.Text})
	ids := w.fill(t, w.A.Ctx, 2, `jsonb_build_object('size', i::text)`)

	var invalid *tenancy.ValidationError
	_, err := w.manager.Rename(ctx, "size", "city")
	require.ErrorIs(t, err, customfields.ErrKeyTaken)
	_, err = w.manager.Rename(ctx, "size", "Wrong Key")
	require.ErrorAs(t, err, &invalid)
	f, err := w.manager.Rename(ctx, "size", "weight")
	require.NoError(t, err)
	require.Equal(t, []string{"weight", "size"}, []string{f.Key, f.Slot})
	require.Equal(t, map[string]string{
		"big": "fields.weight == \"1\" // fields.size\n || has(fields.weight)", "city": `fields.city == "fields.size"`, "broken": `fields.size ==`,
	}, w.segments(t))
	found, err := w.manager.Dependents(ctx, "weight")
	require.NoError(t, err)
	require.Len(t, found, 1)
	require.Equal(t, "Segment big", found[0].Name)

	r, err := w.recipients.Get(w.A.Ctx, ids[0])
	require.NoError(t, err)
	if _, old := r.CustomFields["size"]; !old { // this process may be late
		require.Equal(t, map[string]any{"weight": "1"}, r.CustomFields)
	}
	_, err = w.fields.Current(ctx)
	require.NoError(t, err)
	r, err = w.recipients.Update(w.A.Ctx, ids[0], recipients.Change{CustomFields: map[string]any{"weight": "5"}})
	require.NoError(t, err)
	require.Equal(t, map[string]any{"weight": "5"}, r.CustomFields)
	require.Equal(t, map[string]any{"size": "5"}, w.stored(t, w.A.DomainID)[ids[0]])

	// Processes that are late would still take the old key for this field.
	_, err = w.fields.Create(ctx, customfields.Field{Key: "size", Label: "Size", Type: customfields.Number})
	require.ErrorIs(t, err, customfields.ErrKeyHeld)
	_, err = w.manager.Rename(ctx, "city", "size")
	require.ErrorIs(t, err, customfields.ErrKeyHeld)
	_, err = w.fields.Create(w.B.WorkspaceCtx, customfields.Field{Key: "size", Label: "Size", Type: customfields.Number})
	require.NoError(t, err, "nobody else's")
	require.NoError(t, w.DB.InTx(ctx, func(tx *tenancy.Tx) error {
		if _, err := tx.Exec(ctx, tx.SQL(`UPDATE strata.custom_fields SET updated_at = updated_at - interval '1 minute'`)); err != nil {
			return err
		}
		return w.Audit.RecordChange(ctx, tx, tenancy.Change{Action: "custom_field.aged"})
	}))

	// Then the key is free, and a new field of it has values of its own.
	w.define(t, customfields.Field{Key: "size", Type: customfields.Number})
	_, err = w.fields.Current(ctx)
	require.NoError(t, err)
	r, err = w.recipients.Update(w.A.Ctx, ids[0], recipients.Change{CustomFields: map[string]any{"size": 9}})
	require.NoError(t, err)
	require.Equal(t, map[string]any{"weight": "5", "size": 9.0}, r.CustomFields)
	require.Equal(t, map[string]any{"size": "5", "size~2": 9.0}, w.stored(t, w.A.DomainID)[ids[0]])
	r, err = w.recipients.Update(w.A.Ctx, ids[0], recipients.Change{CustomFields: map[string]any{"weight": nil}})
	require.NoError(t, err)
	require.Equal(t, map[string]any{"size": 9.0}, r.CustomFields)
}

// A holder that cannot rewrite leaves everything as it was.
func TestRenameIsWhole(t *testing.T) {
	t.Parallel()
	w := openSegments(t, map[string]string{"a": `fields.size == "1"`})
	w.define(t, customfields.Field{Key: "size", Type: customfields.Text})
	_, err := w.Pool.Exec(t.Context(), `REVOKE UPDATE ON segments FROM strata_app`)
	require.NoError(t, err)
	_, err = w.manager.Rename(w.A.WorkspaceCtx, "size", "weight")
	require.ErrorContains(t, err, `segment "Segment a"`)
	set, err := w.fields.Current(w.A.WorkspaceCtx)
	require.NoError(t, err)
	require.Equal(t, []string{"size"}, set.Keys())
}

func TestWhatBreaksFilters(t *testing.T) {
	t.Parallel()
	w := openSegments(t, map[string]string{"a": `fields.tier == "gold"`, "b": `has(fields.tier)`, "c": `fields.tier in ["silver", "gold"]`})
	ctx := w.A.WorkspaceCtx
	w.define(t, customfields.Field{Key: "tier", Type: customfields.Select, Options: []string{"gold", "silver", "1"}})
	w.work(t)
	var inUse *lifecycle.InUseError
	require.ErrorAs(t, w.manager.Archive(ctx, "tier", false), &inUse)
	require.Len(t, inUse.Filters, 3)
	p, err := w.manager.Preview(ctx, "tier", customfields.Number, nil)
	require.NoError(t, err)
	require.Len(t, p.Broken, 2)
	_, err = w.manager.Convert(ctx, "tier", customfields.Number, nil)
	require.ErrorAs(t, err, &inUse)
	require.Equal(t, []string{"a", "c"}, []string{inUse.Filters[0].ID, inUse.Filters[1].ID})
	_, err = w.manager.RemoveOption(ctx, "tier", "gold", "", false)
	require.ErrorAs(t, err, &inUse)
	require.Len(t, inUse.Filters, 2)
	run, err := w.manager.RemoveOption(ctx, "tier", "gold", "silver", false)
	require.NoError(t, err)
	require.Equal(t, lifecycle.Done, w.await(t, ctx, run.ID).State)
	require.Equal(t, map[string]string{"a": `fields.tier == "silver"`, "b": `has(fields.tier)`, "c": `fields.tier in ["silver", "silver"]`}, w.segments(t))
	run, err = w.manager.Convert(ctx, "tier", customfields.Number, &lifecycle.ConvertOptions{Force: true})
	require.NoError(t, err)
	require.Equal(t, lifecycle.Done, w.await(t, ctx, run.ID).State)
	require.NoError(t, w.manager.Archive(ctx, "tier", true))
}

func TestRemoveOption(t *testing.T) {
	t.Parallel()
	w := open(t)
	ctx := w.A.WorkspaceCtx
	w.define(t, customfields.Field{Key: "tier", Type: customfields.Select, Options: []string{"gold", "silver"}})
	w.define(t, customfields.Field{Key: "tags", Type: customfields.MultiSelect, Options: []string{"a", "b", "c"}})
	ids := w.fill(t, w.A.Ctx, 3, `CASE i WHEN 1 THEN '{"tier":"gold","tags":["b"]}' WHEN 2 THEN '{"tier":"silver","tags":["a","b","c"]}' ELSE '{"tags":["a"]}' END::jsonb`)
	for _, wrong := range [][3]string{{"tier", "bronze", ""}, {"tier", "gold", "bronze"}, {"tier", "gold", "gold"}} {
		_, err := w.manager.RemoveOption(ctx, wrong[0], wrong[1], wrong[2], false)
		require.ErrorIs(t, err, lifecycle.ErrNoSuchOption)
	}
	tier, err := w.manager.RemoveOption(ctx, "tier", "gold", "", false)
	require.NoError(t, err)
	tags, err := w.manager.RemoveOption(ctx, "tags", "b", "c", false)
	require.NoError(t, err)
	_, err = w.recipients.Update(w.A.Ctx, ids[2], recipients.Change{CustomFields: map[string]any{"tags": []any{"a", "b"}}})
	var invalid *tenancy.ValidationError
	require.ErrorAs(t, err, &invalid)
	require.Equal(t, []string{"option_removed", "c"}, []string{invalid.Fields[0].Code, invalid.Fields[0].Suggestion})
	w.work(t)
	require.Equal(t, lifecycle.Done, w.await(t, ctx, tier.ID).State)
	require.Equal(t, lifecycle.Done, w.await(t, ctx, tags.ID).State)
	stored := w.stored(t, w.A.DomainID)
	require.Equal(t, map[string]any{"tags": []any{"c"}}, stored[ids[0]])
	require.Equal(t, map[string]any{"tier": "silver", "tags": []any{"a", "c"}}, stored[ids[1]])
	require.Equal(t, map[string]any{"tags": []any{"a"}}, stored[ids[2]])
	set, err := w.fields.Current(ctx)
	require.NoError(t, err)
	require.Equal(t, []string{"silver"}, set.Field("tier").Options)
	require.Equal(t, []string{"a", "c"}, set.Field("tags").Options)
	_, err = w.manager.RemoveOption(ctx, "tier", "silver", "", false)
	require.ErrorAs(t, err, &invalid, "the only one")
}

func TestArchiveRestorePurge(t *testing.T) {
	t.Parallel()
	w := open(t)
	ctx := w.A.WorkspaceCtx
	used := func() int64 {
		usage, err := w.Limits.Usage(ctx)
		require.NoError(t, err)
		return usage.Resource(billing.ResourceCustomFields).Used
	}
	w.define(t, customfields.Field{Key: "size", Type: customfields.Text})
	ids := w.fill(t, w.A.Ctx, 3, `jsonb_build_object('size', i::text, 'city', 'Oslo')`)
	_, err := w.manager.Restore(ctx, "size")
	require.ErrorIs(t, err, customfields.ErrNotArchived)
	_, err = w.manager.Purge(ctx, "size")
	require.ErrorIs(t, err, lifecycle.ErrNotArchived)
	require.NoError(t, w.manager.Archive(ctx, "size", false))
	require.Zero(t, used())
	f, err := w.manager.Restore(ctx, "size")
	require.NoError(t, err)
	require.Nil(t, f.ArchivedAt)
	require.EqualValues(t, 1, used())
	require.NoError(t, w.manager.Archive(ctx, "size", false))
	run, err := w.manager.Purge(ctx, "size")
	require.NoError(t, err)
	_, err = w.manager.Restore(ctx, "size")
	require.ErrorIs(t, err, customfields.ErrChanging)
	_, err = w.manager.Cancel(ctx, run.ID)
	require.ErrorIs(t, err, lifecycle.ErrTooLate)
	w.work(t)
	run = w.await(t, ctx, run.ID)
	require.Equal(t, lifecycle.Done, run.State, run.Error)
	require.EqualValues(t, 3, run.Changed)
	require.Equal(t, map[string]any{"city": "Oslo"}, w.stored(t, w.A.DomainID)[ids[0]])
	all, err := w.fields.List(ctx)
	require.NoError(t, err)
	require.Empty(t, all)
	require.Zero(t, used())
	w.define(t, customfields.Field{Key: "size", Type: customfields.Number})
	require.Subset(t, w.actions(t), []string{"custom_field.restored", "custom_field.purge_started", "custom_field.purged"})
}

// meddler does something while filters are looked at, once.
type meddler struct {
	segments
	do func()
}

func (m *meddler) Filters(context.Context, *tenancy.Tx) ([]lifecycle.Saved, error) {
	if do := m.do; do != nil {
		m.do = nil
		do()
	}
	return nil, nil
}

// What became of the values was said of the field as it was.
func TestAFieldThatChangesWhileItIsLookedAtIsNotConverted(t *testing.T) {
	t.Parallel()
	between := &meddler{}
	w := open(t, func(c *lifecycle.Config) { c.Holders = []lifecycle.Holder{between} })
	ctx := w.A.WorkspaceCtx
	w.define(t, customfields.Field{Key: "tier", Type: customfields.Select, Options: []string{"a"}})
	between.do = func() {
		_, err := w.fields.Update(ctx, "tier", customfields.Change{Options: &[]string{"a", "b"}})
		require.NoError(t, err)
	}
	_, err := w.manager.Convert(ctx, "tier", customfields.MultiSelect, nil)
	require.ErrorIs(t, err, customfields.ErrChanging)
	_, err = w.manager.Convert(ctx, "tier", customfields.MultiSelect, nil)
	require.NoError(t, err)
	set, err := w.fields.Current(ctx)
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b"}, set.Field("tier").Transition.Next.Options)
}
