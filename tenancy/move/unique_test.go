package move_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/move"
)

// What a domain has of unique fields goes with it, where it is unique too; where it is not it
// is forgotten, and a field that is unique only there is for a person to decide.
func TestUniqueFieldsOfAMove(t *testing.T) {
	t.Parallel()
	w := open(t)
	there := tenancy.WithTenant(w.A.Ctx, tenancy.Tenant{CompanyID: w.A.CompanyID, WorkspaceID: w.second})
	// both: unique in both workspaces. mine: new there. loose: not unique there. strict: unique there only.
	for key, unique := range map[string]bool{"both": true, "mine": true, "loose": true, "strict": false} {
		_, err := w.Fields.Create(w.A.WorkspaceCtx, customfields.Field{Key: key, Type: customfields.Text, Unique: unique})
		require.NoError(t, err)
	}
	for key, unique := range map[string]bool{"both": true, "loose": false, "strict": true} {
		_, err := w.Fields.Create(there, customfields.Field{Key: key, Type: customfields.Text, Unique: unique})
		require.NoError(t, err)
	}
	values := map[string]any{"both": "x", "mine": "x", "loose": "x", "strict": "x"}
	_, err := w.Recipients.Create(w.A.Ctx, recipients.New{Email: "one@example.com", CustomFields: values})
	require.NoError(t, err)
	require.Equal(t, []string{"custom_field_unique strict"}, w.blocks(t, w.second))
	on := true
	_, err = w.Fields.Update(w.A.WorkspaceCtx, "strict", customfields.Change{Unique: &on})
	require.NoError(t, err)
	require.Empty(t, w.blocks(t, w.second))

	w.run()
	_, err = w.Mover.Start(w.A.Ctx, w.second)
	require.NoError(t, err)
	w.until(t, move.Done)
	ctx := tenancy.WithTenant(w.A.Ctx, w.resolved(t, w.second))
	_, err = w.Recipients.Create(ctx, recipients.New{Email: "two@example.com", CustomFields: values})
	var taken *customfields.TakenError
	require.ErrorAs(t, err, &taken)
	require.Equal(t, []customfields.TakenValue{{Key: "both", Value: "x"}, {Key: "mine", Value: "x"}, {Key: "strict", Value: "x"}}, taken.Values)
	_, err = w.Recipients.Create(ctx, recipients.New{Email: "two@example.com", CustomFields: map[string]any{"loose": "x"}})
	require.NoError(t, err)
	require.Equal(t, 3, w.count(t, ctx, `SELECT count(*) FROM strata.custom_field_uniques WHERE workspace_id = $1`, w.second))
	require.Zero(t, w.count(t, ctx, `SELECT count(*) FROM strata.custom_field_uniques WHERE slot = 'loose' OR workspace_id <> $1`, w.second))
}
