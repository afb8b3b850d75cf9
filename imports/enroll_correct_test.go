package imports_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/imports"
	"github.com/stratakit/strata/recipients/sms"
)

// Corrected rows enrol as those of the file do, after the commit too, and an undo takes all back.
func TestCorrectedRowsEnroll(t *testing.T) {
	t.Parallel()
	b, p := extended(t, nil, "")
	b.start(t)
	ctx := b.A.Ctx
	require.NoError(t, p.sms.Enroll(ctx, b.add(ctx, t, "old"), &sms.SMS{Contact: number("+493012345678")}))
	before := b.dump(ctx, t)
	imp := b.run(ctx, t, "email,name,sms.phone\nold@example.com,Before,12\nnew@example.com,New,13\nfine@example.com,Fine,+49 30 12345678\n", imports.ProcessOptions{})
	require.Equal(t, []int64{1, 2}, []int64{imp.Inserted, imp.Invalid})
	var report strings.Builder
	require.NoError(t, b.importer.WriteErrorReport(ctx, imp.ID, &report))
	mended := strings.NewReplacer(",12,", ",+49 30 87654321,", ",13,", ",+49 30 87654322,").Replace(report.String())
	merged, corrected := b.correct(ctx, t, imp.ID, []byte(mended))
	require.Equal(t, []int64{1, 1}, []int64{merged.New, merged.Changed})
	require.Equal(t, imports.Previewed, corrected.Status)
	done := b.commit(ctx, t, imp.ID)
	require.Equal(t, []int64{2, 1}, []int64{done.Inserted, done.Updated})
	require.Equal(t, map[string]string{"old": "+493087654321 2", "new": "+493087654322 1", "fine": "+493012345678 1"}, b.has(ctx, t, "sms", "x.phone, x.version"))
	undone := b.undo(ctx, t, imp.ID)
	require.Equal(t, []int64{3, 0}, []int64{undone.Reverted, undone.Kept})
	require.Equal(t, before, b.dump(ctx, t))
}
