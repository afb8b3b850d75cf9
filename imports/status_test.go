package imports_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/imports"
	"github.com/stratakit/strata/recipients"
)

// A file that says "active" of everybody undoes no complaint and no bounce; preview says so.
func TestAFileMakesNoStatusLaxer(t *testing.T) {
	t.Parallel()
	b := setup(t, nil).start(t)
	ctx := b.A.Ctx
	ids := map[string]recipients.ID{}
	for _, s := range []recipients.Status{recipients.Active, recipients.Inactive, recipients.Bounced, recipients.Unsubscribed, recipients.Complained} {
		r, err := b.store.Create(ctx, recipients.New{Email: string(s) + "@example.com", Status: s, StatusReason: "first"})
		require.NoError(t, err)
		ids[string(s)] = r.ID
	}
	file := "email,status\nactive@example.com,bounced\ninactive@example.com,active\nbounced@example.com,active\nunsubscribed@example.com,complained\ncomplained@example.com,inactive\n"
	imp := b.process(ctx, t, file, imports.ProcessOptions{})
	require.Equal(t, []int64{0, 3, 2}, []int64{imp.New, imp.Changed, imp.Unchanged})
	// One that becomes stricter between preview and commit stays so too.
	complained := recipients.Complained
	_, err := b.store.Update(ctx, ids["inactive"], recipients.Change{Status: &complained})
	require.NoError(t, err)
	b.commit(ctx, t, imp.ID)
	for name, want := range map[string][]any{
		"active":       {recipients.Bounced, "import", true},
		"inactive":     {recipients.Complained, "", true},
		"bounced":      {recipients.Bounced, "first", false},
		"unsubscribed": {recipients.Complained, "import", true},
		"complained":   {recipients.Complained, "first", false},
	} {
		r, err := b.store.Get(ctx, ids[name])
		require.NoError(t, err)
		require.Equal(t, want, []any{r.Status, r.StatusReason, r.StatusChangedAt != nil}, name)
	}
}
