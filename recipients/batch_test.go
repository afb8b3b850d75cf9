package recipients_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/billing"
	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/internal/dbtest"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
)

// trail is the actions on a recipient, newest first, with the fields they name.
func (b *bundle) trail(t *testing.T, id recipients.ID) [][]any {
	t.Helper()
	page, err := b.Audit.List(b.A.CompanyCtx, audit.Query{ResourceID: id.String()})
	require.NoError(t, err)
	out := [][]any{}
	for _, e := range page.Items {
		out = append(out, []any{e.Action, e.Metadata["fields"]})
	}
	return out
}

func (b *bundle) count(t *testing.T, action string) int64 {
	t.Helper()
	page, err := b.Audit.List(b.A.CompanyCtx, audit.Query{Action: action})
	require.NoError(t, err)
	return page.Total
}

// problems are the codes of a *tenancy.ValidationError by their fields.
func problems(t *testing.T, err error) map[string]string {
	t.Helper()
	var v *tenancy.ValidationError
	require.ErrorAs(t, err, &v)
	out := map[string]string{}
	for _, f := range v.Fields {
		out[f.Field] = f.Code
	}
	return out
}

func ids(rs []recipients.Recipient) []recipients.ID {
	out := make([]recipients.ID, len(rs))
	for i, r := range rs {
		out[i] = r.ID
	}
	return out
}

func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := b.A.Ctx
	made, err := b.store.CreateMany(ctx, []recipients.New{
		{Email: "Cy@example.com", CustomFields: map[string]any{"tier": "gold"}}, {Email: "ada@example.com", Name: "Ada"}, {Email: "bo@example.com", Status: recipients.Bounced},
	})
	require.NoError(t, err)
	require.Equal(t, []string{"Cy@example.com", "ada@example.com", "bo@example.com"}, emails(tenancy.Page[recipients.Recipient]{Items: made}), "in the order given")
	for _, r := range made {
		got, err := b.store.Get(ctx, r.ID)
		require.NoError(t, err)
		require.Equal(t, r, got)
		require.Len(t, b.trail(t, r.ID), 1)
	}
	require.EqualValues(t, 3, b.used(ctx, t))

	up, err := b.store.UpsertMany(ctx, []recipients.New{
		{Email: "di@example.com"},
		{Email: "cy@example.com", CustomFields: map[string]any{"tier": nil, "seats": 2}},
		{Email: "ada@example.com", Name: "Ada"},
		{Email: "BO@example.com", Status: recipients.Active},
	})
	require.NoError(t, err)
	outcomes := []recipients.Outcome{}
	for _, u := range up {
		got, err := b.store.Get(ctx, u.ID)
		require.NoError(t, err)
		require.Equal(t, got, u.Recipient)
		outcomes = append(outcomes, u.Outcome)
	}
	require.Equal(t, []recipients.Outcome{recipients.Created, recipients.Updated, recipients.Unchanged, recipients.Unchanged}, outcomes)
	require.Equal(t, map[string]any{"seats": 2.0}, up[1].CustomFields)
	require.EqualValues(t, 4, b.used(ctx, t))
	require.Equal(t, [][]any{{"recipient.updated", []any{"seats", "tier"}}, {"recipient.created", []any{"tier"}}}, b.trail(t, made[0].ID))

	changed, err := b.store.UpdateMany(ctx, ids(made), recipients.Change{CustomFields: map[string]any{"seats": 2}})
	require.NoError(t, err)
	require.Equal(t, ids(made), ids(changed))
	require.Equal(t, []int64{2, 2, 2}, []int64{changed[0].Version, changed[1].Version, changed[2].Version}, "the first had it")
	require.Len(t, b.trail(t, made[0].ID), 2)

	require.NoError(t, b.store.DeleteMany(ctx, ids(made)))
	require.EqualValues(t, 1, b.used(ctx, t))
	trash, err := b.store.List(ctx, recipients.Query{Deleted: true, Sort: "email"})
	require.NoError(t, err)
	require.Equal(t, []string{"ada@example.com", "bo@example.com", "Cy@example.com"}, emails(trash))
	require.NotNil(t, trash.Items[0].DeletedAt)
	restored, err := b.store.RestoreMany(ctx, ids(made))
	require.NoError(t, err)
	require.Equal(t, ids(made), ids(restored))
	require.EqualValues(t, 4, b.used(ctx, t))
	require.Equal(t, []int64{4, 2, 3, 3}, []int64{b.count(t, "recipient.created"), b.count(t, "recipient.updated") - 1, b.count(t, "recipient.deleted"), b.count(t, "recipient.restored")})

	for _, none := range []func() error{
		func() error { _, err := b.store.CreateMany(ctx, nil); return err },
		func() error { _, err := b.store.UpsertMany(ctx, nil); return err },
		func() error { _, err := b.store.UpdateMany(ctx, nil, recipients.Change{}); return err },
		func() error { return b.store.DeleteMany(ctx, nil) },
		func() error { _, err := b.store.RestoreMany(ctx, nil); return err },
		func() error { return b.store.Purge(ctx, nil) },
	} {
		require.NoError(t, none())
	}
}

func TestAllThatIsWrongWithABatch(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := b.A.Ctx
	_, err := b.fields.Create(b.A.WorkspaceCtx, customfields.Field{Key: "code", Type: customfields.Text, Unique: true})
	require.NoError(t, err)
	code := func(v string) map[string]any { return map[string]any{"code": v} }
	there := b.create(ctx, t, recipients.New{Email: "ada@example.com", CustomFields: code("a")})
	gone := b.create(ctx, t, recipients.New{Email: "gone@example.com"})
	require.NoError(t, b.store.Delete(ctx, gone.ID))
	other := b.create(b.B.Ctx, t, recipients.New{Email: "other@example.com"})
	before := b.used(ctx, t)

	in := []recipients.New{{Email: "ADA@example.com"}, {Email: "x@example.com"}, {Email: "X@example.com"}, {Email: "nobody", Status: "actve"}, {Email: "other@example.com"}}
	_, err = b.store.CreateMany(ctx, in)
	require.Equal(t, map[string]string{"[0].email": "email_taken", "[2].email": "duplicate", "[3].email": "invalid_email", "[3].status": "unknown_status"}, problems(t, err))
	require.ErrorContains(t, err, there.ID.String())
	_, err = b.store.CreateMany(ctx, in[:2])
	require.Equal(t, map[string]string{"[0].email": "email_taken"}, problems(t, err))
	_, err = b.store.UpsertMany(ctx, in)
	require.Equal(t, map[string]string{"[2].email": "duplicate", "[3].email": "invalid_email", "[3].status": "unknown_status"}, problems(t, err))
	_, err = b.store.CreateMany(ctx, []recipients.New{{Email: "1@example.com", CustomFields: code("a")}, {Email: "2@example.com", CustomFields: code("b")}, {Email: "3@example.com", CustomFields: code("b")}})
	wrong := problems(t, err)
	require.Equal(t, "value_taken", wrong["[0].customFields.code"])
	_, err = b.store.UpsertMany(ctx, []recipients.New{{Email: "1@example.com", CustomFields: code("c")}, {Email: "2@example.com", CustomFields: code("c")}})
	require.NotEmpty(t, problems(t, err))

	mixed := []recipients.ID{there.ID, gone.ID, other.ID, there.ID, tenancy.NewID[recipients.Recipient]()}
	missing := map[string]string{"[1].id": "recipient_not_found", "[2].id": "recipient_not_found", "[3].id": "duplicate", "[4].id": "recipient_not_found"}
	require.Equal(t, missing, problems(t, b.store.DeleteMany(ctx, mixed)))
	_, err = b.store.UpdateMany(ctx, mixed, recipients.Change{Name: ptr("x")})
	require.Equal(t, missing, problems(t, err))
	_, err = b.store.UpdateMany(ctx, []recipients.ID{there.ID, mixed[4]}, recipients.Change{Status: ptr(recipients.Status("actve")), Version: 7})
	require.Equal(t, map[string]string{"[0].version": "version_conflict", "[1].id": "recipient_not_found"}, problems(t, err))
	_, err = b.store.UpdateMany(ctx, []recipients.ID{there.ID, mixed[4]}, recipients.Change{Email: ptr("one@example.com")})
	require.Equal(t, map[string]string{"email": "not_allowed"}, problems(t, err))
	_, err = b.store.RestoreMany(ctx, []recipients.ID{there.ID, gone.ID, other.ID})
	require.Equal(t, map[string]string{"[0].id": "recipient_not_found", "[2].id": "recipient_not_found"}, problems(t, err))
	require.Equal(t, map[string]string{"[1].id": "recipient_not_found"}, problems(t, b.store.Purge(ctx, []recipients.ID{there.ID, other.ID})))

	tooMany := make([]recipients.ID, recipients.MaxBatch+1)
	_, err = b.store.CreateMany(ctx, make([]recipients.New, recipients.MaxBatch+1))
	require.ErrorIs(t, err, recipients.ErrTooMany)
	require.ErrorContains(t, err, "1001")
	_, err = b.store.UpsertMany(ctx, make([]recipients.New, recipients.MaxBatch+1))
	require.ErrorIs(t, err, recipients.ErrTooMany)
	require.ErrorIs(t, b.store.DeleteMany(ctx, tooMany), recipients.ErrTooMany)
	require.ErrorIs(t, b.store.Purge(ctx, tooMany), recipients.ErrTooMany)

	// Nothing of all that was done.
	require.Equal(t, before, b.used(ctx, t))
	got, err := b.store.Get(ctx, there.ID)
	require.NoError(t, err)
	require.Equal(t, there, got)
	_, err = b.store.Get(b.B.Ctx, other.ID)
	require.NoError(t, err)
}

func TestABatchMeetsThePlan(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.Company(t, "free")
	b.defineFields(t, c)
	_, err := b.store.CreateMany(c.Ctx, someNew(990))
	require.NoError(t, err)
	require.NoError(t, b.DB.InTx(c.Ctx, func(tx *tenancy.Tx) error {
		_, err := b.store.CreateManyTx(c.Ctx, tx, []recipients.New{{Email: "a@x.example"}, {Email: "nobody"}})
		require.Equal(t, map[string]string{"[1].email": "invalid_email"}, problems(t, err))
		in := make([]recipients.New, 11)
		for i := range in {
			in[i].Email = fmt.Sprintf("more%d@example.com", i)
		}
		_, err = b.store.UpsertManyTx(c.Ctx, tx, in)
		require.ErrorIs(t, err, billing.ErrLimit)
		_, err = b.store.UpsertManyTx(c.Ctx, tx, in[:10])
		return err
	}))
	require.EqualValues(t, 1_000, b.used(c.Ctx, t))
	n, err := b.store.Count(c.Ctx, "")
	require.NoError(t, err)
	require.EqualValues(t, 1_000, n)
}

func someNew(n int) []recipients.New {
	in := make([]recipients.New, n)
	for i := range in {
		in[i] = recipients.New{Email: fmt.Sprintf("r%d@example.com", i), CustomFields: map[string]any{"seats": i}}
	}
	return in
}

// setupCounted is setup with a count of what is sent to PostgreSQL.
func setupCounted(t *testing.T) (*bundle, *counter) {
	t.Helper()
	counted := &counter{}
	cfg := dbtest.Database(t, tenancytest.Template()).Config().Copy()
	cfg.ConnConfig.Tracer = counted
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	e := tenancytest.OpenOn(t, pool, dbtest.Redis(t))
	fields, err := customfields.NewRegistry(e.DB, e.Redis, e.Limits, e.Audit, nil)
	require.NoError(t, err)
	store, err := recipients.NewStore(e.DB, fields, e.Limits, e.Audit, nil)
	require.NoError(t, err)
	b := &bundle{Env: e, fields: fields, store: store}
	b.defineFields(t, e.A)
	return b, counted
}

// A batch of a thousand takes as many statements as one of two.
func TestABatchIsAFewStatements(t *testing.T) {
	t.Parallel()
	b, counted := setupCounted(t)
	ctx, store := b.A.Ctx, b.store
	var took [2][]int64
	for round, n := range []int{2, recipients.MaxBatch} {
		in := someNew(n)
		for i := range in {
			in[i].Email = fmt.Sprintf("%d.%s", round, in[i].Email)
		}
		measure := func(do func()) {
			start := counted.n.Load()
			do()
			took[round] = append(took[round], counted.n.Load()-start)
		}
		_, err := b.fields.Set(ctx) // from here on from memory, mostly
		require.NoError(t, err)
		var made []recipients.Recipient
		for _, do := range []func() error{
			func() (err error) { made, err = store.CreateMany(ctx, in); return err },
			func() error { _, err := store.UpsertMany(ctx, in); return err },
			func() error {
				_, err := store.UpdateMany(ctx, ids(made), recipients.Change{Name: ptr("x")})
				return err
			},
			func() error { return store.DeleteMany(ctx, ids(made)) },
			func() error { _, err := store.RestoreMany(ctx, ids(made)); return err },
			func() error { return store.Purge(ctx, ids(made)) },
		} {
			measure(func() { require.NoError(t, do()) })
		}
	}
	t.Logf("statements of create, upsert, update, delete, restore, purge: %v", took[1])
	for i := range took[0] {
		require.InDelta(t, took[0][i], took[1][i], 1, "the definitions may be asked for again")
		require.Less(t, took[1][i], int64(12))
	}
}

// Where counting has found nobody, there is no page to be read.
func TestAListOfNobodyIsOneStatement(t *testing.T) {
	t.Parallel()
	b, counted := setupCounted(t)
	_, err := b.store.CreateMany(b.A.Ctx, someNew(3))
	require.NoError(t, err)
	list := func(q recipients.Query, items int, total int64) int64 {
		var took [3]int64
		for i := range took { // the definitions may be asked for again
			before := counted.n.Load()
			page, err := b.store.List(b.A.Ctx, q)
			require.NoError(t, err)
			require.Equal(t, []any{items, total, false, ""}, []any{len(page.Items), page.Total, page.HasMore, page.NextCursor})
			took[i] = counted.n.Load() - before
		}
		return slices.Min(took[:])
	}
	some := list(recipients.Query{Search: "r1"}, 1, 1)
	for _, q := range []recipients.Query{{Search: "absent"}, {Filter: `name == "x"`}, {Deleted: true}} {
		require.Less(t, list(q, 0, 0), some)
	}
	require.Less(t, list(recipients.Query{Search: "r", PageRequest: tenancy.PageRequest{Page: 2}}, 0, 3), some)
}

// Row-level security must not cost a batch its indexes, by which it finds addresses and ids.
func TestABatchFindsItsRowsByIndex(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.fill(t, 20_000)
	for index, c := range map[string]struct {
		condition string
		arg       any
	}{
		"recipients_email":   {`r.email_norm = ANY ($2) AND r.deleted_at IS NULL`, []string{"1@example.com", "2@example.com"}},
		"recipients_live":    {`r.id = ANY ($2) AND r.deleted_at IS NULL`, []recipients.ID{tenancy.NewID[recipients.Recipient]()}},
		"recipients_deleted": {`r.deleted_at < $2`, time.Now()},
	} {
		var plan []string
		require.NoError(t, b.DB.InTx(b.A.Ctx, func(tx *tenancy.Tx) error {
			return tx.Read(b.A.Ctx, `EXPLAIN SELECT r.id FROM strata.recipients r WHERE r.domain_id = $1 AND `+c.condition+` ORDER BY r.id FOR NO KEY UPDATE`,
				[]any{b.A.DomainID, c.arg}, func(rows pgx.Rows) (err error) {
					plan, err = pgx.CollectRows(rows, pgx.RowTo[string])
					return err
				})
		}))
		require.Contains(t, strings.Join(plan, "\n"), index)
	}
}
