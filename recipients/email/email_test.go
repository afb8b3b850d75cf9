package email_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/internal/dbtest"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/recipients/email"
	"github.com/stratakit/strata/recipients/recipientshttp"
	"github.com/stratakit/strata/tenancy"
	public "github.com/stratakit/strata/tenancy/tenancytest"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

type world struct {
	*tenancytest.Env
	store *recipients.Store
	mail  *email.Enrollments
}

func open(t *testing.T) *world {
	t.Helper()
	w := &world{Env: tenancytest.Open(t)}
	r := recipients.NewRegistry()
	var err error
	w.mail, err = email.Register(r, nil)
	require.NoError(t, err)
	require.ErrorContains(t, r.Verify(t.Context(), w.DB), "run strata.Migrate")
	w.store = w.Extended(t, r)
	return w
}

// enrolled adds a recipient who is enrolled.
func (w *world) enrolled(ctx context.Context, t *testing.T, address string, status email.Status) recipients.ID {
	t.Helper()
	r, err := w.store.Create(ctx, recipients.New{Email: address})
	require.NoError(t, err)
	require.NoError(t, w.mail.Enroll(ctx, r.ID, &email.Email{SubscriptionStatus: status, SubscriptionChangedAt: noon}))
	return r.ID
}

func (w *world) get(ctx context.Context, t *testing.T, id recipients.ID) *email.Email {
	t.Helper()
	row, err := w.mail.Get(ctx, id)
	require.NoError(t, err)
	return row
}

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestLifeOfASubscription(t *testing.T) {
	t.Parallel()
	w := open(t)
	ctx := w.A.Ctx
	ada, err := w.store.Create(ctx, recipients.New{Email: "ada@example.com"})
	require.NoError(t, err)
	row := &email.Email{}
	require.NoError(t, w.mail.Enroll(ctx, ada.ID, row))
	require.Equal(t, email.Pending, row.SubscriptionStatus, "nobody agrees by being there")
	require.WithinDuration(t, row.CreatedAt, row.SubscriptionChangedAt, time.Minute)
	require.Equal(t, row, w.get(ctx, t, ada.ID))

	one := []recipients.ID{ada.ID}
	say := func(call func(context.Context, []recipients.ID, time.Time) (int, error), at time.Time, changed int, want email.Status) {
		t.Helper()
		n, err := call(ctx, one, at)
		require.NoError(t, err)
		require.Equal(t, changed, n)
		require.Equal(t, want, w.get(ctx, t, ada.ID).SubscriptionStatus)
	}
	say(w.mail.Subscribe, noon, 1, email.Subscribed)
	require.Equal(t, noon, w.get(ctx, t, ada.ID).SubscriptionChangedAt)
	say(w.mail.Subscribe, noon, 0, email.Subscribed)
	say(w.mail.Unsubscribe, noon.Add(-time.Hour), 0, email.Subscribed)
	say(w.mail.Unsubscribe, noon, 1, email.Unsubscribed)
	say(w.mail.Unsubscribe, noon, 0, email.Unsubscribed)
	say(w.mail.Subscribe, noon, 0, email.Unsubscribed)
	say(w.mail.Subscribe, noon.Add(time.Hour), 1, email.Subscribed)
	say(w.mail.Unsubscribe, noon.Add(30*time.Minute), 0, email.Subscribed)

	row, err = w.mail.Update(ctx, ada.ID, 0, func(row *email.Email) error { row.SubscriptionStatus = email.Unsubscribed; return nil })
	require.NoError(t, err)
	require.WithinDuration(t, row.UpdatedAt, row.SubscriptionChangedAt, time.Minute, "whoever does not say when means now")
	say(w.mail.Subscribe, noon.Add(2*time.Hour), 0, email.Unsubscribed)

	r, err := w.store.Get(ctx, ada.ID)
	require.NoError(t, err)
	require.Equal(t, recipients.Active, r.Status, "of what all products go by nothing was said")
	require.EqualValues(t, 1, r.Version)

	entries, err := w.Audit.List(ctx, audit.Query{ResourceID: ada.ID.String()})
	require.NoError(t, err)
	require.Equal(t, "recipient.enrollment_updated", entries.Items[0].Action)

	require.NoError(t, w.mail.Withdraw(ctx, ada.ID))
	n, err := w.mail.Subscribe(ctx, one, time.Time{})
	require.NoError(t, err)
	require.Zero(t, n)
}

// Values for many, as those of an old file, subscribe nobody who has unsubscribed since.
func TestNoFileTakesBackAnUnsubscription(t *testing.T) {
	t.Parallel()
	w := open(t)
	ctx := w.A.Ctx
	x, err := w.store.Extension(ctx, email.Name)
	require.NoError(t, err)
	gone, pending, there := w.enrolled(ctx, t, "gone@example.com", email.Unsubscribed), w.enrolled(ctx, t, "pending@example.com", email.Pending), w.enrolled(ctx, t, "there@example.com", email.Subscribed)
	for _, c := range []struct {
		values  string
		refused bool // of who has unsubscribed
	}{{`{"subscriptionStatus": "subscribed"}`, true}, {`{"subscriptionStatus": "pending"}`, true}, {`{}`, false}, {`{"subscriptionStatus": "unsubscribed"}`, false}} {
		var values map[string]json.RawMessage
		require.NoError(t, json.Unmarshal([]byte(c.values), &values))
		puts := []recipients.Put{{ID: gone, Values: values}, {ID: pending, Values: values}, {ID: there, Values: values}}
		require.NoError(t, w.DB.InTx(ctx, func(tx *tenancy.Tx) error {
			for _, do := range []func(context.Context, *tenancy.Tx, []recipients.Put, bool) (recipients.PutResult, error){x.LookEachTx, x.PutEachTx} {
				result, err := do(ctx, tx, puts, false)
				require.NoError(t, err)
				if c.refused {
					require.Len(t, result.Failed, 1, c.values)
					require.Equal(t, gone, result.Failed[0].ID)
					require.ErrorContains(t, result.Failed[0].Err, "they unsubscribed at 2026-03-01T12:00:00Z")
				} else {
					require.Empty(t, result.Failed, c.values)
				}
			}
			return nil
		}))
		require.Equal(t, email.Unsubscribed, w.get(ctx, t, gone).SubscriptionStatus, c.values)
	}
	n, err := w.mail.Subscribe(ctx, []recipients.ID{gone}, noon.Add(time.Hour))
	require.NoError(t, err)
	require.Equal(t, 1, n)
}

func TestWhatIsRecorded(t *testing.T) {
	t.Parallel()
	w := open(t)
	ctx := w.A.Ctx
	ada, bo := w.enrolled(ctx, t, "ada@example.com", email.Subscribed), w.enrolled(ctx, t, "bo@example.com", email.Pending)
	other, err := w.store.Create(ctx, recipients.New{Email: "cy@example.com"})
	require.NoError(t, err)
	ids := []recipients.ID{bo, other.ID, ada, tenancy.NewID[recipients.Recipient]()}
	must := func(n int, err error) int {
		t.Helper()
		require.NoError(t, err)
		return n
	}
	require.Equal(t, 2, must(w.mail.RecordSent(ctx, ids, noon)), "who is not enrolled is passed over")
	require.Equal(t, 0, must(w.mail.RecordSent(ctx, ids, noon.Add(-time.Hour))), "word of what was before comes late")
	require.Equal(t, 1, must(w.mail.RecordOpened(ctx, []recipients.ID{ada}, noon.Add(time.Minute))))
	require.Equal(t, 1, must(w.mail.RecordClicked(ctx, []recipients.ID{bo}, noon.Add(2*time.Minute))))
	row := w.get(ctx, t, ada)
	require.Equal(t, noon, *row.LastSentAt)
	require.Equal(t, noon.Add(time.Minute), *row.LastOpenedAt)
	require.Nil(t, row.LastClickedAt)
	row = w.get(ctx, t, bo)
	require.Equal(t, noon.Add(2*time.Minute), *row.LastClickedAt)
	require.Equal(t, row.LastClickedAt, row.LastOpenedAt, "who clicks has opened")

	one := []recipients.ID{ada}
	require.Equal(t, 1, must(w.mail.RecordBounced(ctx, one, email.Soft, noon)))
	require.Equal(t, 0, must(w.mail.RecordBounced(ctx, one, email.Soft, noon)), "told again")
	require.Equal(t, 1, must(w.mail.RecordBounced(ctx, one, email.Hard, noon.Add(time.Hour))))
	require.Equal(t, 1, must(w.mail.RecordBounced(ctx, one, email.Soft, noon.Add(time.Minute))))
	row = w.get(ctx, t, ada)
	require.EqualValues(t, 1, row.HardBounces)
	require.EqualValues(t, 2, row.SoftBounces)
	require.Equal(t, noon.Add(time.Hour), *row.LastBouncedAt)
	require.Equal(t, email.Hard, row.LastBounceKind)
	r, err := w.store.Get(ctx, ada)
	require.NoError(t, err)
	require.Equal(t, recipients.Active, r.Status)

	var v *tenancy.ValidationError
	_, err = w.mail.RecordBounced(ctx, one, "sofd", noon)
	require.ErrorAs(t, err, &v)
	_, err = w.mail.RecordSent(ctx, one, time.Now().Add(time.Hour))
	require.ErrorAs(t, err, &v)
	require.Equal(t, "in_future", v.Fields[0].Code)
	_, err = w.mail.RecordSent(ctx, make([]recipients.ID, recipients.MaxEnrollMany+1), noon)
	require.ErrorAs(t, err, &v)
	_, err = w.mail.RecordOpened(ctx, []recipients.ID{ada, ada}, noon)
	require.ErrorAs(t, err, &v)
	require.ErrorAs(t, w.mail.Enroll(ctx, other.ID, &email.Email{SubscriptionStatus: "subscribd"}), &v)
	require.Equal(t, "subscribed", v.Fields[0].Suggestion)
	require.ErrorAs(t, w.mail.Enroll(ctx, other.ID, &email.Email{HardBounces: -1}), &v)

	// After an error the caller's transaction goes on; what it undoes has not happened.
	require.ErrorIs(t, w.DB.InTx(ctx, func(tx *tenancy.Tx) error {
		_, err := w.mail.RecordBouncedTx(ctx, tx, one, "no", noon)
		require.ErrorAs(t, err, &v)
		for _, call := range []func(context.Context, *tenancy.Tx, []recipients.ID, time.Time) (int, error){
			w.mail.RecordSentTx, w.mail.RecordOpenedTx, w.mail.RecordClickedTx, w.mail.UnsubscribeTx,
		} {
			require.Equal(t, 1, must(call(ctx, tx, one, time.Time{})))
		}
		require.Equal(t, 1, must(w.mail.SubscribeTx(ctx, tx, []recipients.ID{bo}, time.Time{})))
		return context.Canceled
	}), context.Canceled)
	require.Equal(t, row, w.get(ctx, t, ada))
}

// Of bounces that are counted at once none is lost, in whichever order the recipients are named.
func TestBouncesAtOnce(t *testing.T) {
	t.Parallel()
	w := open(t)
	ctx := w.A.Ctx
	ada, bo := w.enrolled(ctx, t, "ada@example.com", ""), w.enrolled(ctx, t, "bo@example.com", "")
	var g errgroup.Group
	for i := range 16 {
		ids := []recipients.ID{ada, bo}
		if i%2 == 1 {
			ids = []recipients.ID{bo, ada}
		}
		g.Go(func() error {
			_, err := w.mail.RecordBounced(ctx, ids, email.Soft, noon.Add(time.Duration(i)*time.Minute))
			return err
		})
	}
	require.NoError(t, g.Wait())
	for _, id := range []recipients.ID{ada, bo} {
		row := w.get(ctx, t, id)
		require.EqualValues(t, 16, row.SoftBounces)
		require.Equal(t, noon.Add(15*time.Minute), *row.LastBouncedAt)
	}
}

// A thousand at once change nobody else.
func TestAThousandAtOnce(t *testing.T) {
	t.Parallel()
	w := open(t)
	ctx := w.A.Ctx
	w.enrolled(ctx, t, "ada@example.com", "")
	in := make([]recipients.New, 1000)
	for i := range in {
		in[i].Email = fmt.Sprintf("r%d@example.com", i)
	}
	added, err := w.store.CreateMany(ctx, in)
	require.NoError(t, err)
	var ids []recipients.ID
	for _, r := range added {
		ids = append(ids, r.ID)
	}
	rows := make([]*email.Email, len(ids))
	for i, id := range ids {
		rows[i] = &email.Email{Enrollment: recipients.Enrollment{RecipientID: id}}
	}
	require.NoError(t, w.mail.EnrollMany(ctx, rows))
	n, err := w.mail.RecordSent(ctx, ids, noon)
	require.NoError(t, err)
	require.Equal(t, 1000, n)
	count, err := w.store.Count(ctx, `!has(email.last_sent_at) && email.enrolled`)
	require.NoError(t, err)
	require.EqualValues(t, 1, count)
}

// The extension has the name of a core column, and both can be filtered.
func TestFiltersBesideTheAddress(t *testing.T) {
	t.Parallel()
	w := open(t)
	ctx := w.A.Ctx
	ada, bo := w.enrolled(ctx, t, "ada@example.com", email.Subscribed), w.enrolled(ctx, t, "bo@example.org", email.Unsubscribed)
	_, err := w.store.Create(ctx, recipients.New{Email: "cy@example.com"})
	require.NoError(t, err)
	_, err = w.mail.RecordBounced(ctx, []recipients.ID{ada, bo}, email.Hard, noon)
	require.NoError(t, err)
	for expr, want := range map[string]int64{
		`email.subscription_status == "subscribed"`:                                   1,
		`email.subscription_status in ["subscribed", "unsubscribed"]`:                 2,
		`email == "ada@example.com" && email.subscription_status == "subscribed"`:     1,
		`email.endsWith(".org") && email.subscription_status == "subscribed"`:         0,
		`email.endsWith(".com") && !email.enrolled`:                                   1,
		`email.hard_bounces > 0 && email.last_bounce_kind == "hard"`:                  2,
		`email.last_bounced_at < now && !has(email.last_opened_at)`:                   2,
		`email.soft_bounces == 0 && email.subscription_changed_at < email.created_at`: 2,
	} {
		n, err := w.store.Count(ctx, expr)
		require.NoError(t, err, expr)
		require.Equal(t, want, n, expr)
	}
	_, err = w.store.Count(ctx, `email.subscription_status == "subscribd"`)
	require.ErrorContains(t, err, "subscribed")
	page, err := w.store.List(ctx, recipients.Query{With: []string{"email"}, Sort: "email"})
	require.NoError(t, err)
	row, ok := w.mail.From(page.Items[0])
	require.True(t, ok)
	require.Equal(t, w.get(ctx, t, ada), row)
	_, ok = w.mail.From(page.Items[2])
	require.False(t, ok)
}

func TestOverHTTP(t *testing.T) {
	t.Parallel()
	w := open(t)
	r, err := w.store.Create(w.A.Ctx, recipients.New{Email: "ada@example.com"})
	require.NoError(t, err)
	h := w.Serve(t, nil, recipientshttp.New(w.store))
	base := "/domains/" + w.A.DomainID.String() + "/recipients"
	path := base + "/" + r.ID.String() + "/enrollments/email"
	wrong := h.Do(t, "a", "POST", path, `{"subscriptionStatus":"no","hardBounces":0}`)
	tenancytest.RequireError(t, wrong, 422, "validation_failed")
	require.Contains(t, wrong.Body.String(), `"read_only"`)
	row := tenancytest.RequireData[map[string]any](t, h.Do(t, "a", "POST", path, `{"subscriptionStatus":"subscribed"}`), 201)
	require.Equal(t, "subscribed", row["subscriptionStatus"])
	require.Nil(t, row["lastBounceKind"])
	_, err = w.mail.RecordBounced(w.A.Ctx, []recipients.ID{r.ID}, email.Hard, noon)
	require.NoError(t, err)
	row = tenancytest.RequireData[map[string]any](t, h.Do(t, "a", "PATCH", path, `{"subscriptionStatus":"unsubscribed"}`), 200)
	require.Equal(t, "hard", row["lastBounceKind"])
	require.Equal(t, 1.0, row["hardBounces"])
	var answer struct{ Data json.RawMessage }
	require.NoError(t, json.Unmarshal(h.Do(t, "a", "GET", base+"?with=email").Body.Bytes(), &answer))
	require.Contains(t, string(answer.Data), `"subscriptionStatus":"unsubscribed"`)
	tenancytest.RequireError(t, h.Do(t, "b", "GET", path), 404, "not_found")
	theirs := "/domains/" + w.B.DomainID.String() + "/recipients/" + r.ID.String() + "/enrollments/email"
	for _, method := range []string{"GET", "DELETE"} {
		tenancytest.RequireError(t, h.Do(t, "b", method, theirs), 404, "recipient_not_found")
	}
	require.Equal(t, 204, h.Do(t, "a", "DELETE", path).Code)
}

// To another company, domain or workspace a row is not there, and nothing can be recorded in it.
func TestRowsAreOfOneDomain(t *testing.T) {
	t.Parallel()
	w := open(t)
	ada := w.enrolled(w.A.Ctx, t, "ada@example.com", email.Subscribed)
	ws, err := w.Store.CreateWorkspace(w.A.CompanyCtx, tenancy.NewWorkspace{Name: "Other"})
	require.NoError(t, err)
	tenant, err := tenancy.TenantFrom(w.A.Ctx)
	require.NoError(t, err)
	other := *w.A
	tenant.WorkspaceID, tenant.DomainID = ws.ID, tenancy.DomainID{}
	other.WorkspaceID, other.WorkspaceCtx, other.Ctx = ws.ID, tenancy.WithTenant(w.A.Ctx, tenant), tenancy.WithTenant(w.A.Ctx, tenant)
	ids := []recipients.ID{ada}
	before := w.get(w.A.Ctx, t, ada)
	for name, ctx := range map[string]context.Context{
		"company": w.B.Ctx, "domain": w.Domain(t, w.A, "second.example"), "workspace": w.Domain(t, &other, "third.example"),
	} {
		_, err := w.mail.Get(ctx, ada)
		require.ErrorIs(t, err, recipients.ErrNotFound, name)
		for _, call := range []func(context.Context, []recipients.ID, time.Time) (int, error){
			w.mail.RecordSent, w.mail.RecordOpened, w.mail.RecordClicked, w.mail.Subscribe, w.mail.Unsubscribe,
		} {
			n, err := call(ctx, ids, time.Time{})
			require.NoError(t, err, name)
			require.Zero(t, n, name)
		}
		n, err := w.mail.RecordBounced(ctx, ids, email.Hard, time.Time{})
		require.NoError(t, err, name)
		require.Zero(t, n, name)
		count, err := w.store.Count(ctx, `email.enrolled`)
		require.NoError(t, err, name)
		require.Zero(t, count, name)
	}
	require.Equal(t, before, w.get(w.A.Ctx, t, ada))
	_, err = w.mail.RecordSent(w.A.WorkspaceCtx, ids, noon)
	require.ErrorIs(t, err, tenancy.ErrNoTenant)
}

func TestTheTableKeepsTenantsApart(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.enrolled(w.A.Ctx, t, "ada@example.com", email.Subscribed)
	public.Prove(t, w.Pool, &public.Config{Schemas: []string{"strata"}})
	require.NoError(t, w.DB.Check(t.Context()))
}
