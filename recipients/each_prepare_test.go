package recipients_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
)

// What was prepared is written when nothing has changed since; else recipients are edited as
// they are by then.
func TestAPreparedEditIsOfWhatIsThereThen(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := b.A.Ctx
	more := recipients.Edit{Increment: map[string]float64{"seats": 1}}
	nothing := func([]recipients.ID) {}
	for name, meanwhile := range map[string]func(ids []recipients.ID){
		"nothing": nothing,
		"one gets another value and one goes": func(ids []recipients.ID) {
			_, err := b.store.Update(ctx, ids[0], recipients.Change{CustomFields: map[string]any{"seats": 5}})
			require.NoError(t, err)
			require.NoError(t, b.store.Delete(ctx, ids[1]))
		},
		"the custom fields change": func([]recipients.ID) {
			_, err := b.fields.Create(b.A.WorkspaceCtx, customfields.Field{Key: "shoe", Type: customfields.Text})
			require.NoError(t, err)
		},
	} {
		var list []recipients.ID
		for _, address := range []string{"ada", "bo", "cy"} {
			list = append(list, b.create(ctx, t, recipients.New{Email: address + "@example.com", CustomFields: map[string]any{"seats": 1}}).ID)
		}
		p, err := b.store.PrepareEdit(ctx, list, more)
		require.NoError(t, err, name)
		meanwhile(list)
		before := b.count(t, "recipient.updated")
		var did recipients.Each
		require.NoError(t, b.DB.InTx(ctx, func(tx *tenancy.Tx) (err error) {
			did, err = p.EditTx(ctx, tx)
			return err
		}), name)
		want := []float64{2, 2, 2}
		if name == "one gets another value and one goes" {
			want = []float64{6, 0, 2}
		}
		changed := 0
		for i, id := range list {
			if want[i] == 0 {
				continue
			}
			changed++
			r, err := b.store.Get(ctx, id)
			require.NoError(t, err)
			require.InDelta(t, want[i], r.CustomFields["seats"], 0, name)
			require.NoError(t, b.store.Delete(ctx, id))
		}
		require.Equal(t, recipients.Each{Changed: changed}, did, name)
		require.EqualValues(t, changed, b.count(t, "recipient.updated")-before, name)
	}
}

// An edit that another tenant prepares does nothing.
func TestAPreparedEditOfAnotherTenant(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := b.create(b.A.Ctx, t, recipients.New{Email: "ada@example.com", CustomFields: map[string]any{"seats": 1}})
	p, err := b.store.PrepareEdit(b.B.Ctx, []recipients.ID{r.ID}, recipients.Edit{Increment: map[string]float64{"seats": 1}})
	require.NoError(t, err)
	require.NoError(t, b.DB.InTx(b.B.Ctx, func(tx *tenancy.Tx) error {
		did, err := p.EditTx(b.B.Ctx, tx)
		require.Zero(t, did)
		return err
	}))
	// Neither does one that is written with another tenant than it was prepared with.
	p, err = b.store.PrepareEdit(b.A.Ctx, []recipients.ID{r.ID}, recipients.Edit{Increment: map[string]float64{"seats": 1}})
	require.NoError(t, err)
	require.NoError(t, b.DB.InTx(b.B.Ctx, func(tx *tenancy.Tx) error {
		did, err := p.EditTx(b.B.Ctx, tx)
		require.Zero(t, did)
		return err
	}))
	got, err := b.store.Get(b.A.Ctx, r.ID)
	require.NoError(t, err)
	require.Equal(t, r, got)
}
