package recipientshttp_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/recipients"
)

// What an archived field has left can be cleared, and whoever sends it back is told so.
func TestValuesOfAnArchivedField(t *testing.T) {
	t.Parallel()
	w := open(t)
	r := w.create(t, `{"email":"ada@example.com","customFields":{"tags":["vip"],"note":"x"}}`)
	path := w.base + "/" + r.ID.String()
	require.NoError(t, w.fields.Archive(w.A.WorkspaceCtx, "tags"))
	e := tenancytest.RequireError(t, w.Do(t, "a", "PATCH", path, `{"customFields":{"tags":["vip"],"note":"y"}}`), 422, "validation_failed")
	require.Equal(t, map[string]string{"customFields.tags": "archived_field"}, fieldCodes(e))
	for range 2 { // what is clear can be cleared
		r = tenancytest.RequireData[recipients.Recipient](t, w.Do(t, "a", "PATCH", path, `{"customFields":{"tags":null,"note":"y"}}`), 200)
		require.Equal(t, map[string]any{"note": "y"}, r.CustomFields)
	}
}

// A filter finds an address however it is written there and was written when it came.
func TestFiltersCompareAddressesInTheirForm(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.create(t, `{"email":"Ada@Example.com","customFields":{"manager":"Bo@Example.com"}}`)
	w.create(t, `{"email":"cy@example.com"}`)
	for _, filter := range []string{
		`email == "Ada@Example.com"`, `email == "ada@example.COM"`, `email in ["ADA@example.com"]`, `email != "CY@example.com"`,
		`fields.manager == "Bo@Example.com"`, `fields.manager in ["bo@EXAMPLE.com", "x"]`,
	} {
		require.Equal(t, []string{"Ada@Example.com"}, emails(w.list(t, "filter", filter)), filter)
	}
}

// A value that another recipient has is an error of its field.
func TestTakenValues(t *testing.T) {
	t.Parallel()
	w := open(t)
	_, err := w.fields.Create(w.A.WorkspaceCtx, customfields.Field{Key: "code", Type: customfields.Text, Unique: true})
	require.NoError(t, err)
	w.create(t, `{"email":"ada@example.com","customFields":{"code":"x"}}`)
	e := tenancytest.RequireError(t, w.Do(t, "a", "POST", w.base, `{"email":"bo@example.com","customFields":{"code":"x"}}`), 409, "value_taken")
	require.Equal(t, map[string]string{"customFields.code": "value_taken"}, fieldCodes(e))
	require.Contains(t, e.Message, `code "x"`)
	r := w.create(t, `{"email":"bo@example.com","customFields":{"code":"y"}}`)
	tenancytest.RequireError(t, w.Do(t, "a", "PATCH", w.base+"/"+r.ID.String(), `{"customFields":{"code":"x"}}`), 409, "value_taken")
}
