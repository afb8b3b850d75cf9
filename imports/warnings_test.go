package imports_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/imports"
	"github.com/stratakit/strata/recipients"
)

func TestWarningsOfAPreview(t *testing.T) {
	t.Parallel()
	b := setup(t, nil).start(t)
	ctx := b.A.Ctx
	for _, in := range []recipients.New{{Email: "gone@example.com", Status: recipients.Unsubscribed}, {Email: "here@example.com"}} {
		_, err := b.store.Create(ctx, in)
		require.NoError(t, err)
	}
	_, err := b.store.Create(b.B.Ctx, recipients.New{Email: "here@example.com", Status: recipients.Complained})
	require.NoError(t, err)
	b.define(ctx, t, customfields.Field{Key: "industry", Type: customfields.Text})
	file := "email,state,Industri,note,x\ngone@example.com,active,,,\nhere@example.com,active,,,\nnew@example.com,active,,,\nbad,active,,,\nbad@too,nonsense,,,\n"
	p := b.previewed(t, file, imports.ProcessOptions{Mapping: map[string]*string{"email": to("email"), "state": to("status")}})
	require.Equal(t, []imports.Warning{
		{Code: "columns_ignored", Message: `nothing is taken from the columns "Industri", "note", "x"`},
		{Code: "status_kept", Column: "state", Message: "1 rows would make the status of a recipient laxer, such as active for unsubscribed: those keep their status"},
		{Code: "many_invalid", Message: "2 of 5 rows cannot be imported; most often: invalid_email in 2 rows (email), unknown_status in 1 rows (state)"},
	}, p.Warnings)
	require.Equal(t, []int64{1, 0, 2, 2}, []int64{p.New, p.Changed, p.Unchanged, p.Invalid})
	require.Positive(t, p.EstimatedSeconds)
	p = b.previewed(t, file, imports.ProcessOptions{Conflict: imports.Skip})
	require.Equal(t, `nothing is taken from the columns "state", "Industri", "note", "x"; "Industri" may be fields.industry: it is called nearly so`, p.Warnings[0].Message)
	require.NotContains(t, warned(p.Warnings), "status_kept state", "nothing of the file is taken")

	p = b.previewed(t, "ada@example.com,Ada\nbo@example.com,Bo\n", imports.ProcessOptions{Mapping: map[string]*string{"ada@example.com": to("email"), "Ada": to("name")}})
	require.Equal(t, []string{"header_is_data ada@example.com"}, warned(p.Warnings))
	done := b.commit(ctx, t, p.ID)
	after, err := b.importer.Preview(ctx, done.ID)
	require.NoError(t, err)
	require.Nil(t, after.Limit)
	require.Zero(t, after.EstimatedSeconds)
}
