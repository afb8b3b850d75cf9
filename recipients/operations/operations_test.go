package operations_test

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/billing"
	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/recipients/operations"
	"github.com/stratakit/strata/tenancy"
)

func fieldCodes(t *testing.T, err error) map[string]string {
	t.Helper()
	var v *tenancy.ValidationError
	require.ErrorAs(t, err, &v)
	out := map[string]string{}
	for _, f := range v.Fields {
		out[f.Field] = f.Code
	}
	return out
}

func TestDeleteAndRestore(t *testing.T) {
	t.Parallel()
	w := open(t, nil)
	ctx := w.A.Ctx
	ids := w.create(t, ctx, 1200, recipients.New{Email: "r"})
	foreign := w.create(t, w.B.Ctx, 3, recipients.New{Email: "r"})
	require.Equal(t, map[string]int64{"changed": 3, "missing": 3}, numbers(w.do(t, ctx, operations.Delete, nil, some(ids[0], ids[1], ids[2], foreign[0], foreign[1], foreign[2]))))
	w.live(t, ctx, 1197)
	w.live(t, w.B.Ctx, 3)
	require.Equal(t, map[string]int64{"missing": 1}, numbers(w.do(t, ctx, operations.Delete, nil, some(ids[0]))), "gone already")

	res, err := w.ops.Submit(ctx, bulk.Request{Op: operations.Delete, Selection: bulk.Selection{All: true}})
	require.NoError(t, err)
	require.EqualValues(t, 1197, res.Rows)
	w.start(t)
	require.EqualValues(t, 1197, w.finish(t, ctx, res.RunID).Counters["changed"])
	w.live(t, ctx, 0)
	w.live(t, w.B.Ctx, 3)
	require.EqualValues(t, 1200, w.entries(t, ctx, "recipient.deleted"))

	// All that can be restored are those that are deleted.
	first := w.create(t, ctx, 1, recipients.New{Email: "r"})[0] // has the address of ids[0]
	res, err = w.ops.Submit(ctx, bulk.Request{Op: operations.Restore, Selection: bulk.Selection{All: true}})
	require.NoError(t, err)
	require.EqualValues(t, 1200, res.Rows)
	require.Equal(t, map[string]int64{"changed": 1199, "unchanged": 0, "missing": 0, "failed": 1}, w.finish(t, ctx, res.RunID).Counters)
	page, err := w.runner.Failures(ctx, res.RunID, tenancy.PageRequest{})
	require.NoError(t, err)
	require.Len(t, page.Items, 1)
	require.Equal(t, []any{uuid.UUID(ids[0]), "email_taken"}, []any{page.Items[0].ID, page.Items[0].Code})
	require.Contains(t, page.Items[0].Message, first.String())
	_, err = w.runner.Failures(w.B.Ctx, res.RunID, tenancy.PageRequest{})
	require.ErrorIs(t, err, bulk.ErrNotFound)
	w.live(t, ctx, 1200)
	require.EqualValues(t, 1199, w.entries(t, ctx, "recipient.restored"))
}

// As many are restored as the plan has room for, and not one more.
func TestRestoreAtTheLimit(t *testing.T) {
	t.Parallel()
	w := open(t, nil)
	c := w.Company(t, "free") // 1,000 recipients
	ids := w.create(t, c.Ctx, 10, recipients.New{Email: "r"})
	require.Equal(t, map[string]int64{"changed": 10}, numbers(w.do(t, c.Ctx, operations.Delete, nil, some(ids...))))
	require.NoError(t, w.DB.InTx(c.Ctx, func(tx *tenancy.Tx) error {
		if err := w.Limits.Consume(c.Ctx, tx, billing.ResourceRecipients, 997); err != nil {
			return err
		}
		return w.Audit.RecordTx(c.Ctx, tx, audit.Entry{Action: "test"})
	}))
	res := w.do(t, c.Ctx, operations.Restore, nil, some(ids...))
	require.Equal(t, map[string]int64{"changed": 3, "failed": 7}, numbers(res))
	for i, id := range ids {
		_, err := w.store.Get(c.Ctx, id)
		if i < 3 {
			require.NoError(t, err)
			continue
		}
		require.ErrorIs(t, err, recipients.ErrNotFound)
		require.Equal(t, "limit_exceeded", codes(res)[id])
	}
	require.Equal(t, map[string]int64{"failed": 7}, numbers(w.do(t, c.Ctx, operations.Restore, nil, bulk.Selection{All: true})))
	require.ErrorIs(t, w.Limits.Peek(c.Ctx, billing.ResourceRecipients, 1), billing.ErrLimit)
	require.Equal(t, map[string]int64{"changed": 2}, numbers(w.do(t, c.Ctx, operations.Delete, nil, some(ids[0], ids[2]))))
	require.Equal(t, map[string]int64{"changed": 2, "failed": 7}, numbers(w.do(t, c.Ctx, operations.Restore, nil, bulk.Selection{All: true})))
}

func TestRestoreOfWhatIsTakenTwice(t *testing.T) {
	t.Parallel()
	w := open(t, nil)
	ctx := w.A.Ctx
	one := func(email, badge string) recipients.ID {
		r, err := w.store.Create(ctx, recipients.New{Email: email, CustomFields: values{"badge": badge}})
		require.NoError(t, err)
		require.NoError(t, w.store.Delete(ctx, r.ID))
		return r.ID
	}
	a, b, c, d := one("a@example.com", "1"), one("A@example.com", "2"), one("c@example.com", "1"), one("d@example.com", "4")
	res := w.do(t, ctx, operations.Restore, nil, some(a, b, c, d))
	require.Equal(t, map[string]int64{"changed": 2, "failed": 2}, numbers(res))
	require.Equal(t, map[recipients.ID]string{b: "email_taken", c: "value_taken"}, codes(res))
	w.live(t, ctx, 2)
}

func TestEnrollAndWithdraw(t *testing.T) {
	t.Parallel()
	w := open(t, nil)
	ctx := w.A.Ctx
	ids := w.create(t, ctx, 5, recipients.New{Email: "r"})
	require.NoError(t, w.store.Delete(ctx, ids[4]))
	foreign := w.create(t, w.B.Ctx, 1, recipients.New{Email: "r"})[0]
	args := operations.EnrollArgs{Product: "course", Data: map[string]json.RawMessage{"level": json.RawMessage(`"one"`)}}
	require.Equal(t, map[string]int64{"changed": 2, "missing": 2}, numbers(w.do(t, ctx, operations.Enroll, args, some(ids[0], ids[1], ids[4], foreign))))

	args.Data["level"] = json.RawMessage(`"two"`)
	require.Equal(t, map[string]int64{"changed": 2, "unchanged": 2}, numbers(w.do(t, ctx, operations.Enroll, args, bulk.Selection{All: true})))
	level := func(id recipients.ID) any {
		row := w.get(t, ctx, id).Extensions["course"]
		if row == nil {
			return nil
		}
		b, err := json.Marshal(row)
		require.NoError(t, err)
		var v values
		require.NoError(t, json.Unmarshal(b, &v))
		return v["level"]
	}
	require.Equal(t, []any{"one", "one", "two", "two"}, []any{level(ids[0]), level(ids[1]), level(ids[2]), level(ids[3])}, "who is enrolled stays as he is")
	require.EqualValues(t, 4, w.entries(t, ctx, "recipient.enrolled"))
	enrolled := func(ctx context.Context) int64 {
		return w.count(t, ctx, `SELECT coalesce(sum(n), 0)::bigint FROM strata.recipient_counts WHERE kind = 'extension' AND key = 'course'`)
	}
	require.EqualValues(t, 4, enrolled(ctx))
	require.Zero(t, enrolled(w.B.Ctx))

	out := operations.WithdrawArgs{Product: "course"}
	require.Equal(t, map[string]int64{"changed": 2}, numbers(w.do(t, ctx, operations.Withdraw, out, bulk.Selection{Filter: `course.level == "two"`})))
	require.Equal(t, map[string]int64{"changed": 1, "unchanged": 1, "missing": 2}, numbers(w.do(t, ctx, operations.Withdraw, out, some(ids[0], ids[2], ids[4], foreign))))
	require.EqualValues(t, 1, enrolled(ctx))
	require.EqualValues(t, 3, w.entries(t, ctx, "recipient.withdrawn"))

	// What only one can have goes to the first.
	args.Data["badge"] = json.RawMessage(`"gold"`)
	res := w.do(t, ctx, operations.Enroll, args, some(ids[0], ids[2], ids[3]))
	require.Equal(t, map[string]int64{"changed": 1, "failed": 2}, numbers(res))
	require.Equal(t, map[recipients.ID]string{ids[2]: "value_taken", ids[3]: "value_taken"}, codes(res))
	require.EqualValues(t, 2, enrolled(ctx))
}

func TestEnrollIsCheckedBeforeAnything(t *testing.T) {
	t.Parallel()
	w := open(t, nil)
	ctx := w.A.Ctx
	w.create(t, ctx, 1, recipients.New{Email: "r"})
	for body, want := range map[string]map[string]string{
		`{}`:                   {"product": "unknown_extension"},
		`{"product":"coruse"}`: {"product": "unknown_extension"},
		`{"prodct":"course"}`:  {"prodct": "unknown_field"},
		`{"product":"course","data":{"level":"three","leval":"one"}}`: {"data.leval": "unknown_field"},
		`{"product":"course","data":{"level":"three"}}`:               {"data.level": "unknown_option"},
	} {
		_, err := w.ops.Submit(ctx, bulk.Request{Op: operations.Enroll, Args: json.RawMessage(body), Selection: bulk.Selection{All: true}})
		require.Equal(t, want, fieldCodes(t, err), body)
	}
	_, err := w.ops.Submit(ctx, bulk.Request{Op: operations.Withdraw, Args: operations.WithdrawArgs{Product: "x"}, Selection: bulk.Selection{All: true}})
	require.Equal(t, map[string]string{"product": "unknown_extension"}, fieldCodes(t, err))
	_, err = w.ops.Submit(ctx, bulk.Request{Op: operations.Delete, Args: operations.WithdrawArgs{Product: "x"}, Selection: bulk.Selection{All: true}})
	require.Equal(t, map[string]string{"product": "unknown_field"}, fieldCodes(t, err))
}

// A product's own operation, beside the library's.
func TestOperationOfAProduct(t *testing.T) {
	t.Parallel()
	w := open(t, &bulk.OperationsConfig{InlineLimit: 100})
	ctx := w.A.Ctx
	_, err := w.Pool.Exec(ctx, `CREATE TABLE stamps (recipient_id uuid PRIMARY KEY, n int NOT NULL); GRANT SELECT, INSERT, UPDATE ON stamps TO strata_app`)
	require.NoError(t, err)
	type stampArgs struct {
		Times int `json:"times"`
	}
	require.NoError(t, bulk.Register(w.ops, bulk.Operation[stampArgs]{Name: "stamp", Apply: func(ctx context.Context, tx *tenancy.Tx, args stampArgs, ids []uuid.UUID) (bulk.Outcome, error) {
		tag, err := tx.Exec(ctx, `INSERT INTO stamps SELECT id, $3 FROM strata.recipients WHERE domain_id = $1 AND id = ANY ($2) AND deleted_at IS NULL
			ON CONFLICT (recipient_id) DO UPDATE SET n = stamps.n + excluded.n`, tx.Tenant().DomainID, ids, args.Times)
		return bulk.Outcome{Changed: int(tag.RowsAffected())}, err
	}}))
	require.Equal(t, []string{"delete", "enroll", "restore", "set", "stamp", "withdraw"}, w.ops.Names())
	ids := w.create(t, ctx, 150, recipients.New{Email: "r"})
	w.start(t)
	res, err := w.ops.Submit(ctx, bulk.Request{Op: "stamp", Args: stampArgs{2}, Selection: bulk.Selection{Search: "r1"}}) // r1, r10-r19, r100-r149
	require.NoError(t, err)
	require.Equal(t, map[string]int64{"changed": 61}, numbers(res))
	res, err = w.ops.Submit(ctx, bulk.Request{Op: "stamp", Args: stampArgs{1}, Selection: bulk.Selection{All: true}})
	require.NoError(t, err)
	require.EqualValues(t, len(ids), w.finish(t, ctx, res.RunID).Counters["changed"])
	require.EqualValues(t, 61*3+89, w.count(t, ctx, `SELECT sum(n) FROM stamps`))
}
