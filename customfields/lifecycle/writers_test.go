package lifecycle_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/customfields/lifecycle"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
)

// writer is a transaction that has read the definitions, and writes when it is told to.
type writer struct {
	write chan map[string]any
	ended chan error
}

func (w *world) begin(t *testing.T, ctx context.Context, id recipients.ID) *writer {
	t.Helper()
	out := &writer{make(chan map[string]any), make(chan error, 1)}
	fields := w.registry(t)
	store := w.store(t, fields)
	read := make(chan struct{})
	go func() {
		out.ended <- w.DB.InTx(ctx, func(tx *tenancy.Tx) error {
			_, err := fields.SetTx(ctx, tx)
			close(read)
			if err != nil {
				return err
			}
			values, ok := <-out.write
			if !ok {
				return nil
			}
			_, err = store.UpdateTx(ctx, tx, id, recipients.Change{CustomFields: values})
			return err
		})
	}()
	<-read
	return out
}

// waitsFor waits until a run waits for transactions.
func (w *world) waitsFor(t *testing.T, id lifecycle.RunID, step lifecycle.Step) {
	t.Helper()
	require.Eventually(t, func() bool {
		var waits bool
		err := w.DB.ReadTrusted(t.Context(), `SELECT step = $2 AND jsonb_array_length(coalesce(cursor -> 'writers', '[]')) > 0 FROM strata.custom_field_runs WHERE id = $1`,
			[]any{id, string(step)}, func(rows pgx.Rows) (err error) {
				waits, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[bool])
				return err
			})
		return err == nil && waits
	}, within(), 10*time.Millisecond)
}

// A transaction that began by the definitions of before is waited for, at either end of a
// conversion, however long it takes.
func TestOldTransactionsAreWaitedFor(t *testing.T) {
	t.Parallel()
	w := open(t)
	ctx := w.A.WorkspaceCtx
	w.define(t, customfields.Field{Key: "size", Type: customfields.Text})
	ids := w.fill(t, w.A.Ctx, 50, `jsonb_build_object('size', i::text)`)
	theirs := w.begin(t, w.B.Ctx, ids[0]) // nobody waits for another workspace
	defer close(theirs.write)
	old := w.begin(t, w.A.Ctx, ids[3])
	run, err := w.manager.Convert(ctx, "size", customfields.Number, nil)
	require.NoError(t, err)
	w.work(t)
	w.waitsFor(t, run.ID, lifecycle.Wait)
	during := w.begin(t, w.A.Ctx, ids[4])
	old.write <- map[string]any{"size": "77"}
	require.NoError(t, <-old.ended)
	w.waitsFor(t, run.ID, lifecycle.Drain)
	close(during.write)
	require.NoError(t, <-during.ended)
	run = w.await(t, ctx, run.ID)
	require.Equal(t, lifecycle.Done, run.State, run.Error)
	for i, id := range ids {
		want := float64(i + 1)
		if i == 3 {
			want = 77
		}
		require.Equal(t, map[string]any{"size~2": want}, w.stored(t, w.A.DomainID)[id])
	}
}

// What a field takes stays as it is while its values are converted: those that a narrower
// definition does not take would be lost, and an option that is new would be too.
func TestAFieldIsNotNarrowedWhileItsValuesAreConverted(t *testing.T) {
	t.Parallel()
	w := open(t)
	ctx := w.A.WorkspaceCtx
	w.define(t, customfields.Field{Key: "size", Type: customfields.Text})
	w.define(t, customfields.Field{Key: "tags", Type: customfields.Select, Options: []string{"a", "b"}, Default: "a"})
	ids := w.fill(t, w.A.Ctx, 20, `jsonb_build_object('size', i::text)`)
	tags, err := w.manager.Convert(ctx, "tags", customfields.MultiSelect, nil)
	require.NoError(t, err)
	_, err = w.fields.Update(ctx, "tags", customfields.Change{Options: &[]string{"a", "b", "c"}})
	require.ErrorIs(t, err, customfields.ErrChanging)
	var none any
	_, err = w.fields.Update(ctx, "tags", customfields.Change{Default: &none})
	require.ErrorIs(t, err, customfields.ErrChanging)

	run, err := w.manager.Convert(ctx, "size", customfields.Number, nil)
	require.NoError(t, err)
	w.work(t)
	w.until(t, ctx, run.ID, func(r lifecycle.Run) bool {
		return r.Step == lifecycle.Fill || r.Step == lifecycle.Flip || r.Step == lifecycle.Drain
	})
	during := w.begin(t, w.A.Ctx, ids[4])
	w.until(t, ctx, run.ID, func(r lifecycle.Run) bool { return r.Step == lifecycle.Drain })
	_, err = w.fields.Update(ctx, "size", customfields.Change{Constraints: &customfields.Constraints{Max: 10.0}})
	require.ErrorIs(t, err, customfields.ErrChanging)
	label := "Size"
	_, err = w.fields.Update(ctx, "size", customfields.Change{Label: &label, Constraints: &customfields.Constraints{}})
	require.NoError(t, err)
	close(during.write)
	require.NoError(t, <-during.ended)
	require.Equal(t, lifecycle.Done, w.await(t, ctx, run.ID).State)
	for i, id := range ids {
		require.Equal(t, map[string]any{"size~2": float64(i + 1)}, w.stored(t, w.A.DomainID)[id])
	}
	require.Equal(t, lifecycle.Done, w.await(t, ctx, tags.ID).State)
	_, err = w.fields.Update(ctx, "tags", customfields.Change{Options: &[]string{"a", "b", "c"}})
	require.NoError(t, err)
}
