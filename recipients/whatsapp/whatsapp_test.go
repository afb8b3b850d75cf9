package whatsapp_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/internal/dbtest"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/recipients/phone"
	"github.com/stratakit/strata/recipients/recipientshttp"
	"github.com/stratakit/strata/recipients/sms"
	"github.com/stratakit/strata/recipients/whatsapp"
	"github.com/stratakit/strata/tenancy"
	public "github.com/stratakit/strata/tenancy/tenancytest"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

type world struct {
	*tenancytest.Env
	store    *recipients.Store
	whatsapp *whatsapp.Enrollments
	sms      *sms.Enrollments
}

// open has both products of this process that write to phones.
func open(t *testing.T) *world {
	t.Helper()
	w := &world{Env: tenancytest.Open(t)}
	r := recipients.NewRegistry()
	var err error
	w.whatsapp, err = whatsapp.Register(r, &whatsapp.Config{DefaultRegion: "DE"})
	require.NoError(t, err)
	w.sms, err = sms.Register(r, nil)
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

// enroll creates n recipients who are enrolled.
func (w *world) enroll(ctx context.Context, t *testing.T, n int) []recipients.ID {
	t.Helper()
	in, rows, ids := make([]recipients.New, n), make([]*whatsapp.WhatsApp, n), make([]recipients.ID, n)
	for i := range in {
		in[i] = recipients.New{Email: fmt.Sprintf("r%d@example.com", i)}
	}
	created, err := w.store.CreateMany(ctx, in)
	require.NoError(t, err)
	for i, r := range created {
		ids[i], rows[i] = r.ID, number(fmt.Sprintf("030 %06d", 123456+i))
		rows[i].RecipientID = r.ID
	}
	require.NoError(t, w.whatsapp.EnrollMany(ctx, rows))
	return ids
}

func number(typed string) *whatsapp.WhatsApp {
	return &whatsapp.WhatsApp{Contact: phone.Contact{Phone: typed}}
}

func TestLifeOfANumber(t *testing.T) {
	t.Parallel()
	w := open(t)
	ctx := w.A.Ctx
	ada := w.create(ctx, t, "ada@example.com")
	row := number("030 123456")
	row.WaID = " +4930123456 "
	require.NoError(t, w.whatsapp.Enroll(ctx, ada, row))
	require.Equal(t, "+4930123456", row.Phone)
	require.Equal(t, "4930123456", row.WaID)
	require.NoError(t, w.sms.Enroll(ctx, ada, &sms.SMS{Contact: phone.Contact{Phone: "+49 30 654321"}}), "another product, another number")
	var v *tenancy.ValidationError
	_, err := w.whatsapp.Update(ctx, ada, 0, func(r *whatsapp.WhatsApp) error {
		later := time.Now().Add(time.Hour)
		r.WaID, r.Phone, r.LastInboundAt = "a b", "", &later
		return nil
	})
	require.ErrorAs(t, err, &v)
	require.Equal(t, []string{"phone", "waId", "lastInboundAt"}, []string{v.Fields[0].Field, v.Fields[1].Field, v.Fields[2].Field})

	row, err = w.whatsapp.OptIn(ctx, ada, "form", time.Time{})
	require.NoError(t, err)
	require.True(t, row.OptedIn)
	require.False(t, row.WindowOpen(time.Now()), "they have not written yet")
	at := time.Now().Add(-time.Hour)
	n, err := w.whatsapp.RecordInbound(ctx, []whatsapp.Inbound{{RecipientID: ada, At: at}})
	require.NoError(t, err)
	require.Equal(t, 1, n)
	row, err = w.whatsapp.Get(ctx, ada)
	require.NoError(t, err)
	require.True(t, row.WindowOpen(time.Now()))
	require.True(t, row.WindowOpen(row.LastInboundAt.Add(whatsapp.Window-1)))
	require.False(t, row.WindowOpen(row.LastInboundAt.Add(whatsapp.Window)))

	for expr, want := range map[string]int64{
		`whatsapp.opted_in && withinLast(whatsapp.last_inbound_at, duration("24h"))`: 1,
		`withinLast(whatsapp.last_inbound_at, duration("10m"))`:                      0,
		`whatsapp.wa_id in ["4930123456", "1"]`:                                      1,
		`whatsapp.phone == "+4930123456" && sms.phone == "+4930654321"`:              1,
		`whatsapp.opted_in && !sms.opted_in && email.endsWith(".com")`:               1,
	} {
		n, err := w.store.Count(ctx, expr)
		require.NoError(t, err, expr)
		require.Equal(t, want, n, expr)
	}
	page, err := w.store.List(ctx, recipients.Query{With: []string{"whatsapp", "sms"}})
	require.NoError(t, err)
	listed, ok := w.whatsapp.From(page.Items[0])
	require.True(t, ok)
	require.Equal(t, row, listed)
	row, err = w.whatsapp.OptOut(ctx, ada, "", time.Time{})
	require.NoError(t, err)
	require.False(t, row.OptedIn)
	require.NoError(t, w.whatsapp.Withdraw(ctx, ada))
	n, err = w.whatsapp.RecordInbound(ctx, []whatsapp.Inbound{{RecipientID: ada, At: time.Now()}})
	require.NoError(t, err)
	require.Zero(t, n, "who is gone is passed over")
	_, err = w.sms.Get(ctx, ada)
	require.NoError(t, err)
}

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestRecordInbound(t *testing.T) {
	t.Parallel()
	w := open(t)
	ctx := w.A.Ctx
	ids := w.enroll(ctx, t, whatsapp.MaxInbound)
	messages := make([]whatsapp.Inbound, len(ids))
	for i, id := range ids {
		messages[i] = whatsapp.Inbound{RecipientID: id, At: noon.Add(time.Duration(i) * time.Second)}
	}
	n, err := w.whatsapp.RecordInbound(ctx, messages)
	require.NoError(t, err)
	require.Equal(t, len(ids), n)
	row, err := w.whatsapp.Get(ctx, ids[7])
	require.NoError(t, err)
	require.Equal(t, noon.Add(7*time.Second), *row.LastInboundAt)
	require.EqualValues(t, 2, row.Version)
	require.Equal(t, "+4930123463", row.Phone)
	require.True(t, row.UpdatedAt.After(row.CreatedAt))
	entries, err := w.Audit.List(ctx, audit.Query{ResourceID: ids[7].String()})
	require.NoError(t, err)
	require.Equal(t, map[string]any{"extension": "whatsapp", "fields": []any{"lastInboundAt"}}, entries.Items[0].Metadata)
	n, err = w.whatsapp.RecordInbound(ctx, messages)
	require.NoError(t, err)
	require.Zero(t, n, "delivered twice")
	stats, err := w.store.Count(ctx, "whatsapp.enrolled")
	require.NoError(t, err)
	require.EqualValues(t, len(ids), stats)

	// Of several of one recipient the latest counts, and an earlier one never.
	n, err = w.whatsapp.RecordInbound(ctx, []whatsapp.Inbound{
		{ids[0], noon.Add(time.Hour)},
		{ids[0], noon.Add(2 * time.Hour)},
		{ids[0], noon.Add(time.Minute)},
		{ids[1], noon.Add(-time.Hour)},
		{tenancy.NewID[recipients.Recipient](), noon},
	})
	require.NoError(t, err)
	require.Equal(t, 1, n)
	row, err = w.whatsapp.Get(ctx, ids[0])
	require.NoError(t, err)
	require.Equal(t, noon.Add(2*time.Hour), *row.LastInboundAt)

	var v *tenancy.ValidationError
	_, err = w.whatsapp.RecordInbound(ctx, []whatsapp.Inbound{{ids[2], noon.Add(time.Hour)}, {RecipientID: ids[3]}, {ids[4], time.Now().Add(time.Hour)}})
	require.ErrorAs(t, err, &v)
	require.Equal(t, "[1].at", v.Fields[0].Field)
	require.Equal(t, "[2].at", v.Fields[1].Field)
	row, err = w.whatsapp.Get(ctx, ids[2])
	require.NoError(t, err)
	require.Equal(t, noon.Add(2*time.Second), *row.LastInboundAt, "nothing was written")
	_, err = w.whatsapp.RecordInbound(ctx, make([]whatsapp.Inbound, whatsapp.MaxInbound+1))
	require.ErrorAs(t, err, &v)
	require.Equal(t, "too_many", v.Fields[0].Code)
	n, err = w.whatsapp.RecordInbound(ctx, nil)
	require.NoError(t, err)
	require.Zero(t, n)

	// After an error the caller's transaction goes on as before.
	require.NoError(t, w.DB.InTx(ctx, func(tx *tenancy.Tx) error {
		_, err := w.whatsapp.RecordInboundTx(ctx, tx, []whatsapp.Inbound{{RecipientID: ids[3]}})
		require.ErrorAs(t, err, &v)
		n, err := w.whatsapp.RecordInboundTx(ctx, tx, []whatsapp.Inbound{{ids[3], noon.Add(time.Hour)}})
		require.Equal(t, 1, n)
		return err
	}))
}

// Batches that overlap wait for each other and for nobody else; the latest message stays.
func TestInboundAtOnce(t *testing.T) {
	t.Parallel()
	w := open(t)
	ctx := w.A.Ctx
	ids := w.enroll(ctx, t, 20)
	var g errgroup.Group
	for i := range 10 {
		g.Go(func() error {
			messages := make([]whatsapp.Inbound, len(ids))
			for j := range ids {
				messages[j] = whatsapp.Inbound{RecipientID: ids[(j*(2*i+1)+i)%len(ids)], At: noon.Add(time.Duration(i) * time.Minute)}
			}
			_, err := w.whatsapp.RecordInbound(ctx, messages)
			return err
		})
		g.Go(func() error {
			_, err := w.whatsapp.OptIn(ctx, ids[i], "form", noon)
			return err
		})
	}
	require.NoError(t, g.Wait())
	for i, id := range ids {
		row, err := w.whatsapp.Get(ctx, id)
		require.NoError(t, err)
		require.False(t, row.LastInboundAt.Before(noon), id)
		require.Equal(t, i < 10, row.OptedIn, "no change is lost")
	}
}

func TestNothingOfAnotherTenant(t *testing.T) {
	t.Parallel()
	w := open(t)
	ada := w.enroll(w.A.Ctx, t, 1)[0]
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
		_, err := w.whatsapp.Get(ctx, ada)
		require.ErrorIs(t, err, recipients.ErrNotFound, name)
		n, err := w.whatsapp.RecordInbound(ctx, []whatsapp.Inbound{{ada, noon}})
		require.NoError(t, err, name)
		require.Zero(t, n, name)
		_, err = w.whatsapp.OptOut(ctx, ada, "STOP", noon)
		require.ErrorIs(t, err, recipients.ErrNotFound, name)
		n64, err := w.store.Count(ctx, `whatsapp.enrolled`)
		require.NoError(t, err)
		require.Zero(t, n64, name)
	}
	_, err = w.whatsapp.RecordInbound(w.A.WorkspaceCtx, []whatsapp.Inbound{{ada, noon}})
	require.ErrorIs(t, err, tenancy.ErrNoTenant)
	row, err := w.whatsapp.Get(w.A.Ctx, ada)
	require.NoError(t, err)
	require.EqualValues(t, 1, row.Version)
	require.Nil(t, row.LastInboundAt)
	var proven []string
	require.NoError(t, w.DB.ReadTrusted(t.Context(), `SELECT table_name FROM strata.tenant_tables WHERE table_name LIKE 'recipient\_%a%s%' ORDER BY 1`, nil, func(rows pgx.Rows) (err error) {
		proven, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	}))
	require.Contains(t, proven, "recipient_whatsapp", "moves and purges know of it")
	public.Prove(t, w.Pool, &public.Config{Schemas: []string{"strata"}})
	require.NoError(t, w.DB.Check(t.Context()))
}

func TestOverHTTP(t *testing.T) {
	t.Parallel()
	w := open(t)
	h := w.Serve(t, nil, recipientshttp.New(w.store))
	id := w.create(w.A.Ctx, t, "ada@example.com")
	path := "/domains/" + w.A.DomainID.String() + "/recipients/" + id.String() + "/enrollments/whatsapp"
	tenancytest.RequireError(t, h.Do(t, "b", "POST", path, `{"phone":"030 123456"}`), 404, "not_found")
	wrong := h.Do(t, "a", "POST", path, `{"phone":"911","waId":"?","lastInboundAt":"2999-01-01T00:00:00Z"}`)
	tenancytest.RequireError(t, wrong, 422, "validation_failed")
	for _, part := range []string{`"phone_short_code"`, `"invalid_wa_id"`, `"in_future"`} {
		require.Contains(t, wrong.Body.String(), part)
	}
	row := tenancytest.RequireData[map[string]any](t, h.Do(t, "a", "POST", path, `{"phone":"030 123456","waId":"4930123456"}`), 201)
	require.Equal(t, "+4930123456", row["phone"])
	require.Nil(t, row["lastInboundAt"])
	row = tenancytest.RequireData[map[string]any](t, h.Do(t, "a", "PATCH", path, `{"lastInboundAt":"2026-03-01T12:00:00Z"}`), 200)
	require.Equal(t, "2026-03-01T12:00:00Z", row["lastInboundAt"])
	require.Equal(t, 204, h.Do(t, "a", "DELETE", path).Code)
}
