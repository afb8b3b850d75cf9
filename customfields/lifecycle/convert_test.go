package lifecycle_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/customfields/lifecycle"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
)

func TestConvert(t *testing.T) {
	t.Parallel()
	w := open(t)
	ctx := w.A.WorkspaceCtx
	w.define(t, customfields.Field{Key: "size", Type: customfields.Text})
	w.define(t, customfields.Field{Key: "city", Type: customfields.Text})
	ids := w.fill(t, w.A.Ctx, 1000, `CASE WHEN i % 100 = 0 THEN '{"size":"many","city":"Oslo"}' WHEN i % 10 = 0 THEN '{"city":"Oslo"}' ELSE jsonb_build_object('size', i::text) END`)
	second := w.Domain(t, w.A, "second.example")
	w.fill(t, second, 30, `jsonb_build_object('size', ' ' || i || '.50 ')`)
	w.fill(t, w.B.Ctx, 5, `jsonb_build_object('size', 'theirs')`)

	p, err := w.manager.Preview(ctx, "size", customfields.Number, nil)
	require.NoError(t, err)
	require.Equal(t, []int64{940, 930, 10}, []int64{p.Values, p.Convertible, p.Lost})
	require.Len(t, p.Samples, 10)
	require.Equal(t, "many", p.Samples[0].Value)
	require.Equal(t, "invalid_number", p.Samples[0].Code)
	_, err = w.manager.Convert(ctx, "size", customfields.Number, &lifecycle.ConvertOptions{AcceptLoss: 9})
	var loss *lifecycle.LossError
	require.ErrorAs(t, err, &loss)
	require.EqualValues(t, 10, loss.Lost)

	run, err := w.manager.Convert(ctx, "size", customfields.Number, &lifecycle.ConvertOptions{AcceptLoss: 10})
	require.NoError(t, err)
	require.Equal(t, lifecycle.Running, run.State)
	_, err = w.manager.Convert(ctx, "size", customfields.URL, &lifecycle.ConvertOptions{AcceptLoss: 1000})
	require.ErrorIs(t, err, customfields.ErrChanging)
	require.ErrorIs(t, w.fields.Archive(ctx, "size"), customfields.ErrChanging)
	// A writer stores both, and is told what cannot be converted.
	_, err = w.recipients.Update(w.A.Ctx, ids[0], recipients.Change{CustomFields: map[string]any{"size": "none"}})
	var invalid *tenancy.ValidationError
	require.ErrorAs(t, err, &invalid)
	require.Equal(t, "converting", invalid.Fields[0].Code)
	r, err := w.recipients.Update(w.A.Ctx, ids[0], recipients.Change{CustomFields: map[string]any{"size": "7e2"}})
	require.NoError(t, err)
	require.Equal(t, map[string]any{"size": "7e2"}, r.CustomFields)
	require.Equal(t, map[string]any{"size": "7e2", "size~2": 700.0}, w.stored(t, w.A.DomainID)[ids[0]])
	_, _, err = w.recipients.Upsert(w.A.Ctx, recipients.New{Email: "r2@example.com", CustomFields: map[string]any{"size": nil}})
	require.NoError(t, err)
	require.Empty(t, w.stored(t, w.A.DomainID)[ids[1]])

	w.work(t)
	run = w.await(t, ctx, run.ID)
	require.Equal(t, lifecycle.Done, run.State, run.Error)
	require.Equal(t, []int64{1030, 939, 10}, []int64{run.Processed, run.Changed, run.Lost})
	set, err := w.fields.Current(ctx)
	require.NoError(t, err)
	f := set.Field("size")
	require.Equal(t, []any{customfields.Number, "size~2", (*customfields.Transition)(nil)}, []any{f.Type, f.Slot, f.Transition})
	for i, id := range ids {
		r, err := w.recipients.Get(w.A.Ctx, id)
		require.NoError(t, err)
		switch n := i + 1; {
		case n == 1:
			require.Equal(t, map[string]any{"size": 700.0}, r.CustomFields)
		case n == 2:
			require.Empty(t, r.CustomFields)
		case n%10 == 0:
			require.Equal(t, map[string]any{"city": "Oslo"}, r.CustomFields)
		default:
			require.Equal(t, map[string]any{"size": float64(n)}, r.CustomFields)
		}
	}
	page, err := w.recipients.List(second, recipients.Query{Sort: "email"})
	require.NoError(t, err)
	require.Equal(t, 10.5, page.Items[0].CustomFields["size"])
	for _, fields := range w.stored(t, w.B.DomainID) {
		require.Equal(t, map[string]any{"size": "theirs"}, fields)
	}
	require.Subset(t, w.actions(t), []string{"custom_field.conversion_started", "custom_field.values_changed", "custom_field.conversion_flipped", "custom_field.conversion_finished"})

	// To the type it has: the values come back under the key.
	run, err = w.manager.Convert(ctx, "size", customfields.Number, nil)
	require.NoError(t, err)
	require.Equal(t, lifecycle.Done, w.await(t, ctx, run.ID).State)
	require.Equal(t, map[string]any{"size": 700.0}, w.stored(t, w.A.DomainID)[ids[0]])
	_, err = w.manager.Convert(ctx, "size", customfields.Number, nil)
	require.ErrorIs(t, err, lifecycle.ErrNotConvertible)
	_, err = w.manager.Convert(ctx, "size", customfields.Date, nil)
	require.ErrorIs(t, err, lifecycle.ErrNotConvertible)
}

func TestConvertMakesOptions(t *testing.T) {
	t.Parallel()
	w := open(t)
	ctx := w.A.WorkspaceCtx
	w.define(t, customfields.Field{Key: "tags", Type: customfields.Text})
	ids := w.fill(t, w.A.Ctx, 3, `jsonb_build_object('tags', CASE i WHEN 1 THEN 'red; blue' WHEN 2 THEN ' blue' ELSE repeat('x', 300) END)`)
	p, err := w.manager.Preview(ctx, "tags", customfields.MultiSelect, nil)
	require.NoError(t, err)
	require.Equal(t, []string{"blue", "red"}, p.Options)
	require.EqualValues(t, 1, p.Lost)
	run, err := w.manager.Convert(ctx, "tags", customfields.MultiSelect, &lifecycle.ConvertOptions{AcceptLoss: 1})
	require.NoError(t, err)
	w.work(t)
	require.Equal(t, lifecycle.Done, w.await(t, ctx, run.ID).State)
	require.Equal(t, map[string]any{"tags~2": []any{"blue", "red"}}, w.stored(t, w.A.DomainID)[ids[0]])

	run, err = w.manager.Convert(ctx, "tags", customfields.Text, nil)
	require.NoError(t, err)
	require.Equal(t, lifecycle.Done, w.await(t, ctx, run.ID).State)
	require.Equal(t, map[string]any{"tags": "blue; red"}, w.stored(t, w.A.DomainID)[ids[0]])
}

func TestUniqueFieldsAreNotConverted(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.define(t, customfields.Field{Key: "badge", Type: customfields.Text, Unique: true})
	_, err := w.manager.Convert(w.A.WorkspaceCtx, "badge", customfields.Number, nil)
	require.ErrorIs(t, err, lifecycle.ErrUnique)
	w.define(t, customfields.Field{Key: "size", Type: customfields.Text})
	_, err = w.manager.Convert(w.A.WorkspaceCtx, "size", customfields.Number, nil)
	require.NoError(t, err)
	on := true
	_, err = w.fields.Update(w.A.WorkspaceCtx, "size", customfields.Change{Unique: &on})
	require.ErrorIs(t, err, customfields.ErrChanging)
}

func TestCancelAndRetry(t *testing.T) {
	t.Parallel()
	w := open(t)
	ctx := w.A.WorkspaceCtx
	w.define(t, customfields.Field{Key: "size", Type: customfields.Text})
	ids := w.fill(t, w.A.Ctx, 500, `jsonb_build_object('size', i::text)`)
	before := w.stored(t, w.A.DomainID)
	run, err := w.manager.Convert(ctx, "size", customfields.Number, nil)
	require.NoError(t, err)
	// It comes up behind the back of Convert, as from a process that has not heard of it.
	late := func(value string) {
		require.NoError(t, w.DB.InTx(w.A.Ctx, func(tx *tenancy.Tx) error {
			_, err := tx.Exec(ctx, `UPDATE strata.recipients SET custom_fields = custom_fields || jsonb_build_object('size', $3::text) WHERE domain_id = $1 AND id = $2`, w.A.DomainID, ids[7], value)
			if err != nil {
				return err
			}
			return w.Audit.RecordChange(w.A.Ctx, tx, tenancy.Change{Action: "recipient.updated"})
		}))
	}
	late("lots")
	_, err = w.manager.Retry(ctx, run.ID)
	require.ErrorIs(t, err, lifecycle.ErrState)
	w.work(t)
	run = w.await(t, ctx, run.ID)
	require.Equal(t, lifecycle.Failed, run.State)
	require.Equal(t, "values_would_be_lost", run.ErrorCode)
	set, err := w.fields.Current(ctx)
	require.NoError(t, err)
	require.Equal(t, customfields.Text, set.Field("size").Type)
	require.Equal(t, "lots", w.stored(t, w.A.DomainID)[ids[7]]["size"], "nothing is lost")

	late("8")
	failures := func() (n int) {
		require.NoError(t, w.DB.ReadTrusted(ctx, `SELECT failures FROM strata.custom_field_runs WHERE id = $1`, []any{run.ID}, func(rows pgx.Rows) (err error) {
			n, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[int])
			return err
		}))
		return n
	}
	require.Positive(t, failures())
	_, err = w.manager.Retry(ctx, run.ID)
	require.NoError(t, err)
	require.Zero(t, failures(), "it may fail as often as a new one")
	run = w.await(t, ctx, run.ID)
	require.Equal(t, lifecycle.Done, run.State, run.Error)
	require.Equal(t, 8.0, w.stored(t, w.A.DomainID)[ids[7]]["size~2"])
	_, err = w.manager.Cancel(ctx, run.ID)
	require.ErrorIs(t, err, lifecycle.ErrTooLate)

	// One that is cancelled leaves nothing behind.
	again, err := w.manager.Convert(ctx, "size", customfields.Text, nil)
	require.NoError(t, err)
	require.Equal(t, lifecycle.Done, w.await(t, ctx, again.ID).State)
	require.Equal(t, before, w.stored(t, w.A.DomainID))
	late("none")
	again, err = w.manager.Convert(ctx, "size", customfields.Number, &lifecycle.ConvertOptions{AcceptLoss: 1})
	require.NoError(t, err)
	w.until(t, ctx, again.ID, func(r lifecycle.Run) bool { return r.Step != lifecycle.Wait })
	late("eight")
	_, err = w.manager.Cancel(ctx, again.ID)
	if err != nil { // it was quicker
		require.ErrorIs(t, err, lifecycle.ErrTooLate)
		return
	}
	require.Equal(t, lifecycle.Cancelled, w.await(t, ctx, again.ID).State)
	before[ids[7]]["size"] = "eight"
	require.Equal(t, before, w.stored(t, w.A.DomainID))
	set, err = w.fields.Current(ctx)
	require.NoError(t, err)
	require.Nil(t, set.Field("size").Transition)
}

func TestOtherTenants(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.define(t, customfields.Field{Key: "size", Type: customfields.Text})
	w.fill(t, w.A.Ctx, 3, `jsonb_build_object('size', 'secret')`)
	run, err := w.manager.Convert(w.A.WorkspaceCtx, "size", customfields.Number, &lifecycle.ConvertOptions{AcceptLoss: 3})
	require.NoError(t, err)
	other, err := w.Store.CreateWorkspace(w.A.CompanyCtx, tenancy.NewWorkspace{Name: "Other"})
	require.NoError(t, err)
	in, err := tenancy.TenantFrom(w.A.WorkspaceCtx)
	require.NoError(t, err)
	in.WorkspaceID = other.ID
	for name, ctx := range map[string]context.Context{
		"company": w.B.WorkspaceCtx, "workspace": tenancy.WithActor(tenancy.WithTenant(t.Context(), in), w.A.Actor),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := w.manager.Run(ctx, run.ID)
			require.ErrorIs(t, err, lifecycle.ErrRunNotFound)
			_, err = w.manager.Cancel(ctx, run.ID)
			require.ErrorIs(t, err, lifecycle.ErrRunNotFound)
			_, err = w.manager.Retry(ctx, run.ID)
			require.ErrorIs(t, err, lifecycle.ErrRunNotFound)
			page, err := w.manager.Runs(ctx, tenancy.PageRequest{})
			require.NoError(t, err)
			require.Empty(t, page.Items)
			require.Zero(t, page.Total)
			_, err = w.manager.Preview(ctx, "size", customfields.Number, nil)
			require.ErrorIs(t, err, customfields.ErrNotFound)
			_, err = w.manager.Convert(ctx, "size", customfields.Number, nil)
			require.ErrorIs(t, err, customfields.ErrNotFound)
			_, err = w.manager.Dependents(ctx, "size")
			require.ErrorIs(t, err, customfields.ErrNotFound)
			_, err = w.manager.Rename(ctx, "size", "weight")
			require.ErrorIs(t, err, customfields.ErrNotFound)
			// Nor by a field of the same key.
			_, err = w.fields.Create(ctx, customfields.Field{Key: "size", Type: customfields.Text})
			require.NoError(t, err)
			p, err := w.manager.Preview(ctx, "size", customfields.Number, nil)
			require.NoError(t, err)
			require.Zero(t, p.Values)
			require.Empty(t, p.Samples)
		})
	}
}
