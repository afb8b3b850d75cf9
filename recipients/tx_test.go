package recipients_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/billing"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
)

// A caller may go on after an error: what was refused is not there, and what commits is
// counted and audited.
func TestAfterAnErrorTheTransactionGoesOn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.Company(t, "free")
	require.NoError(t, b.DB.InTx(c.Ctx, func(tx *tenancy.Tx) error {
		return errors.Join(b.Limits.Consume(c.Ctx, tx, billing.ResourceRecipients, 998), b.Audit.RecordTx(c.Ctx, tx, audit.Entry{Action: "test"}))
	}))
	first := b.create(c.Ctx, t, recipients.New{Email: "first@example.com"})
	require.NoError(t, b.DB.InTx(c.Ctx, func(tx *tenancy.Tx) error {
		refused := 0
		for i := range 3 {
			_, err := b.store.CreateTx(c.Ctx, tx, recipients.New{Email: fmt.Sprintf("create%d@example.com", i)})
			if errors.Is(err, billing.ErrLimit) {
				refused++
				continue
			}
			require.NoError(t, err)
		}
		require.Equal(t, 2, refused)
		r, created, err := b.store.UpsertTx(c.Ctx, tx, recipients.New{Email: "upsert@example.com"})
		require.ErrorIs(t, err, billing.ErrLimit)
		require.False(t, created)
		require.Zero(t, r)
		_, err = b.store.CreateTx(c.Ctx, tx, recipients.New{Email: "FIRST@example.com"})
		require.ErrorIs(t, err, recipients.ErrEmailTaken)
		_, err = b.store.UpdateTx(c.Ctx, tx, first.ID, recipients.Change{Email: ptr("create0@example.com")})
		require.ErrorIs(t, err, recipients.ErrEmailTaken)
		require.ErrorIs(t, b.store.DeleteTx(c.Ctx, tx, tenancy.NewID[recipients.Recipient]()), recipients.ErrNotFound)
		_, err = b.store.UpdateTx(c.Ctx, tx, first.ID, recipients.Change{Name: ptr("First")})
		return err
	}))
	page, err := b.store.List(c.Ctx, recipients.Query{Sort: "email"})
	require.NoError(t, err)
	require.Equal(t, []string{"create0@example.com", "first@example.com"}, emails(page))
	require.Equal(t, "First", page.Items[1].Name)
	require.EqualValues(t, 1_000, b.used(c.Ctx, t))
	for action, n := range map[string]int64{"recipient.created": 2, "recipient.updated": 1, "recipient.deleted": 0} {
		trail, err := b.Audit.List(c.Ctx, audit.Query{Action: action})
		require.NoError(t, err)
		require.Equal(t, n, trail.Total, action)
	}
}

func TestARefusedDeleteDeletesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := b.create(b.A.Ctx, t, recipients.New{Email: "ada@example.com"})
	require.NoError(t, b.DB.InTx(b.A.Ctx, func(tx *tenancy.Tx) error {
		// Somebody has given back too much.
		if err := b.Limits.Release(b.A.Ctx, tx, billing.ResourceRecipients, 1); err != nil {
			return err
		}
		require.ErrorContains(t, b.store.DeleteTx(b.A.Ctx, tx, r.ID), "fewer than that are counted")
		return b.Audit.RecordTx(b.A.Ctx, tx, audit.Entry{Action: "test"})
	}))
	got, err := b.store.Get(b.A.Ctx, r.ID)
	require.NoError(t, err)
	require.Equal(t, r, got)
}

// An upsert clears as an update does, and its entry names what was set or cleared.
func TestUpsertClears(t *testing.T) {
	t.Parallel()
	b := setup(t)
	upsert := func(in recipients.New) (recipients.Recipient, []any) {
		t.Helper()
		in.Email = "ada@example.com"
		r, _, err := b.store.Upsert(b.A.Ctx, in)
		require.NoError(t, err)
		got, err := b.store.Get(b.A.Ctx, r.ID)
		require.NoError(t, err)
		require.Equal(t, got, r)
		trail, err := b.Audit.List(b.A.Ctx, audit.Query{ResourceID: r.ID.String()})
		require.NoError(t, err)
		fields, _ := trail.Items[0].Metadata["fields"].([]any)
		return r, fields
	}
	_, fields := upsert(recipients.New{CustomFields: map[string]any{"tier": "gold", "seats": nil}})
	require.Equal(t, []any{"tier"}, fields, "a new one has nothing to clear")
	r, fields := upsert(recipients.New{CustomFields: map[string]any{"tier": nil, "seats": 3}})
	require.Equal(t, map[string]any{"seats": 3.0}, r.CustomFields)
	require.Equal(t, []any{"seats", "tier"}, fields)
	r, fields = upsert(recipients.New{Name: "Ada", Status: recipients.Bounced, CustomFields: map[string]any{"seats": ""}})
	require.Empty(t, r.CustomFields)
	require.Equal(t, []any{"name", "status", "seats"}, fields)
	again, fields := upsert(recipients.New{})
	require.Equal(t, r, again, "no new version")
	require.Equal(t, []any{"name", "status", "seats"}, fields, "and no entry")
}

func TestTimesAreUTC(t *testing.T) {
	t.Parallel()
	b := setup(t)
	created := b.create(b.A.Ctx, t, recipients.New{Email: "ada@example.com"})
	got, err := b.store.Get(b.A.Ctx, created.ID)
	require.NoError(t, err)
	page, err := b.store.List(b.A.Ctx, recipients.Query{})
	require.NoError(t, err)
	for _, r := range []recipients.Recipient{created, got, page.Items[0]} {
		require.Same(t, time.UTC, r.CreatedAt.Location())
		require.Same(t, time.UTC, r.UpdatedAt.Location())
	}
}
