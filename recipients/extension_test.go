package recipients_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
)

// Mail is an extension whose table is generated; it has the name of a column of recipients.
type Mail struct {
	bun.BaseModel `bun:"table:mailer.mail"`
	recipients.Enrollment

	Subscription string            `bun:"subscription_status,nullzero,default:'subscribed'" strata:"filterable,options:subscribed|unsubscribed"`
	Bounces      int               `bun:"bounces"                                           strata:"filterable"`
	LastSent     *time.Time        `bun:"last_sent_at"                                      strata:"filterable"`
	Topics       []string          `bun:"topics,array"`
	Extra        map[string]string `bun:"extra"`
	Secret       string            `bun:"secret"                                            json:"-"`
}

// Course is an extension whose table the product makes.
type Course struct {
	bun.BaseModel `bun:"table:academy.courses"`
	recipients.Enrollment

	Level  string  `bun:"level"  strata:"filterable"`
	Passed bool    `bun:"passed" strata:"filterable"`
	Score  float64 `bun:"score"  strata:"filterable"`
}

const academySQL = `
	CREATE SCHEMA academy;
	GRANT USAGE ON SCHEMA academy TO strata_app, strata_query;
	CREATE TABLE academy.courses (
		domain_id uuid NOT NULL, recipient_id uuid NOT NULL, company_id uuid NOT NULL, workspace_id uuid NOT NULL,
		level varchar(20) NOT NULL DEFAULT 'one', passed boolean NOT NULL DEFAULT false, score float8 NOT NULL DEFAULT 0,
		version bigint NOT NULL DEFAULT 1, created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now(),
		PRIMARY KEY (domain_id, recipient_id),
		FOREIGN KEY (domain_id, recipient_id) REFERENCES strata.recipients (domain_id, id) ON DELETE CASCADE
	);
	ALTER TABLE academy.courses ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
	CREATE POLICY mine ON academy.courses TO strata_app
		USING (domain_id = (SELECT nullif(current_setting('strata.domain_id', true), '')::uuid))
		WITH CHECK (domain_id = (SELECT nullif(current_setting('strata.domain_id', true), '')::uuid));
	CREATE POLICY lists ON academy.courses FOR SELECT TO strata_query USING (true);
	GRANT SELECT, INSERT, UPDATE, DELETE ON academy.courses TO strata_app;
	GRANT SELECT ON academy.courses TO strata_query;
	CREATE TRIGGER count_inserted AFTER INSERT ON academy.courses
		REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION strata.count_enrollments('course');
	CREATE TRIGGER count_deleted AFTER DELETE ON academy.courses
		REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION strata.count_enrollments('course')`

type extended struct {
	*bundle
	registry *recipients.Registry
	mail     *recipients.Enrollments[Mail]
	courses  *recipients.Enrollments[Course]
}

func register[T any](t *testing.T, r *recipients.Registry, e recipients.Extension[T]) *recipients.Enrollments[T] {
	t.Helper()
	out, err := recipients.Register(r, e)
	require.NoError(t, err)
	return out
}

func (b *bundle) storeWith(t *testing.T, r *recipients.Registry) *recipients.Store {
	t.Helper()
	fields, err := customfields.NewRegistry(b.DB, b.Redis, b.Limits, b.Audit, nil)
	require.NoError(t, err)
	s, err := recipients.NewStore(b.DB, fields, b.Limits, b.Audit, &recipients.Config{Extensions: r})
	require.NoError(t, err)
	return s
}

// extend gives a world two extensions, of one generated table and of one that is not.
func extend(t *testing.T) *extended {
	t.Helper()
	return setup(t).extend(t)
}

func (b *bundle) extend(t *testing.T) *extended {
	t.Helper()
	r := recipients.NewRegistry()
	out := &extended{bundle: b, registry: r}
	out.mail = register(t, r, recipients.Extension[Mail]{Name: "email", Product: "mailer", Check: func(_ context.Context, m *Mail) error {
		if m.Bounces < 0 {
			return &tenancy.ValidationError{Fields: []tenancy.FieldError{{Field: "bounces", Code: "negative", Message: "must not be negative"}}}
		}
		return nil
	}})
	out.courses = register(t, r, recipients.Extension[Course]{Name: "course", Product: "academy", OwnTable: true})
	_, err := out.Pool.Exec(t.Context(), academySQL)
	require.NoError(t, err)
	require.NoError(t, r.Migrate(t.Context(), out.Direct(t)))
	require.NoError(t, r.Verify(t.Context(), out.DB))
	out.store = out.storeWith(t, r)
	return out
}

func TestLifeOfAnEnrollment(t *testing.T) {
	t.Parallel()
	b := extend(t)
	ctx := b.A.Ctx
	ada := b.create(ctx, t, recipients.New{Email: "ada@example.com"})
	sent := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

	_, err := b.mail.Get(ctx, ada.ID)
	require.ErrorIs(t, err, recipients.ErrNotEnrolled)
	require.ErrorIs(t, b.mail.Withdraw(ctx, ada.ID), recipients.ErrNotEnrolled)
	_, err = b.mail.Update(ctx, ada.ID, 0, func(*Mail) error { return nil })
	require.ErrorIs(t, err, recipients.ErrNotEnrolled)

	row := &Mail{Bounces: 1, LastSent: &sent, Topics: []string{"news", `o"ne`}, Extra: map[string]string{"a": "b"}, Secret: "s"}
	row.DomainID, row.CompanyID, row.RecipientID, row.Version = b.B.DomainID, b.B.CompanyID, tenancy.NewID[recipients.Recipient](), 9
	require.NoError(t, b.mail.Enroll(ctx, ada.ID, row))
	require.Equal(t, recipients.Enrollment{
		DomainID: b.A.DomainID, CompanyID: b.A.CompanyID, WorkspaceID: b.A.WorkspaceID, RecipientID: ada.ID, Version: 1,
		CreatedAt: row.CreatedAt, UpdatedAt: row.UpdatedAt,
	}, row.Enrollment, "what a caller writes there counts for nothing")
	require.False(t, row.CreatedAt.IsZero())
	require.Equal(t, "subscribed", row.Subscription, "the default of the database")
	got, err := b.mail.Get(ctx, ada.ID)
	require.NoError(t, err)
	require.Equal(t, row, got)
	require.ErrorIs(t, b.mail.Enroll(ctx, ada.ID, &Mail{}), recipients.ErrEnrolled)

	updated, err := b.mail.Update(ctx, ada.ID, 1, func(m *Mail) error {
		m.Extra["a"], m.Bounces, m.CompanyID = "c", 2, b.B.CompanyID
		return nil
	})
	require.NoError(t, err)
	require.EqualValues(t, 2, updated.Version)
	require.Equal(t, b.A.CompanyID, updated.CompanyID)
	require.Equal(t, "s", updated.Secret)
	got, err = b.mail.Get(ctx, ada.ID)
	require.NoError(t, err)
	require.Equal(t, updated, got)
	require.Equal(t, map[string]string{"a": "c"}, got.Extra)
	_, err = b.mail.Update(ctx, ada.ID, 1, func(*Mail) error { return nil })
	require.ErrorIs(t, err, recipients.ErrVersion)
	same, err := b.mail.Update(ctx, ada.ID, 2, func(*Mail) error { return nil })
	require.NoError(t, err)
	require.EqualValues(t, 2, same.Version, "nothing has changed")

	entries, err := b.Audit.List(ctx, audit.Query{ResourceID: ada.ID.String()})
	require.NoError(t, err)
	said := map[string]any{}
	for _, e := range entries.Items {
		said[e.Action] = e.Metadata
	}
	require.Equal(t, map[string]any{"extension": "email"}, said["recipient.enrolled"])
	require.Equal(t, map[string]any{"extension": "email", "fields": []any{"bounces", "extra"}}, said["recipient.enrollment_updated"])

	require.NoError(t, b.store.Delete(ctx, ada.ID))
	for _, err := range []error{
		b.mail.Enroll(ctx, ada.ID, &Mail{}), b.mail.Withdraw(ctx, ada.ID), b.courses.Enroll(ctx, ada.ID, &Course{}),
	} {
		require.ErrorIs(t, err, recipients.ErrNotFound, "of a deleted recipient")
	}
	_, err = b.mail.Get(ctx, ada.ID)
	require.ErrorIs(t, err, recipients.ErrNotFound)
	_, err = b.store.Restore(ctx, ada.ID)
	require.NoError(t, err)
	got, err = b.mail.Get(ctx, ada.ID)
	require.NoError(t, err)
	require.Equal(t, updated, got, "it comes back with the recipient")
	require.NoError(t, b.mail.Withdraw(ctx, ada.ID))
	_, err = b.mail.Get(ctx, ada.ID)
	require.ErrorIs(t, err, recipients.ErrNotEnrolled)
}

func TestListWithExtensions(t *testing.T) {
	t.Parallel()
	b := extend(t)
	ctx := b.A.Ctx
	for i, name := range []string{"ada", "bo", "cy"} {
		r := b.create(ctx, t, recipients.New{Email: name + "@example.com"})
		if i < 2 {
			require.NoError(t, b.mail.Enroll(ctx, r.ID, &Mail{Bounces: i}))
		}
		if i > 0 {
			require.NoError(t, b.courses.Enroll(ctx, r.ID, &Course{Level: "two", Score: float64(i)}))
		}
	}
	page, err := b.store.List(ctx, recipients.Query{With: []string{"email", "course", "email"}, Sort: "email"})
	require.NoError(t, err)
	require.Equal(t, []string{"ada@example.com", "bo@example.com", "cy@example.com"}, emails(page))
	mail, ok := b.mail.From(page.Items[1])
	require.True(t, ok)
	require.Equal(t, 1, mail.Bounces)
	require.Equal(t, page.Items[1].ID, mail.RecipientID)
	course, ok := b.courses.From(page.Items[1])
	require.True(t, ok)
	require.Equal(t, "two", course.Level)
	_, ok = b.mail.From(page.Items[2])
	require.False(t, ok)
	require.Contains(t, page.Items[2].Extensions, "email", "asked, and not enrolled")

	for expr, want := range map[string][]string{
		`email.subscription_status == "subscribed"`: {"ada@example.com", "bo@example.com"},
		`email.enrolled`:  {"ada@example.com", "bo@example.com"},
		`!email.enrolled`: {"cy@example.com"},
		`email.startsWith("b") && email.bounces == 1`:                       {"bo@example.com"},
		`email.bounces >= 1 && course.level == "two" && course.score < 1.5`: {"bo@example.com"},
		`course.enrolled && !has(email.bounces)`:                            {"cy@example.com"},
		`withinLast(course.created_at, days(1))`:                            {"bo@example.com", "cy@example.com"},
		`!course.passed`:                                                    {"bo@example.com", "cy@example.com"},
	} {
		page, err := b.store.List(ctx, recipients.Query{Filter: expr, Sort: "email", With: []string{"course"}})
		require.NoError(t, err, expr)
		require.Equal(t, want, emails(page), expr)
		require.EqualValues(t, len(want), page.Total, expr)
		n, err := b.store.Count(ctx, expr)
		require.NoError(t, err)
		require.EqualValues(t, len(want), n, expr)
	}
	_, err = b.store.List(ctx, recipients.Query{With: []string{"emial"}})
	var v *tenancy.ValidationError
	require.ErrorAs(t, err, &v)
	require.Equal(t, "email", v.Fields[0].Suggestion)
	_, err = b.store.List(ctx, recipients.Query{Filter: `email.bouncs > 1`})
	require.ErrorContains(t, err, `did you mean "bounces"`)
}

func TestModelsAreCheckedAtOnce(t *testing.T) {
	t.Parallel()
	type bad struct {
		bun.BaseModel `bun:"table:bads"`
		recipients.Enrollment

		ID      int64     `bun:"id,autoincrement"`
		At      time.Time `bun:"at"`
		Status  string    `bun:"status,default:'x'"`
		Tags    []string  `bun:"tags,array"           strata:"filterable,weird"`
		Count   int       `bun:"count"                strata:"options:a|b"`
		Column  string    `bun:"version"`
		Deleted time.Time `bun:"deleted_at,soft_delete,nullzero"`
		Odd     string    `bun:"Odd-Name"`
		Random  string    `bun:"random,nullzero,default:gen_random_uuid()"`
	}
	_, err := recipients.Register(recipients.NewRegistry(), recipients.Extension[bad]{Name: "Bad Name"})
	var e *recipients.ExtensionError
	require.ErrorAs(t, err, &e)
	for _, part := range []string{
		"a name is lower-case", `names its table "bads"`, "field ID: the key", "field At: a time", "field Status: with a default", `has "weird"`,
		"cannot use a column of type text[]", "field Count: options", "column version is the library's", "soft_delete", `column "Odd-Name"`, "gen_random_uuid",
	} {
		require.ErrorContains(t, err, part)
	}
	for _, p := range e.Problems {
		require.NotEmpty(t, p.Message)
	}

	type alone struct {
		bun.BaseModel `bun:"table:a.b"`
	}
	_, err = recipients.Register(recipients.NewRegistry(), recipients.Extension[alone]{Name: "alone"})
	require.ErrorContains(t, err, "does not embed recipients.Enrollment")
	_, err = recipients.Register(recipients.NewRegistry(), recipients.Extension[int]{Name: "int"})
	require.ErrorContains(t, err, "no struct")

	r := recipients.NewRegistry()
	early := register(t, r, recipients.Extension[Mail]{Name: "email"})
	_, err = recipients.Register(r, recipients.Extension[Mail]{Name: "email"})
	require.ErrorContains(t, err, "the name is that of an extension of email")
	require.ErrorContains(t, err, `table "mailer"."mail" is that of extension "email"`)
	require.ErrorContains(t, early.Enroll(t.Context(), tenancy.NewID[recipients.Recipient](), &Mail{}), "give its registry to NewStore")
}

func TestEnrollmentsAreValidated(t *testing.T) {
	t.Parallel()
	b := extend(t)
	ctx := b.A.Ctx
	ada, bo := b.create(ctx, t, recipients.New{Email: "ada@example.com"}), b.create(ctx, t, recipients.New{Email: "bo@example.com"})
	of := func(id recipients.ID, m Mail) *Mail { m.RecipientID = id; return &m }

	err := b.mail.EnrollMany(ctx, []*Mail{of(ada.ID, Mail{Subscription: "subscribd"}), of(bo.ID, Mail{Bounces: -1, Secret: "a\x00"})})
	var v *tenancy.ValidationError
	require.ErrorAs(t, err, &v)
	require.Len(t, v.Fields, 3, "all of them at once")
	require.Equal(t, "[0].subscriptionStatus", v.Fields[0].Field)
	require.Equal(t, "subscribed", v.Fields[0].Suggestion)
	require.Equal(t, "[1].bounces", v.Fields[1].Field)
	require.Equal(t, "[1].secret", v.Fields[2].Field)

	absent := tenancy.NewID[recipients.Recipient]()
	require.ErrorIs(t, b.mail.EnrollMany(ctx, []*Mail{of(ada.ID, Mail{}), of(absent, Mail{})}), recipients.ErrNotFound)
	require.ErrorAs(t, b.mail.EnrollMany(ctx, []*Mail{of(ada.ID, Mail{}), of(ada.ID, Mail{})}), &v)
	require.ErrorAs(t, b.mail.EnrollMany(ctx, make([]*Mail, recipients.MaxEnrollMany+1)), &v)
	_, err = b.mail.Get(ctx, ada.ID)
	require.ErrorIs(t, err, recipients.ErrNotEnrolled, "all or nothing")

	require.NoError(t, b.mail.EnrollMany(ctx, []*Mail{of(bo.ID, Mail{Bounces: 2}), of(ada.ID, Mail{Bounces: 1})}))
	got, err := b.mail.Get(ctx, bo.ID)
	require.NoError(t, err)
	require.Equal(t, 2, got.Bounces, "each its own")
	err = b.mail.EnrollMany(ctx, []*Mail{of(ada.ID, Mail{})})
	require.ErrorIs(t, err, recipients.ErrEnrolled)
	require.ErrorContains(t, err, ada.ID.String())

	_, err = b.mail.Update(ctx, ada.ID, 0, func(m *Mail) error { m.Subscription = "no"; return nil })
	require.ErrorAs(t, err, &v)
	require.ErrorAs(t, b.courses.Enroll(ctx, ada.ID, &Course{Level: strings.Repeat("x", 21)}), &v, "longer than the product's column")

	// After an error the caller's transaction goes on as before.
	require.NoError(t, b.DB.InTx(ctx, func(tx *tenancy.Tx) error {
		require.ErrorIs(t, b.mail.EnrollTx(ctx, tx, ada.ID, &Mail{}), recipients.ErrEnrolled)
		require.ErrorAs(t, b.courses.EnrollTx(ctx, tx, ada.ID, &Course{Level: strings.Repeat("x", 21)}), &v)
		require.NoError(t, b.courses.EnrollTx(ctx, tx, ada.ID, &Course{Level: "two"}))
		_, err := b.courses.UpdateTx(ctx, tx, ada.ID, 7, func(*Course) error { return nil })
		require.ErrorIs(t, err, recipients.ErrVersion)
		c, err := b.courses.GetTx(ctx, tx, ada.ID)
		require.Equal(t, "two", c.Level)
		return err
	}))
	n, err := b.mail.WithdrawMany(ctx, []recipients.ID{ada.ID, bo.ID})
	require.NoError(t, err)
	require.Equal(t, 2, n)
	_, err = b.mail.WithdrawMany(ctx, []recipients.ID{ada.ID, absent})
	require.ErrorIs(t, err, recipients.ErrNotFound)
	n, err = b.mail.WithdrawMany(ctx, []recipients.ID{ada.ID})
	require.NoError(t, err)
	require.Zero(t, n)
}

// To another company, domain or workspace nothing of an enrollment is there.
func TestEnrollmentsAreOfOneDomain(t *testing.T) {
	t.Parallel()
	b := extend(t)
	ada := b.create(b.A.Ctx, t, recipients.New{Email: "ada@example.com"})
	require.NoError(t, b.mail.Enroll(b.A.Ctx, ada.ID, &Mail{Bounces: 3}))
	require.NoError(t, b.courses.Enroll(b.A.Ctx, ada.ID, &Course{}))
	ws, err := b.Store.CreateWorkspace(b.A.CompanyCtx, tenancy.NewWorkspace{Name: "Other"})
	require.NoError(t, err)
	tenant, err := tenancy.TenantFrom(b.A.Ctx)
	require.NoError(t, err)
	other := *b.A
	tenant.WorkspaceID, tenant.DomainID = ws.ID, tenancy.DomainID{}
	other.WorkspaceID, other.WorkspaceCtx, other.Ctx = ws.ID, tenancy.WithTenant(b.A.Ctx, tenant), tenancy.WithTenant(b.A.Ctx, tenant)
	for name, ctx := range map[string]context.Context{
		"company": b.B.Ctx, "domain": b.Domain(t, b.A, "second.example"), "workspace": b.Domain(t, &other, "third.example"),
	} {
		b.create(ctx, t, recipients.New{Email: "bo@example.com"})
		_, err := b.mail.Get(ctx, ada.ID)
		require.ErrorIs(t, err, recipients.ErrNotFound, name)
		require.ErrorIs(t, b.mail.Enroll(ctx, ada.ID, &Mail{}), recipients.ErrNotFound, name)
		row := &Mail{}
		row.RecipientID = ada.ID
		require.ErrorIs(t, b.mail.EnrollMany(ctx, []*Mail{row}), recipients.ErrNotFound, name)
		_, err = b.mail.Update(ctx, ada.ID, 0, func(m *Mail) error { m.Bounces = 9; return nil })
		require.ErrorIs(t, err, recipients.ErrNotFound, name)
		require.ErrorIs(t, b.mail.Withdraw(ctx, ada.ID), recipients.ErrNotFound, name)
		_, err = b.mail.WithdrawMany(ctx, []recipients.ID{ada.ID})
		require.ErrorIs(t, err, recipients.ErrNotFound, name)
		_, err = b.store.Export(ctx, ada.ID)
		require.ErrorIs(t, err, recipients.ErrNotFound, name)
		all, err := b.store.ExportPage(ctx, recipients.ID{})
		require.NoError(t, err)
		require.Len(t, all, 1, name)
		require.Empty(t, all[0].Products, name)
		page, err := b.store.List(ctx, recipients.Query{With: []string{"email", "course"}, Filter: `!email.enrolled && !course.enrolled`})
		require.NoError(t, err)
		require.Len(t, page.Items, 1, name)
		n, err := b.store.Count(ctx, `email.enrolled || course.enrolled`)
		require.NoError(t, err)
		require.Zero(t, n, name)
	}
	got, err := b.mail.Get(b.A.Ctx, ada.ID)
	require.NoError(t, err)
	require.Equal(t, 3, got.Bounces)
	_, err = b.mail.Get(b.A.WorkspaceCtx, ada.ID)
	require.ErrorIs(t, err, tenancy.ErrNoTenant, "above a domain there are no rows")
}
