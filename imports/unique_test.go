package imports_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/imports"
	"github.com/stratakit/strata/recipients"
)

func (b *bundle) problems(t *testing.T, id imports.ID) map[string]string {
	t.Helper()
	out := map[string]string{}
	var report strings.Builder
	require.NoError(t, b.importer.WriteErrorReport(b.A.Ctx, id, &report))
	for _, line := range strings.Split(strings.TrimSpace(report.String()), "\n")[1:] {
		email, rest, _ := strings.Cut(line, ",")
		out[strings.TrimSuffix(email, "@example.com")] = strings.TrimSuffix(rest, ","+id.String())
	}
	return out
}

// Clashes are errors of rows, which the preview shows, and never one of a batch.
func TestTakenValuesAreErrorsOfRows(t *testing.T) {
	t.Parallel()
	b := setup(t, nil).start(t)
	ctx := b.A.Ctx
	b.define(ctx, t, customfields.Field{Key: "code", Type: customfields.Text, Unique: true}, customfields.Field{Key: "badge", Type: customfields.Number, Unique: true})
	for email, code := range map[string]any{"owner": "taken", "empty": nil, "own": "own"} {
		_, err := b.store.Create(ctx, recipients.New{Email: email + "@example.com", CustomFields: map[string]any{"code": code}})
		require.NoError(t, err)
	}
	_, err := b.store.Create(b.B.Ctx, recipients.New{Email: "other@example.com"})
	require.NoError(t, err)
	file := func(rows ...string) string {
		var s strings.Builder
		s.WriteString("email,code,badge\n")
		for _, r := range rows {
			email, rest, _ := strings.Cut(r, ",")
			fmt.Fprintf(&s, "%s@example.com,%s\n", email, rest)
		}
		return s.String()
	}
	imp := b.process(ctx, t, file("a,taken,1", "b,new,2", "c,new,2", "own,own,", "empty,taken,3", "d,,", "e,,", "f,again,2"), imports.ProcessOptions{})
	require.Equal(t, []int64{3, 0, 1, 4}, []int64{imp.New, imp.Changed, imp.Unchanged, imp.Invalid})
	got := b.problems(t, imp.ID)
	require.Equal(t, `taken,1,2,customFields.code: another recipient of the domain has this value,`, got["a"])
	require.Equal(t, `new,2,4,customFields.badge: row 3 has this value too; customFields.code: row 3 has this value too,`, got["c"])
	require.Contains(t, got["empty"], "another recipient")
	require.Equal(t, `again,2,9,customFields.badge: row 3 has this value too,`, got["f"])
	imp = b.commit(ctx, t, imp.ID)
	require.EqualValues(t, 3, imp.Inserted)

	// What the policy does not write takes nothing.
	imp = b.run(ctx, t, file("own,taken,"), imports.ProcessOptions{Conflict: imports.Skip})
	require.EqualValues(t, 1, imp.Unchanged)
	imp = b.run(ctx, t, file("own,taken,9"), imports.ProcessOptions{Conflict: imports.FillEmpty})
	require.EqualValues(t, 1, imp.Updated)
}

// What is taken between preview and commit is skipped, with the reason in the report.
func TestValuesTakenAfterThePreview(t *testing.T) {
	t.Parallel()
	b := setup(t, &imports.Config{BatchRows: 2}).start(t)
	ctx := b.A.Ctx
	b.define(ctx, t, customfields.Field{Key: "code", Type: customfields.Text, Unique: true})
	imp := b.process(ctx, t, "email,code\na@example.com,1\nb@example.com,2\nc@example.com,3\nd@example.com,4\n", imports.ProcessOptions{})
	require.EqualValues(t, 4, imp.New)
	_, err := b.store.Create(ctx, recipients.New{Email: "owner@example.com", CustomFields: map[string]any{"code": "2"}})
	require.NoError(t, err)
	_, err = b.store.Create(ctx, recipients.New{Email: "c@example.com", CustomFields: map[string]any{"code": "3"}})
	require.NoError(t, err)
	imp = b.commit(ctx, t, imp.ID)
	require.Equal(t, []int64{2, 2}, []int64{imp.Inserted, imp.Skipped})
	got := b.problems(t, imp.ID)
	require.Len(t, got, 2)
	require.Contains(t, got["c"], "the recipient became one that the row does not change")
	require.Contains(t, got["b"], "customFields.code: another recipient of the domain has this value")
	b.counted(ctx, t)
}
