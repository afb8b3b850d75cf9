package imports_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/imports"
)

func sha(file string) string {
	sum := sha256.Sum256([]byte(file))
	return hex.EncodeToString(sum[:])
}

// A file that was imported before is known again, whatever it is called, in
// its domain only, and as long as that import was not undone.
func TestSameFileAgain(t *testing.T) {
	t.Parallel()
	b := setup(t, nil).start(t)
	ctx := b.A.Ctx
	const file = "email,name\nada@example.com,Ada\nbad,Bo\n"
	look := func(ctx context.Context, name, file string) imports.Preview {
		imp, err := b.importer.CreateFromReader(ctx, name, bytes.NewReader([]byte(file)))
		require.NoError(t, err)
		_, err = b.importer.Process(ctx, imp.ID, imports.ProcessOptions{})
		require.NoError(t, err)
		b.until(ctx, t, imp.ID, imports.Previewed)
		p, err := b.importer.Preview(ctx, imp.ID)
		require.NoError(t, err)
		require.Equal(t, sha(file), p.SHA256)
		return p
	}
	first, second := look(ctx, "people.csv", file), look(ctx, "people (1).csv", file)
	require.NotContains(t, warned(second.Warnings), "same_file", "nothing of it was committed")
	done := b.commit(ctx, t, first.ID)
	p, err := b.importer.Preview(ctx, first.ID)
	require.NoError(t, err)
	require.NotContains(t, warned(p.Warnings), "same_file", "it is the one")

	p, err = b.importer.Preview(ctx, second.ID)
	require.NoError(t, err)
	require.Equal(t, imports.Warning{Code: "same_file", Message: fmt.Sprintf(
		`this exact file was imported before, as "people.csv" on %s (import %s)`, done.UpdatedAt.UTC().Format("2006-01-02 at 15:04 UTC"), first.ID)}, p.Warnings[0])
	require.NotContains(t, warned(look(ctx, "people.csv", file+"\n").Warnings), "same_file", "another file")
	sibling := b.Domain(t, b.A, "sibling.example")
	for name, ctx := range map[string]context.Context{"another company": b.B.Ctx, "another domain": sibling} {
		require.NotContains(t, warned(look(ctx, "people.csv", file).Warnings), "same_file", name)
	}
	b.undo(ctx, t, first.ID)
	require.NotContains(t, warned(look(ctx, "people.csv", file).Warnings), "same_file", "it was undone")
}

// A file that is replaced while it is read is not previewed, and can be processed again.
func TestFileReplacedWhileItIsRead(t *testing.T) {
	t.Parallel()
	b := setup(t, nil).start(t)
	ctx := b.A.Ctx
	open := b.gate(t, 7, "INSERT", "strata.import_rows", `new.email = 'ada@example.com'`)
	imp := b.begin(ctx, t, "email\nada@example.com\n", imports.ProcessOptions{})
	b.stands(t, 7)
	other := "email\neve@example.com\n"
	objectKey := one[string](ctx, t, b, `SELECT object_key FROM strata.imports WHERE id = $1`, imp.ID)
	require.NoError(t, b.local.Bucket.WriteAll(ctx, objectKey, []byte(other), nil))
	open()
	imp = b.until(ctx, t, imp.ID, imports.Failed)
	require.Contains(t, imp.Error, "it was replaced since")
	require.Empty(t, imp.SHA256)

	b.untilRun(ctx, t, imp.ID, func(run bulk.Run) bool { return run.State.Final() })
	_, err := b.importer.Process(ctx, imp.ID, imports.ProcessOptions{})
	require.NoError(t, err)
	imp = b.until(ctx, t, imp.ID, imports.Previewed)
	require.Equal(t, []any{int64(1), sha(other)}, []any{imp.New, imp.SHA256})
}
