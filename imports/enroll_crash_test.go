package imports_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/imports"
	"github.com/stratakit/strata/recipients/sms"
)

// Processes that die in the middle of a commit, and of its undo: each recipient is enrolled
// once, and all that was enrolled is taken back.
func TestKilledInTheMiddleOfEnrolling(t *testing.T) {
	t.Parallel()
	b, p := extended(t, &small, "") // only submits
	ctx := b.A.Ctx
	lines := strings.Split(strings.TrimSpace(b.crashFile(ctx, t)), "\n")
	lines[0] += ",sms.phone,seat.code"
	for i := range lines[1:] {
		n := (i + 1) % (crashRows - 200)
		lines[i+1] += fmt.Sprintf(",+49301%07d,C%d", n, n)
	}
	page := one[[]string](ctx, t, b, `SELECT array_agg(id::text ORDER BY email_norm) FROM strata.recipients`)
	require.Len(t, page, crashUpdates)
	var rows []*sms.SMS
	for _, id := range page[:100] {
		row := &sms.SMS{Contact: number("+493019999999")}
		require.NoError(t, row.RecipientID.UnmarshalText([]byte(id)))
		rows = append(rows, row)
	}
	require.NoError(t, p.sms.EnrollMany(ctx, rows))
	before := b.dump(ctx, t)
	b.slowly(t)
	imp := b.begin(ctx, t, strings.Join(lines, "\n"), imports.ProcessOptions{})
	kill := b.spawn(t)
	b.until(ctx, t, imp.ID, imports.Previewed)
	_, err := b.importer.Commit(ctx, imp.ID)
	require.NoError(t, err)
	b.amid(ctx, t, imp.ID)
	kill()
	kill = b.spawn(t) // finishes without being asked
	b.exact(ctx, t, imp.ID)
	const all = crashNew + crashUpdates
	require.Equal(t, "2800 2800 2900 2800", one[string](ctx, t, b, `SELECT concat_ws(' ', (SELECT count(*) FROM strata.recipient_sms x JOIN strata.recipients r ON r.id = x.recipient_id
			WHERE x.phone = '+49301' || lpad(((substr(r.email_norm, 2, 4)::int + 1) % 2800)::text, 7, '0')),
		(SELECT count(*) FROM strata.recipient_seats x JOIN strata.recipients r ON r.id = x.recipient_id WHERE x.code = 'C' || (substr(r.email_norm, 2, 4)::int + 1) % 2800 AND x.version = 1),
		(SELECT sum(version) FROM strata.recipient_sms), (SELECT count(DISTINCT recipient_id) FROM strata.import_changes WHERE enrollments ?& '{sms,seat}'))`), "of %d", all)
	require.Equal(t, "100 5500", one[string](ctx, t, b, `SELECT concat_ws(' ', count(*) FILTER (WHERE action = 'recipient.enrollment_updated'), count(*) FILTER (WHERE action = 'recipient.enrolled') - 100) FROM strata.audit_entries`))

	_, err = b.importer.Undo(ctx, imp.ID)
	require.NoError(t, err)
	b.amid(ctx, t, imp.ID)
	kill()
	kill = b.spawn(t)
	undone := b.until(ctx, t, imp.ID, imports.Undone)
	require.Equal(t, []int64{all, 0}, []int64{undone.Reverted, undone.Kept})
	kill()
	require.Equal(t, before, b.dump(ctx, t))
}
