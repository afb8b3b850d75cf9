package imports_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/imports"
)

// addresses is a file of n rows.
func addresses(n int) string {
	var s strings.Builder
	s.WriteString("email\n")
	for i := range n {
		fmt.Fprintf(&s, "r%04d@example.com\n", i)
	}
	return s.String()
}

// What an earlier reading staged goes, and nothing of the new one.
func TestProcessAgain(t *testing.T) {
	t.Parallel()
	b := setup(t, &imports.Config{BatchRows: 10}).start(t)
	ctx := b.A.Ctx
	imp := b.process(ctx, t, addresses(35), imports.ProcessOptions{})
	require.EqualValues(t, 35, imp.New)
	for _, conflict := range []imports.Conflict{imports.Skip, imports.FillEmpty} {
		_, err := b.importer.Process(ctx, imp.ID, imports.ProcessOptions{Conflict: conflict})
		require.NoError(t, err)
		imp = b.until(ctx, t, imp.ID, imports.Previewed)
		require.Equal(t, []any{int64(35), int64(35), conflict}, []any{imp.TotalRows, imp.New, imp.Conflict})
	}
	require.EqualValues(t, 35, b.commit(ctx, t, imp.ID).Inserted)
	require.EqualValues(t, 35, b.counted(ctx, t))
}

// A process that knows older definitions begins with the newest all the same, whether it
// is asked to process or does the work.
func TestOldDefinitionsElsewhere(t *testing.T) {
	t.Parallel()
	b := setup(t, nil) // only submits
	ctx := b.A.Ctx
	other := *b
	other.wire(t, runs(), nil)
	other.start(t)
	for i, changed := range []*bundle{b, &other} { // the worker's are old, then those of who asks
		for _, w := range []*bundle{b, &other} {
			_, err := w.fields.Set(ctx)
			require.NoError(t, err)
		}
		changed.define(ctx, t, customfields.Field{Key: fmt.Sprintf("f%d", i), Type: customfields.Text})
		imp := b.run(ctx, t, fmt.Sprintf("email,f%d\na%d@example.com,x\n", i, i), imports.ProcessOptions{})
		require.EqualValues(t, 1, imp.Inserted)
		require.NotNil(t, imp.Mapping[fmt.Sprintf("f%d", i)])
	}
}
