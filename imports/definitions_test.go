package imports_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/imports"
	"github.com/stratakit/strata/tenancy"
)

// What has changed since the preview is named, all at once; what no row is checked by is not.
func TestWhatChangedBetweenPreviewAndCommit(t *testing.T) {
	t.Parallel()
	b := setup(t, nil).start(t)
	ctx := b.A.Ctx
	b.define(ctx, t, customfields.Field{Key: "gone", Type: customfields.Text}, customfields.Field{Key: "note", Type: customfields.Text},
		customfields.Field{Key: "seats", Type: customfields.Number}, customfields.Field{Key: "tier", Type: customfields.Select, Options: []string{"free", "pro"}})
	imp := b.process(ctx, t, "email,tier\na@example.com,free\n", imports.ProcessOptions{})
	for _, key := range []string{"note", "tier"} { // none of its business
		label, position, filterable := "Another "+key, 7, false
		_, err := b.fields.Update(ctx, key, customfields.Change{Label: &label, Position: &position, Filterable: &filterable})
		require.NoError(t, err)
	}
	require.EqualValues(t, 1, b.commit(ctx, t, imp.ID).Inserted)

	imp = b.process(ctx, t, "email,tier\nb@example.com,free\n", imports.ProcessOptions{})
	b.define(ctx, t, customfields.Field{Key: "late", Type: customfields.Text})
	require.NoError(t, b.fields.Archive(ctx, "gone"))
	options, archived, required, byDefault := []string{"free", "max"}, []string{"pro"}, true, any("x")
	_, err := b.fields.Update(ctx, "tier", customfields.Change{Options: &options, ArchivedOptions: &archived})
	require.NoError(t, err)
	_, err = b.fields.Update(ctx, "note", customfields.Change{Required: &required, Default: &byDefault})
	require.NoError(t, err)
	_, err = b.fields.Update(ctx, "seats", customfields.Change{Constraints: &customfields.Constraints{Min: 1}})
	require.NoError(t, err)
	_, err = b.importer.Commit(ctx, imp.ID)
	var changed *imports.FieldsChangedError
	require.ErrorAs(t, err, &changed)
	require.ErrorIs(t, err, imports.ErrFieldsChanged)
	require.Equal(t, []tenancy.FieldError{
		{Field: "customFields.gone", Code: "removed", Message: "the field is not there any more"},
		{Field: "customFields.late", Code: "added", Message: "the field is new"},
		{Field: "customFields.note", Code: "required", Message: "it is required now"},
		{Field: "customFields.note", Code: "default", Message: `its default was "" and is "x"`},
		{Field: "customFields.seats", Code: "constraints", Message: "other values are allowed"},
		{Field: "customFields.tier", Code: "options", Message: `the options "pro" are gone`},
		{Field: "customFields.tier", Code: "options", Message: `the options "max" are new`},
	}, changed.Fields)
	_, err = b.importer.Process(ctx, imp.ID, imports.ProcessOptions{})
	require.NoError(t, err)
	b.until(ctx, t, imp.ID, imports.Previewed)
	require.EqualValues(t, 1, b.commit(ctx, t, imp.ID).Inserted)
}
