package push_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/stratakit/strata"
	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/internal/dbtest"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/recipients/email"
	"github.com/stratakit/strata/recipients/push"
	"github.com/stratakit/strata/recipients/recipientshttp"
	"github.com/stratakit/strata/tenancy"
	public "github.com/stratakit/strata/tenancy/tenancytest"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

type world struct {
	*tenancytest.Env
	store *recipients.Store
	push  *push.Enrollments
}

func open(t *testing.T) *world {
	t.Helper()
	w := &world{Env: tenancytest.Open(t)}
	r := recipients.NewRegistry()
	var err error
	w.push, err = push.Register(r, &push.Config{MaxDevices: 3})
	require.NoError(t, err)
	w.store = w.Extended(t, r)
	return w
}

// enrolled adds a recipient who is enrolled.
func (w *world) enrolled(ctx context.Context, t *testing.T, address string) recipients.ID {
	t.Helper()
	r, err := w.store.Create(ctx, recipients.New{Email: address})
	require.NoError(t, err)
	require.NoError(t, w.push.Enroll(ctx, r.ID, &push.Push{}))
	return r.ID
}

func (w *world) tokens(ctx context.Context, t *testing.T, id recipients.ID) []string {
	t.Helper()
	devices, err := w.push.Devices(ctx, id)
	require.NoError(t, err)
	out := []string{}
	for _, d := range devices {
		out = append(out, d.Token)
	}
	return out
}

// stored counts the devices of all tenants.
func (w *world) stored(t *testing.T) (n int) {
	t.Helper()
	require.NoError(t, w.DB.ReadTrusted(t.Context(), `SELECT count(*) FROM strata.recipient_push_devices`, nil, func(rows pgx.Rows) (err error) {
		n, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[int])
		return err
	}))
	return n
}

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestLifeOfDevices(t *testing.T) {
	t.Parallel()
	w := open(t)
	ctx := w.A.Ctx
	ada, bo := w.enrolled(ctx, t, "ada@example.com"), w.enrolled(ctx, t, "bo@example.com")
	add := func(id recipients.ID, token string, at time.Time) *push.Push {
		t.Helper()
		row, err := w.push.AddDevice(ctx, id, push.Device{Token: token, Platform: push.IOS, LastSeenAt: at})
		require.NoError(t, err)
		return row
	}
	row := add(ada, "a", noon)
	require.EqualValues(t, 1, row.Devices)
	require.Equal(t, noon, *row.LastSeenAt)
	row = add(ada, "b", noon.Add(-time.Hour))
	require.EqualValues(t, 2, row.Devices)
	require.Equal(t, noon, *row.LastSeenAt)
	again := add(ada, "b", noon.Add(-2*time.Hour))
	require.Equal(t, row, again, "word of what was before changes nothing")
	row = add(ada, "b", noon.Add(time.Hour))
	require.EqualValues(t, 2, row.Devices, "seen again")
	require.Equal(t, []string{"b", "a"}, w.tokens(ctx, t, ada))
	devices, err := w.push.Devices(ctx, ada)
	require.NoError(t, err)
	require.Equal(t, push.IOS, devices[0].Platform)
	require.Equal(t, noon.Add(time.Hour), devices[0].LastSeenAt)

	add(ada, "c", noon.Add(2*time.Hour))
	row = add(ada, "d", noon.Add(-time.Hour))
	require.EqualValues(t, 3, row.Devices, "there is room for three, the new one among them")
	require.Equal(t, []string{"c", "b", "d"}, w.tokens(ctx, t, ada))

	var taken *push.TokenTakenError
	_, err = w.push.AddDevice(ctx, bo, push.Device{Token: "b", Platform: push.Web})
	require.ErrorAs(t, err, &taken)
	require.Equal(t, ada, taken.ID)
	require.ErrorIs(t, err, push.ErrTokenTaken)
	_, err = w.push.RemoveDevice(ctx, bo, "b")
	require.ErrorIs(t, err, push.ErrNoDevice, "that of another")
	row, err = w.push.RemoveDevice(ctx, ada, "b")
	require.NoError(t, err)
	require.EqualValues(t, 2, row.Devices)
	require.EqualValues(t, 1, add(bo, "b", time.Time{}).Devices, "it has changed hands")
	_, err = w.push.RemoveDevice(ctx, ada, "b\x00")
	require.ErrorIs(t, err, push.ErrNoDevice)

	// What is said of devices is what they say.
	row, err = w.push.Update(ctx, ada, 0, func(row *push.Push) error { row.Devices, row.Muted = 9, true; return nil })
	require.NoError(t, err)
	require.EqualValues(t, 2, row.Devices)
	require.True(t, row.Muted)
	require.NoError(t, w.push.Withdraw(ctx, bo))
	require.NoError(t, w.push.Enroll(ctx, bo, &push.Push{Devices: 7, LastSeenAt: &noon}))
	row, err = w.push.Get(ctx, bo)
	require.NoError(t, err)
	require.Zero(t, row.Devices, "they went with the row")
	require.Nil(t, row.LastSeenAt)

	for expr, want := range map[string]int64{
		`push.devices > 0`: 1, `push.devices == 0 && push.enrolled`: 1, `push.devices > 0 && !push.muted`: 0, `push.last_seen_at < now`: 1,
	} {
		n, err := w.store.Count(ctx, expr)
		require.NoError(t, err, expr)
		require.Equal(t, want, n, expr)
	}
	page, err := w.store.List(ctx, recipients.Query{With: []string{"push"}, Filter: `push.muted`})
	require.NoError(t, err)
	row, ok := w.push.From(page.Items[0])
	require.True(t, ok)
	require.EqualValues(t, 2, row.Devices)

	// A deletion can be undone, with the devices; a purge takes them.
	require.NoError(t, w.store.Delete(ctx, ada))
	_, err = w.push.Devices(ctx, ada)
	require.ErrorIs(t, err, recipients.ErrNotFound)
	_, err = w.push.AddDevice(ctx, ada, push.Device{Token: "z", Platform: push.IOS})
	require.ErrorIs(t, err, recipients.ErrNotFound)
	_, err = w.store.Restore(ctx, ada)
	require.NoError(t, err)
	require.Equal(t, []string{"c", "d"}, w.tokens(ctx, t, ada))
	err = w.store.Purge(ctx, []recipients.ID{ada})
	require.NoError(t, err)
	require.Zero(t, w.stored(t))
}

// Who is deleted holds no device back, and loses it for good.
// Values for many, as those of an old file, disturb nobody who does not want to be.
func TestNoFileUnmutes(t *testing.T) {
	t.Parallel()
	w := open(t)
	ctx := w.A.Ctx
	x, err := w.store.Extension(ctx, push.Name)
	require.NoError(t, err)
	muted, loud := w.enrolled(ctx, t, "muted@example.com"), w.enrolled(ctx, t, "loud@example.com")
	mute := func(to bool) func(row *push.Push) error {
		return func(row *push.Push) error { row.Muted = to; return nil }
	}
	_, err = w.push.Update(ctx, muted, 0, mute(true))
	require.NoError(t, err)
	require.NoError(t, w.DB.InTx(ctx, func(tx *tenancy.Tx) error {
		for value, failed := range map[string]int{`false`: 1, `true`: 0} {
			values := map[string]json.RawMessage{"muted": json.RawMessage(value)}
			result, err := x.PutEachTx(ctx, tx, []recipients.Put{{ID: muted, Values: values}, {ID: loud, Values: values}}, false)
			require.NoError(t, err)
			require.Len(t, result.Failed, failed, value)
			for _, f := range result.Failed {
				require.Equal(t, muted, f.ID)
				require.ErrorContains(t, f.Err, "they do not want to be disturbed")
			}
			_, err = w.push.UpdateTx(ctx, tx, loud, 0, mute(false))
			require.NoError(t, err)
		}
		return nil
	}))
	row, err := w.push.Get(ctx, muted)
	require.NoError(t, err)
	require.True(t, row.Muted)
	_, err = w.push.Update(ctx, muted, 0, mute(false))
	require.NoError(t, err)
}

func TestDevicesOfWhoIsDeleted(t *testing.T) {
	t.Parallel()
	w := open(t)
	ctx := w.A.Ctx
	ada := w.enrolled(ctx, t, "ada@example.com")
	for _, token := range []string{"a", "b"} {
		_, err := w.push.AddDevice(ctx, ada, push.Device{Token: token, Platform: push.IOS})
		require.NoError(t, err)
	}
	require.NoError(t, w.store.Delete(ctx, ada))
	again := w.enrolled(ctx, t, "ada@example.com")
	row, err := w.push.AddDevice(ctx, again, push.Device{Token: "a", Platform: push.Web})
	require.NoError(t, err, "the address was free, and so is the device")
	require.EqualValues(t, 1, row.Devices)
	require.Equal(t, map[string]any{"extension": "push", "removed": []any{push.Device{Token: "a"}.ID()}}, w.said(ctx, t, ada)[0])

	require.NoError(t, w.store.Delete(ctx, again))
	_, err = w.store.Restore(ctx, ada)
	require.NoError(t, err)
	require.Equal(t, []string{"b"}, w.tokens(ctx, t, ada))
	row, err = w.push.Get(ctx, ada)
	require.NoError(t, err)
	require.EqualValues(t, 1, row.Devices)
	require.EqualValues(t, 4, row.Version, "it is another row than before")
}

// said is what the audit trail has of the devices of a recipient, the last first.
func (w *world) said(ctx context.Context, t *testing.T, id recipients.ID) (out []map[string]any) {
	t.Helper()
	entries, err := w.Audit.List(ctx, audit.Query{ResourceID: id.String()})
	require.NoError(t, err)
	for _, e := range entries.Items {
		if e.Action == "recipient.devices_changed" {
			out = append(out, e.Metadata)
		}
	}
	return out
}

// Which devices came and went is in the audit trail, also where their number stays, and no token is.
func TestDevicesAreAudited(t *testing.T) {
	t.Parallel()
	w := open(t)
	ctx := w.A.Ctx
	ada := w.enrolled(ctx, t, "ada@example.com")
	add := func(token string, platform push.Platform, at time.Time) {
		t.Helper()
		_, err := w.push.AddDevice(ctx, ada, push.Device{Token: token, Platform: platform, LastSeenAt: at})
		require.NoError(t, err)
	}
	id := func(token string) any { return push.Device{Token: token}.ID() }
	for i, token := range []string{"one", "two", "three"} {
		add(token, push.IOS, noon.Add(time.Duration(i)*time.Hour))
		require.Equal(t, map[string]any{"extension": "push", "added": []any{id(token)}}, w.said(ctx, t, ada)[0])
	}
	add("four", push.IOS, noon.Add(time.Hour))
	require.Equal(t, map[string]any{"extension": "push", "added": []any{id("four")}, "removed": []any{id("one")}}, w.said(ctx, t, ada)[0], "there was no more room")
	add("four", push.Web, noon.Add(time.Hour))
	require.Equal(t, map[string]any{"extension": "push", "added": []any{id("four")}, "removed": []any{id("four")}}, w.said(ctx, t, ada)[0], "it is another platform's")
	before := len(w.said(ctx, t, ada))
	add("four", push.Web, noon.Add(5*time.Hour))
	require.Len(t, w.said(ctx, t, ada), before, "seen again")
	_, err := w.push.RemoveDevice(ctx, ada, "two")
	require.NoError(t, err)
	require.Equal(t, map[string]any{"extension": "push", "removed": []any{id("two")}}, w.said(ctx, t, ada)[0])
	entries, err := w.Audit.List(ctx, audit.Query{ResourceID: ada.String()})
	require.NoError(t, err)
	text, err := json.Marshal(entries)
	require.NoError(t, err)
	for _, token := range []string{"two", "three", "four"} {
		require.NotContains(t, string(text), token)
	}
}

// An export of what is known of a person has the devices, whoever makes it, and no one else's.
func TestExportsHaveDevices(t *testing.T) {
	t.Parallel()
	w := open(t)
	ctx := w.A.Ctx
	ada, bo := w.enrolled(ctx, t, "ada@example.com"), w.enrolled(ctx, t, "bo@example.com")
	for _, token := range []string{"b", "a"} {
		_, err := w.push.AddDevice(ctx, ada, push.Device{Token: token, Platform: push.IOS, LastSeenAt: noon})
		require.NoError(t, err)
	}
	theirs := w.enrolled(w.B.Ctx, t, "ada@example.com")
	_, err := w.push.AddDevice(w.B.Ctx, theirs, push.Device{Token: "c", Platform: push.IOS})
	require.NoError(t, err)
	fields, err := customfields.NewRegistry(w.DB, w.Redis, w.Limits, w.Audit, nil)
	require.NoError(t, err)
	other, err := recipients.NewStore(w.DB, fields, w.Limits, w.Audit, nil) // of a process without push
	require.NoError(t, err)
	for _, s := range []*recipients.Store{w.store, other} {
		all, err := s.Export(ctx, ada)
		require.NoError(t, err)
		devices := all.Tables["strata.recipient_push_devices"]
		require.Len(t, devices, 2)
		require.Equal(t, []any{"a", "b"}, []any{devices[0]["token"], devices[1]["token"]})
		require.Equal(t, "ios", devices[0]["platform"])
		require.NotContains(t, devices[0], "domain_id")
		page, err := s.ExportPage(ctx, recipients.ID{})
		require.NoError(t, err)
		require.Len(t, page, 2)
		require.Equal(t, bo, page[1].ID)
		require.Empty(t, page[1].Tables)
		_, err = s.Export(w.B.Ctx, ada)
		require.ErrorIs(t, err, recipients.ErrNotFound)
	}

	// Devices that would stay behind are said to.
	_, err = w.Pool.Exec(t.Context(), `ALTER TABLE strata.recipient_push_devices DROP CONSTRAINT recipient_push_devices_domain_id_recipient_id_fkey`)
	require.NoError(t, err)
	r := recipients.NewRegistry()
	_, err = push.Register(r, nil)
	require.NoError(t, err)
	var wrong *recipients.ExtensionError
	require.ErrorAs(t, r.Verify(t.Context(), w.DB), &wrong)
	require.Contains(t, wrong.Problems[0].Message, `recipient_push_devices" has no foreign key`)
	_, err = w.Pool.Exec(t.Context(), wrong.Problems[0].SQL)
	require.NoError(t, err)
	require.NoError(t, r.Verify(t.Context(), w.DB))
}

func TestDevicesAreChecked(t *testing.T) {
	t.Parallel()
	w := open(t)
	ctx := w.A.Ctx
	ada := w.enrolled(ctx, t, "ada@example.com")
	for _, d := range []push.Device{
		{Platform: push.IOS},
		{Token: "a"},
		{Token: "a", Platform: "androyd"},
		{Token: "a\x00", Platform: push.IOS},
		{Token: "\xff", Platform: push.IOS},
		{Token: strings.Repeat("x", push.MaxToken+1), Platform: push.Web},
		{Token: "a", Platform: push.Web, LastSeenAt: time.Now().Add(time.Hour)},
	} {
		_, err := w.push.AddDevice(ctx, ada, d)
		var v *tenancy.ValidationError
		require.ErrorAs(t, err, &v, "%v", d)
		require.Len(t, v.Fields, 1)
		if d.Platform == "androyd" {
			require.Equal(t, "android", v.Fields[0].Suggestion)
		}
	}
	long := strings.Repeat("\x7fx", push.MaxToken/2)
	_, err := w.push.AddDevice(ctx, ada, push.Device{Token: long, Platform: push.Web})
	require.NoError(t, err)
	other, err := w.store.Create(ctx, recipients.New{Email: "bo@example.com"})
	require.NoError(t, err)
	_, err = w.push.AddDevice(ctx, other.ID, push.Device{Token: "a", Platform: push.IOS})
	require.ErrorIs(t, err, recipients.ErrNotEnrolled)
	_, err = w.push.Devices(ctx, other.ID)
	require.ErrorIs(t, err, recipients.ErrNotEnrolled)

	// After an error the caller's transaction goes on as before.
	require.NoError(t, w.DB.InTx(ctx, func(tx *tenancy.Tx) error {
		_, err := w.push.RemoveDeviceTx(ctx, tx, ada, "none")
		require.ErrorIs(t, err, push.ErrNoDevice)
		_, err = w.push.AddDeviceTx(ctx, tx, ada, push.Device{Token: "a", Platform: push.IOS})
		require.NoError(t, err)
		devices, err := w.push.DevicesTx(ctx, tx, ada)
		require.Len(t, devices, 2)
		return err
	}))

	h := w.Serve(t, nil, recipientshttp.New(w.store))
	path := "/domains/" + w.A.DomainID.String() + "/recipients/" + ada.String() + "/enrollments/push"
	row := tenancytest.RequireData[map[string]any](t, h.Do(t, "a", "PATCH", path, `{"muted":true}`), 200)
	require.Equal(t, 2.0, row["devices"])
	wrong := h.Do(t, "a", "PATCH", path, `{"devices":9}`)
	tenancytest.RequireError(t, wrong, 422, "validation_failed")
	require.NotContains(t, h.Do(t, "a", "GET", path).Body.String(), "token")
}

// Devices that come and go at once are counted right, and a token that two recipients want has one.
func TestDevicesAtOnce(t *testing.T) {
	t.Parallel()
	w := open(t)
	ctx := w.A.Ctx
	ids := []recipients.ID{w.enrolled(ctx, t, "ada@example.com"), w.enrolled(ctx, t, "bo@example.com")}
	won := make([]int, 24)
	var g errgroup.Group
	for i := range 24 {
		g.Go(func() error {
			token := fmt.Sprint(i % 4)
			_, err := w.push.AddDevice(ctx, ids[i/4%2], push.Device{Token: token, Platform: push.Android})
			if err == nil && i%3 == 0 {
				_, err = w.push.RemoveDevice(ctx, ids[i/4%2], token)
			}
			if err == nil {
				won[i] = 1
			}
			if errors.Is(err, push.ErrTokenTaken) || errors.Is(err, push.ErrNoDevice) {
				return nil
			}
			return err
		})
	}
	require.NoError(t, g.Wait())
	all := 0
	for _, id := range ids {
		row, err := w.push.Get(ctx, id)
		require.NoError(t, err)
		have := w.tokens(ctx, t, id)
		require.EqualValues(t, len(have), row.Devices)
		require.LessOrEqual(t, len(have), 3)
		all += len(have)
	}
	require.Equal(t, w.stored(t), all)
	require.LessOrEqual(t, all, 4)
	require.Contains(t, won, 1)
}

// To another company, domain or workspace no device is there, and its token says nothing.
func TestDevicesAreOfOneDomain(t *testing.T) {
	t.Parallel()
	w := open(t)
	ada := w.enrolled(w.A.Ctx, t, "ada@example.com")
	_, err := w.push.AddDevice(w.A.Ctx, ada, push.Device{Token: "a", Platform: push.IOS})
	require.NoError(t, err)
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
		_, err := w.push.Devices(ctx, ada)
		require.ErrorIs(t, err, recipients.ErrNotFound, name)
		_, err = w.push.AddDevice(ctx, ada, push.Device{Token: "a", Platform: push.Web})
		require.ErrorIs(t, err, recipients.ErrNotFound, name)
		_, err = w.push.RemoveDevice(ctx, ada, "a")
		require.ErrorIs(t, err, recipients.ErrNotFound, name)
		mine := w.enrolled(ctx, t, "bo@example.com")
		row, err := w.push.AddDevice(ctx, mine, push.Device{Token: "a", Platform: push.Web})
		require.NoError(t, err, name)
		require.EqualValues(t, 1, row.Devices, name)
		_, err = w.push.RemoveDevice(ctx, mine, "a")
		require.NoError(t, err, name)
	}
	require.Equal(t, []string{"a"}, w.tokens(w.A.Ctx, t, ada))
	_, err = w.push.Devices(w.A.WorkspaceCtx, ada)
	require.ErrorIs(t, err, tenancy.ErrNoTenant)
}

func TestTheTablesKeepTenantsApart(t *testing.T) {
	t.Parallel()
	w := open(t)
	ada := w.enrolled(w.A.Ctx, t, "ada@example.com")
	_, err := w.push.AddDevice(w.A.Ctx, ada, push.Device{Token: "a", Platform: push.IOS})
	require.NoError(t, err)
	public.Prove(t, w.Pool, &public.Config{Schemas: []string{"strata"}})
	require.NoError(t, w.DB.Check(t.Context()))
	tables, err := w.DB.DomainTables(t.Context())
	require.NoError(t, err)
	found := map[string]int{}
	for _, table := range tables {
		found[table.Name] += 1 + len(table.Missing)
	}
	require.Equal(t, 1, found["recipient_push"])
	require.Equal(t, 1, found["recipient_push_devices"])
}

// Both tables are made, taken away and made again, whatever the schema is called, together with
// those of another extension that has migrations.
func TestMigrations(t *testing.T) {
	t.Parallel()
	pool := dbtest.Database(t, dbtest.Template{Name: "push", Setup: func(ctx context.Context, pool *pgxpool.Pool) error {
		return strata.Migrate(ctx, pool, &strata.MigrateConfig{Schema: "acme_core", RiverSchema: "acme_jobs", Log: slog.New(slog.DiscardHandler)})
	}})
	direct, err := pgxpool.New(t.Context(), dbtest.DirectURL(t, pool))
	require.NoError(t, err)
	t.Cleanup(direct.Close)
	r := recipients.NewRegistry()
	_, err = email.Register(r, nil)
	require.NoError(t, err)
	_, err = push.Register(r, nil)
	require.NoError(t, err)
	cfg := &strata.MigrateConfig{Schema: "acme_core", RiverSchema: "acme_jobs", Extensions: r, Log: slog.New(slog.DiscardHandler)}
	there := func() (n int) {
		t.Helper()
		require.NoError(t, direct.QueryRow(t.Context(), `SELECT count(*) FROM pg_class WHERE relnamespace = 'acme_core'::regnamespace
			AND relname IN ('recipient_email', 'recipient_push', 'recipient_push_devices')`).Scan(&n))
		return n
	}
	for range 2 {
		require.NoError(t, strata.Migrate(t.Context(), direct, cfg))
		require.NoError(t, strata.Migrate(t.Context(), direct, cfg), "at every start")
		require.Equal(t, 3, there())
		require.NoError(t, strata.Unmigrate(t.Context(), direct, cfg))
		require.Zero(t, there())
	}
	require.NoError(t, strata.Migrate(t.Context(), direct, cfg))
	s, err := strata.New(t.Context(), pool, nil, &strata.Config{Schema: "acme_core", RiverSchema: "acme_jobs", Extensions: r})
	require.NoError(t, err)
	require.NoError(t, s.Stop(t.Context()))
	public.Prove(t, pool, &public.Config{Schema: "acme_core", Schemas: []string{"acme_core"}})
}
