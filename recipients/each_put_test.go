package recipients_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
)

type ticket struct {
	bun.BaseModel `bun:"table:strata.recipient_tickets"`
	recipients.Enrollment

	Code string `bun:"code,nullzero" strata:"unique"`
	Seat int64  `bun:"seat"`
}

// Each row is written or refused by itself, by whomever, and what was done is taken back exactly.
func TestPutEach(t *testing.T) {
	t.Parallel()
	e, registry := tenancytest.Open(t), recipients.NewRegistry()
	tickets, err := recipients.Register(registry, recipients.Extension[ticket]{Name: "ticket"})
	require.NoError(t, err)
	store := e.Extended(t, registry)
	_, err = e.Direct(t).Pool().Exec(t.Context(), `ALTER TABLE strata.recipient_tickets ADD CONSTRAINT low CHECK (seat < 100)`)
	require.NoError(t, err)
	ctx := e.A.Ctx
	var ids []recipients.ID
	for i := range 8 {
		r, err := store.Create(ctx, recipients.New{Email: fmt.Sprintf("r%d@example.com", i)})
		require.NoError(t, err)
		ids = append(ids, r.ID)
	}
	foreign, err := store.Create(e.B.Ctx, recipients.New{Email: "b@example.com"})
	require.NoError(t, err)
	require.NoError(t, tickets.Enroll(ctx, ids[0], &ticket{Code: "zero", Seat: 1}))
	require.NoError(t, tickets.Enroll(ctx, ids[1], &ticket{Code: "one", Seat: 1}))
	x, err := store.Extension(ctx, "ticket")
	require.NoError(t, err)
	put := func(id recipients.ID, code string, seat int) recipients.Put {
		return recipients.Put{ID: id, Values: map[string]json.RawMessage{"code": json.RawMessage(fmt.Sprintf("%q", code)), "seat": json.RawMessage(fmt.Sprint(seat))}}
	}
	puts := []recipients.Put{
		put(ids[0], "zero", 2), put(ids[1], "one", 1), put(ids[2], "two", 2), put(ids[3], "zero", 3), put(ids[4], "four", 100), put(ids[5], "five", 5), put(ids[6], "\x00", 6),
		put(foreign.ID, "b", 1), put(tenancy.NewID[recipients.Recipient](), "x", 1),
	}
	puts[6].Values["code"] = json.RawMessage(`7`)
	failed := func(r recipients.PutResult) map[int]error {
		out := map[int]error{}
		for _, f := range r.Failed {
			for i, id := range ids {
				if id == f.ID {
					out[i] = f.Err
				}
			}
		}
		return out
	}
	do := func(fn func(tx *tenancy.Tx) error) {
		t.Helper()
		require.NoError(t, e.DB.InTx(ctx, fn))
	}
	var done recipients.PutResult
	do(func(tx *tenancy.Tx) error {
		look, err := x.LookEachTx(ctx, tx, puts, false)
		require.NoError(t, err)
		require.Len(t, look.Changed, 5, "but for what PostgreSQL refuses")
		require.Len(t, failed(look), 1)
		none, err := x.PutEachTx(ctx, tx, puts[:2], true)
		require.NoError(t, err)
		require.Empty(t, none.Changed)
		done, err = x.PutEachTx(ctx, tx, puts, false)
		return err
	})
	wrong := failed(done)
	require.Len(t, wrong, 3)
	require.ErrorIs(t, wrong[3], recipients.ErrValueTaken)
	var v *tenancy.ValidationError
	require.ErrorAs(t, wrong[3], &v)
	require.Equal(t, []tenancy.FieldError{{Field: "code", Value: "zero", Code: "value_taken", Message: "another recipient of the domain has this value"}}, v.Fields)
	require.ErrorContains(t, wrong[4], "low")
	require.ErrorContains(t, wrong[6], "must be a text")
	versions := map[recipients.ID]int64{}
	for _, c := range done.Changed {
		versions[c.ID] = c.Version
		require.Equal(t, c.ID == ids[0], c.Was != nil)
	}
	require.Equal(t, map[recipients.ID]int64{ids[0]: 2, ids[2]: 1, ids[5]: 1}, versions)
	_, err = tickets.Get(e.B.Ctx, foreign.ID)
	require.ErrorIs(t, err, recipients.ErrNotEnrolled)

	// One was edited since: it is named, and the others are what they were.
	_, err = tickets.Update(ctx, ids[5], 0, func(row *ticket) error { row.Seat = 50; return nil })
	require.NoError(t, err)
	do(func(tx *tenancy.Tx) error {
		kept, err := x.LookBackTx(ctx, tx, done.Changed)
		require.NoError(t, err)
		require.Equal(t, map[recipients.ID]string{ids[5]: recipients.KeptEdited}, kept)
		var back []recipients.RowChange
		for _, c := range done.Changed {
			if kept[c.ID] == "" {
				back = append(back, c)
			}
		}
		kept, err = x.TakeBackEachTx(ctx, tx, back)
		require.Empty(t, kept)
		return err
	})
	zero, err := tickets.Get(ctx, ids[0])
	require.NoError(t, err)
	require.Equal(t, []any{"zero", int64(1), int64(3)}, []any{zero.Code, zero.Seat, zero.Version})
	_, err = tickets.Get(ctx, ids[2])
	require.ErrorIs(t, err, recipients.ErrNotEnrolled)

	// Of another tenant nothing is found, and too many are refused.
	require.NoError(t, e.DB.InTx(e.B.Ctx, func(tx *tenancy.Tx) error {
		r, err := x.PutEachTx(e.B.Ctx, tx, puts[:6], false)
		require.NoError(t, err)
		require.Empty(t, r.Changed)
		require.Empty(t, r.Failed)
		kept, err := x.LookBackTx(e.B.Ctx, tx, done.Changed)
		require.NoError(t, err)
		require.Len(t, kept, 3)
		_, err = x.PutEachTx(e.B.Ctx, tx, make([]recipients.Put, recipients.MaxEach+1), false)
		require.ErrorContains(t, err, "at most 10000")
		return nil
	}))
}

// A row is not taken back where that could not be written, or would take something along.
func TestLookBack(t *testing.T) {
	t.Parallel()
	e, registry := tenancytest.Open(t), recipients.NewRegistry()
	tickets, err := recipients.Register(registry, recipients.Extension[ticket]{Name: "ticket"})
	require.NoError(t, err)
	store := e.Extended(t, registry)
	// What products hang on the rows, each by columns of its own choice.
	_, err = e.Direct(t).Pool().Exec(t.Context(), `
		ALTER TABLE strata.recipient_tickets ADD referred_by uuid, ADD FOREIGN KEY (domain_id, referred_by) REFERENCES strata.recipients ON DELETE CASCADE;
		CREATE SCHEMA club; GRANT USAGE ON SCHEMA club TO strata_app;
		CREATE TABLE club."Visits" (domain uuid, card text, FOREIGN KEY (domain, card) REFERENCES strata.recipient_tickets (domain_id, code));
		GRANT SELECT, INSERT ON club."Visits" TO strata_app`)
	require.NoError(t, err)
	ctx := e.A.Ctx
	x, err := store.Extension(ctx, "ticket")
	require.NoError(t, err)
	ids := map[string]recipients.ID{}
	for _, name := range []string{"first", "second", "other", "visited", "referred", "alone"} {
		r, err := store.Create(ctx, recipients.New{Email: name + "@example.com"})
		require.NoError(t, err)
		ids[name] = r.ID
	}
	do := func(fn func(tx *tenancy.Tx)) {
		t.Helper()
		require.NoError(t, e.DB.InTx(ctx, func(tx *tenancy.Tx) error { fn(tx); return nil }))
	}
	var changes []recipients.RowChange
	put := func(name, code string) {
		do(func(tx *tenancy.Tx) {
			done, err := x.PutEachTx(ctx, tx, []recipients.Put{{ID: ids[name], Values: map[string]json.RawMessage{"code": json.RawMessage(`"` + code + `"`)}}}, false)
			require.NoError(t, err)
			require.Len(t, done.Changed, 1)
			changes = append(changes, done.Changed...)
		})
	}
	// x was that of the first, then that of the second, and is nobody's by now.
	require.NoError(t, tickets.Enroll(ctx, ids["first"], &ticket{Code: "x"}))
	require.NoError(t, tickets.Enroll(ctx, ids["second"], &ticket{Code: "y"}))
	put("first", "z")
	_, err = tickets.Update(ctx, ids["second"], 0, func(row *ticket) error { row.Code = "x"; return nil })
	require.NoError(t, err)
	put("second", "w")
	put("visited", "v")
	put("referred", "r")
	put("alone", "a")
	do(func(tx *tenancy.Tx) {
		_, err := tx.Exec(ctx, `INSERT INTO club."Visits" VALUES ($1, 'v')`, e.A.DomainID)
		require.NoError(t, err)
		_, err = tx.Exec(ctx, `UPDATE strata.recipient_tickets SET referred_by = $3 WHERE domain_id = $1 AND recipient_id = $2`, e.A.DomainID, ids["first"], ids["referred"])
		require.NoError(t, err)
	})
	do(func(tx *tenancy.Tx) {
		kept, err := x.LookBackTx(ctx, tx, changes)
		require.NoError(t, err)
		require.Equal(t, map[recipients.ID]string{ids["second"]: recipients.KeptTaken, ids["visited"]: recipients.KeptEdited}, kept)
		except := map[recipients.ID][]string{}
		for _, id := range ids {
			except[id] = []string{"ticket"}
		}
		enrolled, err := store.EnrolledTx(ctx, tx, []recipients.ID{ids["other"], ids["referred"], ids["alone"]}, except)
		require.NoError(t, err)
		require.Equal(t, []recipients.ID{ids["referred"]}, enrolled, "another's row would go with it")
		var back []recipients.RowChange
		for _, c := range changes {
			if kept[c.ID] == "" {
				back = append(back, c)
			}
		}
		kept, err = x.TakeBackEachTx(ctx, tx, back)
		require.NoError(t, err)
		require.Empty(t, kept)
	})
	first, err := tickets.Get(ctx, ids["first"])
	require.NoError(t, err)
	require.Equal(t, "x", first.Code)

	// Where the one before is left alone, there is room.
	put("first", "q")
	require.NoError(t, tickets.Withdraw(ctx, ids["first"]))
	require.NoError(t, tickets.Enroll(ctx, ids["first"], &ticket{Code: "n"}))
	do(func(tx *tenancy.Tx) {
		kept, err := x.LookBackTx(ctx, tx, []recipients.RowChange{changes[1], changes[len(changes)-1]})
		require.NoError(t, err)
		require.Equal(t, map[recipients.ID]string{ids["first"]: recipients.KeptEdited}, kept)
	})
}

// Rows and values are looked up by their keys in a domain that the planner takes for empty.
func TestLookBackReadsNoDomain(t *testing.T) {
	t.Parallel()
	const rows = 500
	e, registry := tenancytest.Open(t), recipients.NewRegistry()
	_, err := recipients.Register(registry, recipients.Extension[ticket]{Name: "ticket"})
	require.NoError(t, err)
	store := e.Extended(t, registry)
	for _, c := range []*tenancytest.Company{e.B, e.A} {
		x, err := store.Extension(c.Ctx, "ticket")
		require.NoError(t, err)
		var all []recipients.New
		for i := range rows {
			all = append(all, recipients.New{Email: fmt.Sprintf("r%d@example.com", i)})
		}
		created, err := store.CreateMany(c.Ctx, all)
		require.NoError(t, err)
		var done recipients.PutResult
		for _, was := range []string{"before", "after"} {
			var puts []recipients.Put
			for i, r := range created {
				puts = append(puts, recipients.Put{ID: r.ID, Values: map[string]json.RawMessage{"code": json.RawMessage(fmt.Sprintf(`"%s%d"`, was, i))}})
			}
			require.NoError(t, e.DB.InTx(c.Ctx, func(tx *tenancy.Tx) error {
				done, err = x.PutEachTx(c.Ctx, tx, puts, false)
				return err
			}))
		}
		require.NoError(t, e.DB.InTx(c.Ctx, func(tx *tenancy.Tx) error {
			_, err := tx.Exec(c.Ctx, `SET LOCAL enable_sort = off; SET LOCAL jit = off`)
			require.NoError(t, err)
			read := func() (n int) {
				require.NoError(t, tx.QueryRow(c.Ctx, `SELECT coalesce(sum(seq_tup_read + idx_tup_fetch), 0) FROM pg_stat_xact_user_tables WHERE relname = 'recipient_tickets'`).Scan(&n))
				return n
			}
			before := read() // by what this connection did earlier
			kept, err := x.LookBackTx(c.Ctx, tx, done.Changed)
			require.NoError(t, err)
			require.Empty(t, kept)
			require.Less(t, read()-before, rows*5)
			return nil
		}))
		_, err = e.Direct(t).Pool().Exec(t.Context(), `ANALYZE strata.recipient_tickets`)
		require.NoError(t, err)
	}
}
