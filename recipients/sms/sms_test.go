package sms_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/internal/dbtest"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/recipients/phone"
	"github.com/stratakit/strata/recipients/recipientshttp"
	"github.com/stratakit/strata/recipients/sms"
	"github.com/stratakit/strata/tenancy"
	public "github.com/stratakit/strata/tenancy/tenancytest"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

type world struct {
	*tenancytest.Env
	store *recipients.Store
	sms   *sms.Enrollments
}

func open(t *testing.T) *world {
	t.Helper()
	w := &world{Env: tenancytest.Open(t)}
	r := recipients.NewRegistry()
	var err error
	w.sms, err = sms.Register(r, &sms.Config{DefaultRegion: "DE"})
	require.NoError(t, err)
	w.store = w.Extended(t, r)
	return w
}

func (w *world) create(ctx context.Context, t *testing.T, email string) recipients.ID {
	t.Helper()
	r, err := w.store.Create(ctx, recipients.New{Email: email})
	require.NoError(t, err)
	return r.ID
}

func number(typed string) *sms.SMS { return &sms.SMS{Contact: phone.Contact{Phone: typed}} }

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestLifeOfANumber(t *testing.T) {
	t.Parallel()
	w := open(t)
	ctx := w.A.Ctx
	ada, bo := w.create(ctx, t, "ada@example.com"), w.create(ctx, t, "bo@example.com")

	row := number(" 030 / 123456 ")
	require.NoError(t, w.sms.Enroll(ctx, ada, row))
	require.Equal(t, "+4930123456", row.Phone)
	require.False(t, row.OptedIn, "nobody agrees by having a number")
	require.ErrorIs(t, w.sms.Enroll(ctx, ada, number("+4930123456")), recipients.ErrEnrolled)
	require.NoError(t, w.sms.Enroll(ctx, bo, number("+49 30 123456")), "a family has one phone")

	row, err := w.sms.OptIn(ctx, ada, "form on example.com", noon)
	require.NoError(t, err)
	require.True(t, row.OptedIn)
	require.Equal(t, noon, *row.OptedInAt)
	require.Equal(t, "form on example.com", row.OptedInSource)
	got, err := w.sms.Get(ctx, ada)
	require.NoError(t, err)
	require.Equal(t, row, got)
	again, err := w.sms.OptIn(ctx, ada, "form on example.com", noon)
	require.NoError(t, err)
	require.Equal(t, row.Version, again.Version, "the same twice changes nothing")

	for expr, want := range map[string]int64{
		`sms.opted_in`:                               1,
		`!sms.opted_in`:                              1,
		`sms.phone == "+4930123456"`:                 2,
		`sms.phone.startsWith("+49")`:                2,
		`sms.opted_in_source.contains("for")`:        1,
		`sms.opted_in_at < now`:                      1,
		`sms.enrolled && email.startsWith("b")`:      1,
		`email == "ada@example.com" && sms.opted_in`: 1,
	} {
		n, err := w.store.Count(ctx, expr)
		require.NoError(t, err, expr)
		require.Equal(t, want, n, expr)
	}
	page, err := w.store.List(ctx, recipients.Query{With: []string{"sms"}, Filter: "sms.opted_in"})
	require.NoError(t, err)
	require.Len(t, page.Items, 1)
	listed, ok := w.sms.From(page.Items[0])
	require.True(t, ok)
	require.Equal(t, got, listed)

	row, err = w.sms.OptOut(ctx, ada, "STOP", time.Time{})
	require.NoError(t, err)
	require.False(t, row.OptedIn)
	require.Equal(t, "STOP", row.OptedOutSource)
	require.WithinDuration(t, row.UpdatedAt, *row.OptedOutAt, time.Minute)
	require.Equal(t, noon, *row.OptedInAt, "that they once agreed stays known")
	entries, err := w.Audit.List(ctx, audit.Query{ResourceID: ada.String()})
	require.NoError(t, err)
	require.Equal(t, "recipient.enrollment_updated", entries.Items[0].Action)
	require.Equal(t, map[string]any{"extension": "sms", "fields": []any{"optedIn", "optedOutAt", "optedOutSource"}}, entries.Items[0].Metadata)

	require.NoError(t, w.sms.Withdraw(ctx, ada))
	_, err = w.sms.OptIn(ctx, ada, "form", noon)
	require.ErrorIs(t, err, recipients.ErrNotEnrolled)
	require.NoError(t, w.store.Delete(ctx, bo))
	_, err = w.sms.OptOut(ctx, bo, "STOP", noon)
	require.ErrorIs(t, err, recipients.ErrNotFound)
}

// What was said last counts, in whichever order it arrives.
func TestLateWord(t *testing.T) {
	t.Parallel()
	w := open(t)
	ctx := w.A.Ctx
	id := w.create(ctx, t, "ada@example.com")
	require.NoError(t, w.sms.Enroll(ctx, id, number("030 123456")))
	row, err := w.sms.OptOut(ctx, id, "STOP", noon.Add(time.Hour))
	require.NoError(t, err)
	require.NotNil(t, row.OptedOutAt)
	row, err = w.sms.OptIn(ctx, id, "form", noon)
	require.NoError(t, err)
	require.False(t, row.OptedIn, "they agreed before they said no")
	row, err = w.sms.OptIn(ctx, id, "form", noon.Add(time.Hour))
	require.NoError(t, err)
	require.False(t, row.OptedIn, "both at once is a no")
	row, err = w.sms.OptIn(ctx, id, "call", noon.Add(2*time.Hour))
	require.NoError(t, err)
	require.True(t, row.OptedIn)
	row, err = w.sms.OptOut(ctx, id, "STOP", noon.Add(90*time.Minute))
	require.NoError(t, err)
	require.True(t, row.OptedIn, "they said no before they agreed again")
	require.Equal(t, "call", row.OptedInSource)

	var v *tenancy.ValidationError
	_, err = w.sms.OptIn(ctx, id, "", time.Now())
	require.ErrorAs(t, err, &v)
	require.Equal(t, "optedInSource", v.Fields[0].Field)
	_, err = w.sms.OptOut(ctx, id, "STOP", time.Now().Add(time.Hour))
	require.ErrorAs(t, err, &v)
	require.Equal(t, "in_future", v.Fields[0].Code)

	// After an error the caller's transaction goes on as before.
	require.NoError(t, w.DB.InTx(ctx, func(tx *tenancy.Tx) error {
		_, err := w.sms.OptInTx(ctx, tx, id, "", time.Now())
		require.ErrorAs(t, err, &v)
		_, err = w.sms.OptOutTx(ctx, tx, id, "STOP", time.Time{})
		return err
	}))
	row, err = w.sms.Get(ctx, id)
	require.NoError(t, err)
	require.False(t, row.OptedIn)
}

// Numbering plans change; nobody has to go on getting messages for it.
func TestOptingOutNeedsNoValidNumber(t *testing.T) {
	t.Parallel()
	w := open(t)
	ctx := w.A.Ctx
	id := w.create(ctx, t, "ada@example.com")
	require.NoError(t, w.sms.Enroll(ctx, id, number("030 123456")))
	require.NoError(t, w.DB.InTx(ctx, func(tx *tenancy.Tx) error {
		_, err := tx.Bun().ExecContext(ctx, `UPDATE strata.recipient_sms SET phone = '+49000', opted_in = true, opted_in_at = '2026-01-01', opted_in_source = 'form'`)
		return err
	}))
	var v *tenancy.ValidationError
	_, err := w.sms.Update(ctx, id, 0, func(s *sms.SMS) error { s.OptedInSource = "call"; return nil })
	require.ErrorAs(t, err, &v)
	row, err := w.sms.OptOut(ctx, id, "STOP", time.Time{})
	require.NoError(t, err)
	require.False(t, row.OptedIn)
	require.Equal(t, "+49000", row.Phone)
}

func TestWhatIsWrongIsSaid(t *testing.T) {
	t.Parallel()
	w := open(t)
	ctx := w.A.Ctx
	ada, bo := w.create(ctx, t, "ada@example.com"), w.create(ctx, t, "bo@example.com")
	of := func(id recipients.ID, s *sms.SMS) *sms.SMS { s.RecipientID = id; return s }
	agreed := number("110")
	agreed.OptedIn = true
	err := w.sms.EnrollMany(ctx, []*sms.SMS{of(ada, number("030 123456 ext. 7")), of(bo, agreed)})
	var v *tenancy.ValidationError
	require.ErrorAs(t, err, &v)
	require.Len(t, v.Fields, 4)
	require.Equal(t, tenancy.FieldError{
		Field: "[0].phone", Value: "030 123456 ext. 7", Code: "phone_extension",
		Message: "has the extension 7, which no message reaches: leave it out", Suggestion: "+4930123456",
	}, v.Fields[0])
	require.Equal(t, "phone_short_code", v.Fields[1].Code)
	require.Equal(t, "[1].optedInAt", v.Fields[2].Field)
	require.Equal(t, "[1].optedInSource", v.Fields[3].Field)
	_, err = w.sms.Get(ctx, ada)
	require.ErrorIs(t, err, recipients.ErrNotEnrolled)
}

func TestNothingOfAnotherTenant(t *testing.T) {
	t.Parallel()
	w := open(t)
	ada := w.create(w.A.Ctx, t, "ada@example.com")
	require.NoError(t, w.sms.Enroll(w.A.Ctx, ada, number("030 123456")))
	ws, err := w.Store.CreateWorkspace(w.A.CompanyCtx, tenancy.NewWorkspace{Name: "Other"})
	require.NoError(t, err)
	tenant, err := tenancy.TenantFrom(w.A.Ctx)
	require.NoError(t, err)
	other := *w.A
	tenant.WorkspaceID, tenant.DomainID = ws.ID, tenancy.DomainID{}
	other.WorkspaceID, other.WorkspaceCtx, other.Ctx = ws.ID, tenancy.WithTenant(w.A.Ctx, tenant), tenancy.WithTenant(w.A.Ctx, tenant)
	for name, ctx := range map[string]context.Context{
		"company": w.B.Ctx, "domain": w.Domain(t, w.A, "second.example"), "workspace": w.Domain(t, &other, "third.example"),
	} {
		_, err := w.sms.Get(ctx, ada)
		require.ErrorIs(t, err, recipients.ErrNotFound, name)
		_, err = w.sms.OptIn(ctx, ada, "form", noon)
		require.ErrorIs(t, err, recipients.ErrNotFound, name)
		_, err = w.sms.OptOut(ctx, ada, "form", noon)
		require.ErrorIs(t, err, recipients.ErrNotFound, name)
		n, err := w.sms.UpdateMany(ctx, []recipients.ID{ada}, func(*sms.SMS) error { return fmt.Errorf("seen") })
		require.NoError(t, err, name)
		require.Zero(t, n, name)
		n64, err := w.store.Count(ctx, `sms.phone == "+4930123456"`)
		require.NoError(t, err)
		require.Zero(t, n64, name)
	}
	row, err := w.sms.Get(w.A.Ctx, ada)
	require.NoError(t, err)
	require.EqualValues(t, 1, row.Version)
	public.Prove(t, w.Pool, &public.Config{Schemas: []string{"strata"}})
	require.NoError(t, w.DB.Check(t.Context()))
}

// However they come, the latest word is what is stored.
func TestOptingInAndOutAtOnce(t *testing.T) {
	t.Parallel()
	w := open(t)
	ctx := w.A.Ctx
	id := w.create(ctx, t, "ada@example.com")
	require.NoError(t, w.sms.Enroll(ctx, id, number("030 123456")))
	var g errgroup.Group
	for i := range 12 {
		g.Go(func() error {
			do := w.sms.OptIn
			if i%2 == 0 {
				do = w.sms.OptOut
			}
			_, err := do(ctx, id, fmt.Sprint(i), noon.Add(time.Duration(i)*time.Minute))
			return err
		})
	}
	require.NoError(t, g.Wait())
	row, err := w.sms.Get(ctx, id)
	require.NoError(t, err)
	require.True(t, row.OptedIn)
	require.Equal(t, "11", row.OptedInSource)
	require.Equal(t, "10", row.OptedOutSource)
}

func TestOverHTTP(t *testing.T) {
	t.Parallel()
	w := open(t)
	h := w.Serve(t, nil, recipientshttp.New(w.store))
	id := w.create(w.A.Ctx, t, "ada@example.com")
	path := "/domains/" + w.A.DomainID.String() + "/recipients/" + id.String() + "/enrollments/sms"
	tenancytest.RequireError(t, h.Do(t, "b", "POST", path, `{"phone":"030 123456"}`), 404, "not_found")
	wrong := h.Do(t, "a", "POST", path, `{"phone":"0049 30 12345 x9"}`)
	tenancytest.RequireError(t, wrong, 422, "validation_failed")
	require.Contains(t, wrong.Body.String(), `"code":"phone_extension"`)
	row := tenancytest.RequireData[map[string]any](t, h.Do(t, "a", "POST", path, `{"phone":"030 123456","optedIn":true,"optedInAt":"2026-03-01T12:00:00Z","optedInSource":"form"}`), 201)
	require.Equal(t, "+4930123456", row["phone"])
	require.Equal(t, true, row["optedIn"])

	row = tenancytest.RequireData[map[string]any](t, h.Do(t, "a", "PATCH", path, `{"optedIn":false}`), 200)
	require.NotNil(t, row["optedOutAt"])
	wrong = h.Do(t, "a", "PATCH", path, `{"optedIn":true}`)
	tenancytest.RequireError(t, wrong, 422, "validation_failed")
	require.Contains(t, wrong.Body.String(), `say when and how they agreed again`)
	require.Equal(t, 204, h.Do(t, "a", "DELETE", path).Code)
}
