package recipients_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
)

type uniqueBundle struct {
	*tenancytest.Env
	fields *customfields.Registry
	store  *recipients.Store
}

func setupUnique(t *testing.T) *uniqueBundle {
	t.Helper()
	b := &uniqueBundle{Env: tenancytest.Open(t)}
	var err error
	b.fields, err = customfields.NewRegistry(b.DB, nil, b.Limits, b.Audit, &customfields.Config{Lifetime: time.Hour})
	require.NoError(t, err)
	b.store, err = recipients.NewStore(b.DB, b.fields, b.Limits, b.Audit, nil)
	require.NoError(t, err)
	return b
}

func (b *uniqueBundle) define(ctx context.Context, t *testing.T, fields ...customfields.Field) {
	t.Helper()
	for _, f := range fields {
		_, err := b.fields.Create(ctx, f)
		require.NoError(t, err)
	}
}

func (b *uniqueBundle) create(ctx context.Context, email string, code any) (recipients.Recipient, error) {
	return b.store.Create(ctx, recipients.New{Email: email + "@example.com", CustomFields: map[string]any{"code": code}})
}

func (b *uniqueBundle) must(ctx context.Context, t *testing.T, email string, code any) recipients.Recipient {
	t.Helper()
	r, err := b.create(ctx, email, code)
	require.NoError(t, err)
	return r
}

func (b *uniqueBundle) unique(ctx context.Context, on bool) (customfields.Field, error) {
	return b.fields.Update(ctx, "code", customfields.Change{Unique: &on})
}

// exec runs a statement as the application, with an entry for the guard.
func (b *uniqueBundle) exec(ctx context.Context, t *testing.T, q string, args ...any) {
	t.Helper()
	require.NoError(t, b.DB.InTx(ctx, func(tx *tenancy.Tx) error {
		_, err := tx.Exec(ctx, q, args...)
		require.NoError(t, err)
		return b.Audit.RecordTx(ctx, tx, audit.Entry{Action: "test.done", ResourceType: "recipient", ResourceID: "all"})
	}))
}

// entered is how many values are entered, with those of records that do not have them.
func (b *uniqueBundle) entered(t *testing.T) (n, wrong int) {
	t.Helper()
	require.NoError(t, b.DB.ReadTrusted(t.Context(), `SELECT count(*), count(*) FILTER (WHERE r.id IS NULL) FROM strata.custom_field_uniques u
		LEFT JOIN strata.recipients r ON r.domain_id = u.domain_id AND r.id = u.record_id AND r.workspace_id = u.workspace_id AND r.deleted_at IS NULL
			AND strata.unique_value_hash(r.custom_fields->>u.slot) = u.hash`, nil, func(rows pgx.Rows) error {
		rows.Next()
		return rows.Scan(&n, &wrong)
	}))
	return n, wrong
}

func requireTaken(t *testing.T, err error, key, value string) {
	t.Helper()
	require.ErrorIs(t, err, customfields.ErrValueTaken)
	var taken *customfields.TakenError
	require.ErrorAs(t, err, &taken)
	require.Equal(t, []customfields.TakenValue{{Key: key, Value: value}}, taken.Values)
}

var codeField = customfields.Field{Key: "code", Type: customfields.Text, Unique: true}

func TestUniqueValues(t *testing.T) {
	t.Parallel()
	b := setupUnique(t)
	ctx := b.A.Ctx
	b.define(ctx, t, codeField, customfields.Field{Key: "badge", Type: customfields.Number, Unique: true}, customfields.Field{Key: "note", Type: customfields.Text})
	first := b.must(ctx, t, "first", "x")
	b.must(ctx, t, "empty1", nil)
	b.must(ctx, t, "empty2", "")
	b.must(ctx, t, "case", "X")
	_, err := b.create(ctx, "second", "x")
	requireTaken(t, err, "code", "x")
	require.ErrorContains(t, err, `code "x"`)
	second := b.must(ctx, t, "second", "y")
	_, err = b.store.Update(ctx, second.ID, recipients.Change{CustomFields: map[string]any{"code": " x "}})
	requireTaken(t, err, "code", "x")
	_, _, err = b.store.Upsert(ctx, recipients.New{Email: "second@example.com", CustomFields: map[string]any{"code": "x"}})
	requireTaken(t, err, "code", "x")
	_, err = b.store.Update(ctx, first.ID, recipients.Change{CustomFields: map[string]any{"code": "x", "note": "n"}})
	require.NoError(t, err, "its own value")

	// Both of them at once, and long values too.
	long := strings.Repeat("é", 10_000)
	_, err = b.store.Update(ctx, first.ID, recipients.Change{CustomFields: map[string]any{"code": long, "badge": 7}})
	require.NoError(t, err)
	_, err = b.store.Create(ctx, recipients.New{Email: "third@example.com", CustomFields: map[string]any{"code": long, "badge": 7}})
	var taken *customfields.TakenError
	require.ErrorAs(t, err, &taken)
	require.Len(t, taken.Values, 2)
	require.Equal(t, customfields.TakenValue{Key: "badge", Value: "7"}, taken.Values[0])

	// A value is free when it is changed, cleared, or its recipient is deleted, and not when that comes back.
	_, err = b.store.Update(ctx, second.ID, recipients.Change{CustomFields: map[string]any{"code": "x"}})
	require.NoError(t, err)
	require.NoError(t, b.store.Delete(ctx, second.ID))
	third := b.must(ctx, t, "third", "x")
	_, err = b.store.Restore(ctx, second.ID)
	requireTaken(t, err, "code", "x")
	_, err = b.store.Update(ctx, third.ID, recipients.Change{CustomFields: map[string]any{"code": nil}})
	require.NoError(t, err)
	_, err = b.store.Restore(ctx, second.ID)
	require.NoError(t, err)
	n, wrong := b.entered(t)
	require.Equal(t, []int{4, 0}, []int{n, wrong}, "long and 7, X, x")

	// After an error the transaction of the caller goes on.
	require.NoError(t, b.DB.InTx(ctx, func(tx *tenancy.Tx) error {
		_, err := b.store.CreateTx(ctx, tx, recipients.New{Email: "fourth@example.com", CustomFields: map[string]any{"code": "x"}})
		requireTaken(t, err, "code", "x")
		_, err = b.store.CreateTx(ctx, tx, recipients.New{Email: "fourth@example.com", CustomFields: map[string]any{"code": "z"}})
		return err
	}))

	// Purged.
	b.exec(ctx, t, `DELETE FROM strata.recipients`)
	n, _ = b.entered(t)
	require.Zero(t, n)
}

// What is unique is so in one domain: another one of the workspace, and another tenant with
// the same key, neither see nor block its values.
func TestUniqueValuesNeverCrossDomains(t *testing.T) {
	t.Parallel()
	b := setupUnique(t)
	domain, err := b.Store.CreateDomain(b.A.CompanyCtx, b.A.WorkspaceID, tenancy.NewDomain{DomainName: "second.example"})
	require.NoError(t, err)
	second := tenancy.WithTenant(b.A.Ctx, tenancy.Tenant{CompanyID: b.A.CompanyID, WorkspaceID: b.A.WorkspaceID, DomainID: domain.ID})
	b.define(b.A.Ctx, t, codeField)
	b.define(b.B.Ctx, t, customfields.Field{Key: "code", Type: customfields.Text})
	for _, ctx := range []context.Context{b.A.Ctx, second, b.B.Ctx} {
		b.must(ctx, t, "one", "x")
	}
	_, err = b.create(second, "two", "x")
	requireTaken(t, err, "code", "x")
	b.must(b.B.Ctx, t, "two", "x") // it is not unique there
	_, err = b.unique(b.B.Ctx, true)
	var duplicates *customfields.DuplicatesError
	require.ErrorAs(t, err, &duplicates)
	require.Equal(t, []customfields.Duplicate{{Value: "x", Records: 2}}, duplicates.Values, "its own only")
	n, wrong := b.entered(t)
	require.Equal(t, []int{2, 0}, []int{n, wrong})
	for _, ctx := range []context.Context{b.B.Ctx, b.B.WorkspaceCtx} {
		require.NoError(t, b.DB.InTx(ctx, func(tx *tenancy.Tx) error {
			var n int
			require.NoError(t, tx.QueryRow(ctx, `SELECT count(*) FROM strata.custom_field_uniques`).Scan(&n))
			require.Zero(t, n)
			return nil
		}))
	}
}

func TestAFieldWithValuesBecomesUnique(t *testing.T) {
	t.Parallel()
	b := setupUnique(t)
	ctx := b.A.Ctx
	b.define(ctx, t, customfields.Field{Key: "code", Type: customfields.Text})
	const rows = 4_100 // three batches
	b.exec(ctx, t, `INSERT INTO strata.recipients (domain_id, id, company_id, workspace_id, email, email_norm, custom_fields)
		SELECT $1, gen_random_uuid(), $2, $3, n || '@example.com', n || '@example.com', jsonb_build_object('code', 'c' || n) FROM generate_series(1, $4::int) n`,
		b.A.DomainID, b.A.CompanyID, b.A.WorkspaceID, rows)
	f, err := b.unique(ctx, true)
	require.NoError(t, err)
	require.Equal(t, []any{true, ""}, []any{f.Unique, f.UniqueState})
	n, wrong := b.entered(t)
	require.Equal(t, []int{rows, 0}, []int{n, wrong})
	_, err = b.create(ctx, "new", "c4100")
	requireTaken(t, err, "code", "c4100")

	// A statement over many rows, which exchange their values.
	b.exec(ctx, t, `UPDATE strata.recipients SET custom_fields = jsonb_build_object('code', 'c' || 4101 - substr(custom_fields->>'code', 2)::int)`)
	n, wrong = b.entered(t)
	require.Equal(t, []int{rows, 0}, []int{n, wrong})
	f, err = b.unique(ctx, false)
	require.NoError(t, err)
	require.Empty(t, f.UniqueState)
	n, _ = b.entered(t)
	require.Zero(t, n)
}

// Writers go on while a field becomes unique; at the end every value is that of one
// recipient, whoever won.
func TestAFieldBecomesUniqueUnderWriters(t *testing.T) {
	t.Parallel()
	b := setupUnique(t)
	ctx := b.A.Ctx
	b.define(ctx, t, customfields.Field{Key: "code", Type: customfields.Text})
	var all []recipients.Recipient
	for i := range 60 {
		all = append(all, b.must(ctx, t, fmt.Sprint("r", i), fmt.Sprint("v", i)))
	}
	done := make(chan struct{})
	var g errgroup.Group
	for w := range 3 {
		g.Go(func() error {
			for n := w; ; n++ {
				select {
				case <-done:
					return nil
				default:
				}
				r := all[(n*7)%len(all)]
				_, err := b.store.Update(ctx, r.ID, recipients.Change{CustomFields: map[string]any{"code": fmt.Sprintf("w%d-%d", w, n)}})
				if err != nil {
					return err
				}
			}
		})
	}
	f, err := b.unique(ctx, true)
	close(done)
	require.NoError(t, g.Wait())
	require.NoError(t, err)
	require.Equal(t, []any{true, ""}, []any{f.Unique, f.UniqueState})
	n, wrong := b.entered(t)
	require.Equal(t, []int{60, 0}, []int{n, wrong})
	now, err := b.store.Get(ctx, all[0].ID)
	require.NoError(t, err)
	_, err = b.create(ctx, "late", now.CustomFields["code"])
	requireTaken(t, err, "code", now.CustomFields["code"].(string))
}

func TestAFieldWithDuplicatesDoesNotBecomeUnique(t *testing.T) {
	t.Parallel()
	b := setupUnique(t)
	ctx := b.A.Ctx
	b.define(ctx, t, customfields.Field{Key: "code", Type: customfields.Text})
	for i, code := range []any{"a", "b", "a", "c", "b", "a", nil, nil} {
		b.must(ctx, t, fmt.Sprint("r", i), code)
	}
	gone := b.must(ctx, t, "gone", "c")
	require.NoError(t, b.store.Delete(ctx, gone.ID))
	_, err := b.unique(ctx, true)
	var duplicates *customfields.DuplicatesError
	require.ErrorAs(t, err, &duplicates)
	require.Equal(t, &customfields.DuplicatesError{Key: "code", Count: 2, Values: []customfields.Duplicate{{Value: "a", Records: 3}, {Value: "b", Records: 2}}}, duplicates)
	f, err := b.fields.Get(ctx, "code")
	require.NoError(t, err)
	require.Equal(t, []any{false, ""}, []any{f.Unique, f.UniqueState}, "as before")
	n, _ := b.entered(t)
	require.Zero(t, n, "and nothing is left of it")
	b.must(ctx, t, "again", "a")
	trail, err := b.Audit.List(b.A.WorkspaceCtx, audit.Query{Action: "custom_field.not_unique"})
	require.NoError(t, err)
	require.Len(t, trail.Items, 1)
	require.NotContains(t, fmt.Sprint(trail.Items[0]), `"a"`, "no values of people")
}

func TestAFieldIsNotUniqueAnyMore(t *testing.T) {
	t.Parallel()
	b := setupUnique(t)
	ctx := b.A.Ctx
	b.define(ctx, t, codeField)
	b.must(ctx, t, "one", "x")
	f, err := b.unique(ctx, false)
	require.NoError(t, err)
	require.Equal(t, []any{false, ""}, []any{f.Unique, f.UniqueState})
	two := b.must(ctx, t, "two", "x")
	require.NoError(t, b.store.Delete(ctx, two.ID))
	f, err = b.unique(ctx, true)
	require.NoError(t, err)
	require.True(t, f.Unique)
	_, err = b.store.Restore(ctx, two.ID)
	requireTaken(t, err, "code", "x")
}

// A process that dies after it began leaves the rest to others, from whatever state.
func TestUniqueFieldsAreSettled(t *testing.T) {
	t.Parallel()
	b := setupUnique(t)
	ctx := b.A.Ctx
	b.define(ctx, t, customfields.Field{Key: "code", Type: customfields.Text})
	b.must(ctx, t, "one", "x")
	begin := func(on bool) {
		require.NoError(t, b.DB.InTx(b.A.WorkspaceCtx, func(tx *tenancy.Tx) error {
			f, err := b.fields.UpdateTx(b.A.WorkspaceCtx, tx, "code", customfields.Change{Unique: &on})
			require.NoError(t, err)
			require.NotEmpty(t, f.UniqueState)
			return nil
		}))
	}
	begin(true)
	b.must(ctx, t, "two", "y")
	_, err := b.create(ctx, "three", "y")
	requireTaken(t, err, "code", "y") // new clashes are refused from the beginning
	settled, err := b.fields.SettleUniques(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, settled)
	_, err = b.create(ctx, "three", "x")
	requireTaken(t, err, "code", "x")
	begin(false)
	b.must(ctx, t, "three", "x")
	on := true
	_, err = b.fields.Update(b.A.WorkspaceCtx, "code", customfields.Change{Unique: &on})
	require.ErrorIs(t, err, customfields.ErrUniqueBusy)
	settled, err = b.fields.SettleUniques(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, settled)
	n, _ := b.entered(t)
	require.Zero(t, n)
	settled, err = b.fields.SettleUniques(t.Context())
	require.NoError(t, err)
	require.Zero(t, settled)
}

// Of two that write the same value at once one wins, and the other learns of it.
func TestTwoWritersOfOneValue(t *testing.T) {
	t.Parallel()
	b := setupUnique(t)
	ctx := b.A.Ctx
	b.define(ctx, t, codeField)
	for round := range 10 {
		errs := make([]error, 4)
		var g errgroup.Group
		for w := range errs {
			g.Go(func() error {
				_, errs[w] = b.create(ctx, fmt.Sprintf("r%d-%d", round, w), fmt.Sprint(round))
				return nil
			})
		}
		require.NoError(t, g.Wait())
		won := 0
		for _, err := range errs {
			if err == nil {
				won++
				continue
			}
			requireTaken(t, err, "code", fmt.Sprint(round))
		}
		require.Equal(t, 1, won)
	}
	n, wrong := b.entered(t)
	require.Equal(t, []int{10, 0}, []int{n, wrong})
}

// Housekeeping may settle a field that its Update is still at: it has become unique, which is
// no error.
func TestAFieldThatOthersHaveSettled(t *testing.T) {
	t.Parallel()
	b := setupUnique(t)
	ctx := b.A.Ctx
	b.define(ctx, t, customfields.Field{Key: "code", Type: customfields.Text})
	b.must(ctx, t, "one", "x")
	updated := make(chan error, 1)
	require.NoError(t, b.DB.InTx(ctx, func(tx *tenancy.Tx) error { // whom Update waits for
		if _, err := b.store.CreateTx(ctx, tx, recipients.New{Email: "two@example.com"}); err != nil {
			return err
		}
		go func() {
			_, err := b.unique(ctx, true)
			updated <- err
		}()
		require.Eventually(t, func() bool {
			f, err := b.fields.Get(ctx, "code")
			return err == nil && f.UniqueState == customfields.Building
		}, time.Minute, 5*time.Millisecond)
		b.exec(ctx, t, `UPDATE strata.custom_fields SET unique_state = 'on' WHERE unique_state = 'building'`)
		return nil
	}))
	require.NoError(t, <-updated)
}

// What a deleted domain has left of a field is forgotten too, and its records keep no field
// from becoming unique.
func TestUniqueFieldsOfDeletedDomains(t *testing.T) {
	t.Parallel()
	b := setupUnique(t)
	ctx, second := b.A.Ctx, b.Domain(t, b.A, "second.example")
	b.define(ctx, t, codeField)
	b.must(ctx, t, "one", "x")
	b.must(second, t, "one", "x")
	in, err := tenancy.DomainFrom(second)
	require.NoError(t, err)
	require.NoError(t, b.Store.DeleteDomain(b.A.CompanyCtx, in.DomainID))
	_, err = b.unique(ctx, false)
	require.NoError(t, err)
	n, _ := b.entered(t)
	require.Zero(t, n)
	f, err := b.unique(ctx, true)
	require.NoError(t, err)
	require.True(t, f.Unique)
	n, wrong := b.entered(t)
	require.Equal(t, []int{1, 0}, []int{n, wrong})
}
