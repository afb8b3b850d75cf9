package recipients_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/billing"
	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/customfields/filter"
	"github.com/stratakit/strata/internal/dbtest"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
)

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		os.Exit(child())
	}
	dbtest.Main(m)
}

type bundle struct {
	*tenancytest.Env
	fields *customfields.Registry
	store  *recipients.Store
}

func setup(t *testing.T) *bundle {
	t.Helper()
	e := tenancytest.Open(t)
	fields, err := customfields.NewRegistry(e.DB, e.Redis, e.Limits, e.Audit, nil)
	require.NoError(t, err)
	store, err := recipients.NewStore(e.DB, fields, e.Limits, e.Audit, nil)
	require.NoError(t, err)
	b := &bundle{Env: e, fields: fields, store: store}
	for _, c := range []*tenancytest.Company{e.A, e.B} {
		b.defineFields(t, c)
	}
	return b
}

func (b *bundle) defineFields(t *testing.T, c *tenancytest.Company) {
	t.Helper()
	for _, f := range []customfields.Field{
		{Key: "tier", Type: customfields.Select, Options: []string{"gold", "silver"}, Filterable: true},
		{Key: "seats", Type: customfields.Number, Filterable: true},
	} {
		_, err := b.fields.Create(c.WorkspaceCtx, f)
		require.NoError(t, err)
	}
}

func (b *bundle) create(ctx context.Context, t *testing.T, in recipients.New) recipients.Recipient {
	t.Helper()
	r, err := b.store.Create(ctx, in)
	require.NoError(t, err)
	return r
}

func (b *bundle) used(ctx context.Context, t *testing.T) int64 {
	t.Helper()
	u, err := b.Limits.Usage(ctx)
	require.NoError(t, err)
	return u.Resource(billing.ResourceRecipients).Used
}

func emails(p tenancy.Page[recipients.Recipient]) []string {
	out := []string{}
	for _, r := range p.Items {
		out = append(out, r.Email)
	}
	return out
}

func ptr[T any](v T) *T { return &v }

func TestLifeOfARecipient(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := b.A.Ctx
	r := b.create(ctx, t, recipients.New{Email: " Ada@Example.com ", Name: " Ada ", CustomFields: map[string]any{"tier": "gold", "seats": 3}})
	require.Equal(t, "Ada@Example.com", r.Email)
	require.Equal(t, "Ada", r.Name)
	require.Equal(t, recipients.Active, r.Status)
	require.EqualValues(t, 1, r.Version)
	got, err := b.store.Get(ctx, r.ID)
	require.NoError(t, err)
	require.Equal(t, r, got)
	require.Equal(t, map[string]any{"tier": "gold", "seats": 3.0}, got.CustomFields)

	_, err = b.store.Create(ctx, recipients.New{Email: "ADA@example.COM"})
	require.ErrorIs(t, err, recipients.ErrEmailTaken)

	got, err = b.store.Update(ctx, r.ID, recipients.Change{Name: ptr("Ada L"), Status: ptr(recipients.Bounced), CustomFields: map[string]any{"tier": nil, "seats": 4}, Version: 1})
	require.NoError(t, err)
	require.EqualValues(t, 2, got.Version)
	require.Equal(t, map[string]any{"seats": 4.0}, got.CustomFields)
	_, err = b.store.Update(ctx, r.ID, recipients.Change{Name: ptr("late"), Version: 1})
	require.ErrorIs(t, err, recipients.ErrVersion)

	up, created, err := b.store.Upsert(ctx, recipients.New{Email: "ada@example.com", CustomFields: map[string]any{"tier": "silver"}})
	require.NoError(t, err)
	require.False(t, created)
	require.Equal(t, "Ada L", up.Name, "an empty name leaves the name")
	require.Equal(t, recipients.Bounced, up.Status)
	require.Equal(t, map[string]any{"tier": "silver", "seats": 4.0}, up.CustomFields)
	_, created, err = b.store.Upsert(ctx, recipients.New{Email: "bo@example.com"})
	require.NoError(t, err)
	require.True(t, created)
	require.EqualValues(t, 2, b.used(ctx, t))

	require.NoError(t, b.store.Delete(ctx, r.ID))
	require.ErrorIs(t, b.store.Delete(ctx, r.ID), recipients.ErrNotFound)
	_, err = b.store.Get(ctx, r.ID)
	require.ErrorIs(t, err, recipients.ErrNotFound)
	require.EqualValues(t, 1, b.used(ctx, t))
	second := b.create(ctx, t, recipients.New{Email: "ada@example.com"}) // the address is free
	_, err = b.store.Restore(ctx, r.ID)
	require.ErrorIs(t, err, recipients.ErrEmailTaken)
	require.NoError(t, b.store.Delete(ctx, second.ID))
	back, err := b.store.Restore(ctx, r.ID)
	require.NoError(t, err)
	require.Equal(t, up.CustomFields, back.CustomFields)
	require.EqualValues(t, 2, b.used(ctx, t))
	_, err = b.store.Restore(ctx, r.ID)
	require.ErrorIs(t, err, recipients.ErrNotFound)

	trail, err := b.Audit.List(ctx, audit.Query{ResourceID: r.ID.String()})
	require.NoError(t, err)
	actions := []string{}
	for _, e := range trail.Items {
		actions = append(actions, e.Action)
		require.NotContains(t, fmt.Sprint(e.Metadata), "ada", "the trail holds no person's data")
	}
	require.Equal(t, []string{"recipient.restored", "recipient.deleted", "recipient.updated", "recipient.updated", "recipient.created"}, actions)
}

func TestEveryErrorAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, err := b.store.Create(b.A.Ctx, recipients.New{Email: "ada@example,com", Name: "x\x00", Status: "actve", CustomFields: map[string]any{"tier": "glod", "nope": 1}})
	var v *tenancy.ValidationError
	require.ErrorAs(t, err, &v)
	got := map[string]string{}
	for _, f := range v.Fields {
		got[f.Field] = f.Suggestion
	}
	require.Equal(t, map[string]string{
		"email": "ada@example.com", "name": "", "status": "active", "customFields.tier": "gold", "customFields.nope": "",
	}, got)
	r := b.create(b.A.Ctx, t, recipients.New{Email: "a@example.com"})
	_, err = b.store.Update(b.A.Ctx, r.ID, recipients.Change{Email: ptr("x"), CustomFields: map[string]any{"seats": "many"}})
	require.ErrorAs(t, err, &v)
	require.Len(t, v.Fields, 2)
}

func TestOneAddressManyWriters(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var won, lost atomic.Int64
	var g errgroup.Group
	for i := range 16 {
		g.Go(func() error {
			if i%2 == 0 {
				_, _, err := b.store.Upsert(b.A.Ctx, recipients.New{Email: "same@example.com", CustomFields: map[string]any{"seats": i}})
				return err
			}
			_, err := b.store.Create(b.A.Ctx, recipients.New{Email: "SAME@example.com"})
			switch {
			case err == nil:
				won.Add(1)
			case errors.Is(err, recipients.ErrEmailTaken):
				lost.Add(1)
			default:
				return err
			}
			return nil
		})
	}
	require.NoError(t, g.Wait())
	require.LessOrEqual(t, won.Load(), int64(1))
	require.EqualValues(t, 8, won.Load()+lost.Load())
	n, err := b.store.Count(b.A.Ctx, "")
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
	require.EqualValues(t, 1, b.used(b.A.Ctx, t), "the counter equals the table")
}

func TestPlanLimitLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.Company(t, "free")
	require.NoError(t, b.DB.InTx(c.Ctx, func(tx *tenancy.Tx) error {
		return errors.Join(b.Limits.Consume(c.Ctx, tx, billing.ResourceRecipients, 999), b.Audit.RecordTx(c.Ctx, tx, audit.Entry{Action: "test"}))
	}))
	b.create(c.Ctx, t, recipients.New{Email: "last@example.com"})
	_, err := b.store.Create(c.Ctx, recipients.New{Email: "over@example.com"})
	require.ErrorIs(t, err, billing.ErrLimit)
	_, err = b.store.Update(c.Ctx, tenancy.NewID[recipients.Recipient](), recipients.Change{Name: ptr("x")})
	require.ErrorIs(t, err, recipients.ErrNotFound)
	n, err := b.store.Count(c.Ctx, "")
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
}

func TestListFiltersSearchesSortsAndPages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := b.A.Ctx
	for i := range 25 {
		tier := "gold"
		if i%5 == 0 {
			tier = "silver"
		}
		b.create(ctx, t, recipients.New{
			Email: fmt.Sprintf("user%02d@example.com", (i*7)%25), Name: fmt.Sprintf("Name %c", 'A'+i%3), CustomFields: map[string]any{"tier": tier, "seats": i},
		})
	}
	deleted := b.create(ctx, t, recipients.New{Email: "gone@example.com", CustomFields: map[string]any{"tier": "gold"}})
	require.NoError(t, b.store.Delete(ctx, deleted.ID))

	page, err := b.store.List(ctx, recipients.Query{Filter: `fields.tier == "gold" && fields.seats >= 20`})
	require.NoError(t, err)
	require.EqualValues(t, 4, page.Total)
	page, err = b.store.List(ctx, recipients.Query{Filter: `fields.tier != "gold"`, Search: "USER0"})
	require.NoError(t, err)
	require.NotEmpty(t, page.Items)
	for _, r := range page.Items {
		require.True(t, strings.HasPrefix(r.Email, "user0"))
	}
	page, err = b.store.List(ctx, recipients.Query{Search: "name a"})
	require.NoError(t, err)
	require.EqualValues(t, 9, page.Total)

	for _, sort := range []string{"", "-createdAt", "email", "-email", "name", "-name", "updatedAt", "-updatedAt"} {
		all, err := b.store.List(ctx, recipients.Query{Sort: sort})
		require.NoError(t, err)
		require.Len(t, all.Items, 25)
		q := recipients.Query{Sort: sort, PageRequest: tenancy.PageRequest{PageSize: 4}}
		var byCursor, byPage []string
		for n := 1; ; n++ {
			p, err := b.store.List(ctx, q)
			require.NoError(t, err)
			byCursor = append(byCursor, emails(p)...)
			pq := recipients.Query{Sort: sort, PageRequest: tenancy.PageRequest{PageSize: 4, Page: n}}
			numbered, err := b.store.List(ctx, pq)
			require.NoError(t, err)
			require.EqualValues(t, 25, numbered.Total)
			byPage = append(byPage, emails(numbered)...)
			if !p.HasMore {
				break
			}
			q.Cursor = p.NextCursor
		}
		require.Equal(t, emails(all), byCursor, sort)
		require.Equal(t, emails(all), byPage, sort)
	}

	first, err := b.store.List(ctx, recipients.Query{PageRequest: tenancy.PageRequest{PageSize: 2}})
	require.NoError(t, err)
	for _, q := range []recipients.Query{
		{PageRequest: tenancy.PageRequest{Cursor: "garbage"}},
		{PageRequest: tenancy.PageRequest{Cursor: first.NextCursor}, Sort: "email"},
		{PageRequest: tenancy.PageRequest{Cursor: first.NextCursor}, Filter: `fields.tier == "gold"`},
	} {
		_, err := b.store.List(ctx, q)
		require.ErrorIs(t, err, tenancy.ErrInvalidCursor)
	}
	var v *tenancy.ValidationError
	_, err = b.store.List(ctx, recipients.Query{Sort: "email; DROP TABLE"})
	require.ErrorAs(t, err, &v)
	_, err = b.store.List(ctx, recipients.Query{PageRequest: tenancy.PageRequest{Page: 1_000_000}})
	require.ErrorAs(t, err, &v)
	var f *filter.Error
	_, err = b.store.List(ctx, recipients.Query{Filter: `fields.teir == "gold"`})
	require.ErrorAs(t, err, &f)
	require.Equal(t, "tier", f.Problems[0].Suggestion)
}

func TestCursorSurvivesInserts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for i := range 6 {
		b.create(b.A.Ctx, t, recipients.New{Email: fmt.Sprintf("m%d@example.com", i)})
	}
	q := recipients.Query{Sort: "email", PageRequest: tenancy.PageRequest{PageSize: 3}}
	first, err := b.store.List(b.A.Ctx, q)
	require.NoError(t, err)
	b.create(b.A.Ctx, t, recipients.New{Email: "a-before@example.com"})
	q.Cursor = first.NextCursor
	second, err := b.store.List(b.A.Ctx, q)
	require.NoError(t, err)
	require.Equal(t, []string{"m3@example.com", "m4@example.com", "m5@example.com"}, emails(second))
}

func TestRecipientsNeverCrossTenants(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := b.create(b.A.Ctx, t, recipients.New{Email: "ada@example.com", CustomFields: map[string]any{"tier": "gold"}})
	sibling := b.Domain(t, b.A, "sibling.example") // another domain of the same workspace
	for name, ctx := range map[string]context.Context{"another company": b.B.Ctx, "another domain": sibling} {
		_, err := b.store.Get(ctx, r.ID)
		require.ErrorIs(t, err, recipients.ErrNotFound, name)
		_, err = b.store.Update(ctx, r.ID, recipients.Change{Name: ptr("stolen")})
		require.ErrorIs(t, err, recipients.ErrNotFound, name)
		require.ErrorIs(t, b.store.Delete(ctx, r.ID), recipients.ErrNotFound, name)
		page, err := b.store.List(ctx, recipients.Query{Filter: `fields.tier == "gold" || true`})
		require.NoError(t, err)
		require.Empty(t, page.Items, name)
		own := b.create(ctx, t, recipients.New{Email: "ada@example.com"})
		require.NotEqual(t, r.ID, own.ID, "the same address is another recipient there")
		require.NoError(t, b.DB.InTx(ctx, func(tx *tenancy.Tx) error { // the second wall
			rows, err := tx.Query(ctx, `SELECT id FROM strata.recipients`)
			require.NoError(t, err)
			ids, err := pgx.CollectRows(rows, pgx.RowTo[recipients.ID])
			require.NoError(t, err)
			require.Equal(t, []recipients.ID{own.ID}, ids, name)
			return nil
		}))
	}
	got, err := b.store.Get(b.A.Ctx, r.ID)
	require.NoError(t, err)
	require.Equal(t, r, got)
	for _, ctx := range []context.Context{t.Context(), b.A.CompanyCtx, b.A.WorkspaceCtx} {
		_, err := b.store.Get(ctx, r.ID)
		require.ErrorIs(t, err, tenancy.ErrNoTenant)
		_, err = b.store.Create(ctx, recipients.New{Email: "x@example.com"})
		require.ErrorIs(t, err, tenancy.ErrNoTenant)
		_, err = b.store.List(ctx, recipients.Query{})
		require.ErrorIs(t, err, tenancy.ErrNoTenant)
	}
}

// fill adds recipients to the domain of A, and lets the planner know of them.
func (b *bundle) fill(t *testing.T, n int) {
	t.Helper()
	require.NoError(t, b.DB.InTx(b.A.Ctx, func(tx *tenancy.Tx) error {
		_, err := tx.Exec(b.A.Ctx, `INSERT INTO strata.recipients (domain_id, id, company_id, workspace_id, email, email_norm, custom_fields)
			SELECT $1, gen_random_uuid(), $2, $3, n || '@example.com', n || '@example.com', jsonb_build_object('seats', n, 'tier', repeat(n::text, 100)) FROM generate_series(1, $4::int) n`,
			b.A.DomainID, b.A.CompanyID, b.A.WorkspaceID, n)
		return errors.Join(err, b.Audit.RecordTx(b.A.Ctx, tx, audit.Entry{Action: "test"}))
	}))
	_, err := b.Pool.Exec(t.Context(), `ANALYZE strata.recipients`)
	require.NoError(t, err)
}

// Row-level security must not cost a filter its index.
func TestFilterUsesTheIndex(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.fill(t, 20_000)
	set, err := b.fields.Set(b.A.Ctx)
	require.NoError(t, err)
	f, err := filter.Compile(filter.Schema{Fields: set, Columns: recipients.Columns()}, `fields.seats == 4711`)
	require.NoError(t, err)
	sql, args := f.SQL(filter.Options{First: 2})
	var plan []string
	require.NoError(t, b.DB.ReadTrusted(b.A.Ctx, `EXPLAIN SELECT r.id FROM strata.recipients r WHERE r.domain_id = $1 AND r.deleted_at IS NULL AND `+sql,
		append([]any{b.A.DomainID}, args...), func(rows pgx.Rows) (err error) {
			plan, err = pgx.CollectRows(rows, pgx.RowTo[string])
			return err
		}))
	require.Contains(t, strings.Join(plan, "\n"), "recipients_custom_fields")
	n, err := b.store.Count(b.A.Ctx, `fields.seats == 4711`)
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
}

func TestEverythingWrongAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	wrong := func(err error) map[string]string {
		var v *tenancy.ValidationError
		require.ErrorAs(t, err, &v)
		codes := map[string]string{}
		for _, f := range v.Fields {
			codes[f.Field] = f.Code
		}
		return codes
	}
	_, err := b.store.Create(b.A.Ctx, recipients.New{Email: " ", Status: "actve", CustomFields: map[string]any{"tier": "glod"}})
	require.Equal(t, map[string]string{"email": "required", "status": "unknown_status", "customFields.tier": "unknown_option"}, wrong(err))
	_, err = b.store.List(b.A.Ctx, recipients.Query{PageRequest: tenancy.PageRequest{Page: -1, PageSize: 501}, Sort: "age"})
	require.Equal(t, map[string]string{"page": "out_of_range", "pageSize": "out_of_range", "sort": "unknown_sort"}, wrong(err))
}
