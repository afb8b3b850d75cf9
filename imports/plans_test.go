package imports_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/imports"
	"github.com/stratakit/strata/internal/pooler"
)

// read returns how many rows of tables were looked at in the database of the test so far. A
// connection tells at its end what it did.
func (b *bundle) read(ctx context.Context, t *testing.T, conn *pgx.Conn) (tuples int64) {
	t.Helper()
	var others []int32
	require.NoError(t, conn.QueryRow(ctx, `SELECT coalesce(array_agg(pid), '{}') FROM pg_stat_activity WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()`).Scan(&others))
	require.Eventually(t, func() bool {
		var left int
		require.NoError(t, conn.QueryRow(ctx, `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid = ANY ($1)`, others).Scan(&left))
		return left == 0
	}, within, 10*time.Millisecond)
	b.Pool.Reset()
	require.NoError(t, conn.QueryRow(ctx, `SELECT (SELECT sum(seq_tup_read) FROM pg_stat_user_tables) + (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes)`).Scan(&tuples))
	return tuples
}

// Whatever an import does, and however little the planner knows of a domain that was empty a
// moment ago, each row is looked up by its key: nothing is compared with each of something else.
func TestWorkGrowsWithTheFile(t *testing.T) {
	t.Parallel()
	const rows = 3_000
	b, _ := extended(t, &imports.Config{BatchRows: 500}, "DE")
	ctx := b.A.Ctx
	if pooled, err := pooler.Before(ctx, b.Pool); err != nil || pooled {
		require.NoError(t, err)
		t.Skip("a pooler keeps the connections that would tell what was read")
	}
	b.define(ctx, t, customfields.Field{Key: "code", Type: customfields.Text, Unique: true}, customfields.Field{Key: "seats", Type: customfields.Number})
	// Smaller than the keys, because all have NULL there, and they begin with the domain as well.
	_, err := b.Pool.Exec(ctx, `ALTER TABLE strata.recipient_seats ADD COLUMN pass uuid; CREATE UNIQUE INDEX ON strata.recipient_seats (domain_id, pass); CREATE UNIQUE INDEX ON strata.recipient_sms (domain_id, opted_out_at)`)
	require.NoError(t, err)
	conn, err := pgx.ConnectConfig(ctx, b.Pool.Config().ConnConfig)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	at := b.read(ctx, t, conn)
	for k, policy := range []imports.Conflict{imports.Update, imports.Update, imports.FillEmpty, imports.Skip, imports.Update} {
		var file, report strings.Builder
		fmt.Fprintln(&file, "email,name,status,code,seats,sms.phone,seat.code")
		fmt.Fprintln(&report, "email,name,status,code,seats,sms.phone,seat.code,__row")
		for i := range rows {
			who := i*7 + k*rows/10 // some of them are new
			email := fmt.Sprintf("p%06d@example.com", who)
			line := fmt.Sprintf("N %d,active,c%d,%d,+4930%08d,S%d-%d", i+k, who, i+k, 10_000_000+who+k, who, k)
			if i%10 == 3 {
				fmt.Fprintf(&report, "%s,%s,%d\n", email, line, i+2)
				email = "bad"
			}
			fmt.Fprintf(&file, "%s,%s\n", email, line)
		}
		work := func(what string, do func()) {
			p, err := register("DE")
			require.NoError(t, err)
			b.extensions = p.all
			b.wire(t, runs(), &imports.Config{BatchRows: 500})
			require.NoError(t, b.runner.Start(t.Context()))
			do()
			require.NoError(t, b.runner.Stop(context.Background()))
			now := b.read(ctx, t, conn)
			require.Less(t, now-at, int64(rows*40), "%s of file %d, %s", what, k, policy)
			t.Logf("%s of file %d, %s: %d rows read for one", what, k, policy, (now-at)/rows)
			at = now
		}
		var imp imports.Import
		work("preview", func() { imp = b.process(ctx, t, file.String(), imports.ProcessOptions{Conflict: policy}) })
		work("correction", func() { _, imp = b.correct(ctx, t, imp.ID, []byte(report.String())) })
		work("commit", func() { imp = b.commit(ctx, t, imp.ID) })
		if k == 0 || k == 4 {
			work("undo", func() { b.undo(ctx, t, imp.ID) })
		}
	}
}
