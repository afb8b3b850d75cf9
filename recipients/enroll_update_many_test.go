package recipients_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
)

func TestUpdateManyEnrollments(t *testing.T) {
	t.Parallel()
	b := extend(t)
	ctx := b.A.Ctx
	var ids []recipients.ID
	for i := range 4 {
		ids = append(ids, b.create(ctx, t, recipients.New{Email: fmt.Sprintf("r%d@example.com", i)}).ID)
		require.NoError(t, b.mail.Enroll(ctx, ids[i], &Mail{Bounces: i, Topics: []string{"a"}, Secret: "s"}))
	}
	require.NoError(t, b.store.Delete(ctx, ids[3]))
	stranger := b.create(b.B.Ctx, t, recipients.New{Email: "bo@example.com"})
	require.NoError(t, b.mail.Enroll(b.B.Ctx, stranger.ID, &Mail{}))
	unenrolled := b.create(ctx, t, recipients.New{Email: "cy@example.com"})

	n, err := b.mail.UpdateMany(ctx, []recipients.ID{ids[2], stranger.ID, ids[0], ids[1], ids[3], unenrolled.ID}, func(m *Mail) error {
		m.CompanyID = b.B.CompanyID // counts for nothing
		switch m.RecipientID {
		case ids[0]:
			m.Bounces = 10
		case ids[1]:
			m.Subscription = "unsubscribed"
		}
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, 2, n, "those that changed")
	for i, want := range []Mail{{Bounces: 10, Subscription: "subscribed"}, {Bounces: 1, Subscription: "unsubscribed"}, {Bounces: 2, Subscription: "subscribed"}} {
		got, err := b.mail.Get(ctx, ids[i])
		require.NoError(t, err)
		require.Equal(t, []any{want.Bounces, want.Subscription, []string{"a"}, "s", b.A.CompanyID}, []any{got.Bounces, got.Subscription, got.Topics, got.Secret, got.CompanyID})
		require.EqualValues(t, []int{2, 2, 1}[i], got.Version)
	}
	of, err := b.Audit.List(ctx, audit.Query{ResourceID: ids[1].String()})
	require.NoError(t, err)
	require.Equal(t, map[string]any{"extension": "email", "fields": []any{"subscriptionStatus"}}, of.Items[0].Metadata)
	theirs, err := b.mail.Get(b.B.Ctx, stranger.ID)
	require.NoError(t, err)
	require.EqualValues(t, 1, theirs.Version)

	wrong := func(m *Mail) error {
		m.Bounces = 5
		if m.RecipientID == ids[1] {
			m.Bounces = -1
		}
		return nil
	}
	var v *tenancy.ValidationError
	refused := errors.New("refused")
	require.NoError(t, b.DB.InTx(ctx, func(tx *tenancy.Tx) error {
		_, err := b.mail.UpdateManyTx(ctx, tx, []recipients.ID{ids[2], ids[1]}, wrong)
		require.ErrorAs(t, err, &v)
		require.Equal(t, "[1].bounces", v.Fields[0].Field)
		_, err = b.mail.UpdateManyTx(ctx, tx, ids, func(*Mail) error { return refused })
		require.ErrorIs(t, err, refused)
		n, err := b.mail.UpdateManyTx(ctx, tx, ids[2:3], wrong)
		require.Equal(t, 1, n)
		return err
	}))
	_, err = b.mail.UpdateMany(ctx, []recipients.ID{ids[0], ids[0]}, wrong)
	require.ErrorAs(t, err, &v)
	n64, err := b.store.Count(ctx, "email.enrolled")
	require.NoError(t, err)
	require.EqualValues(t, 3, n64)

	// Whoever counts at once, each is counted.
	var g errgroup.Group
	for i := range 8 {
		g.Go(func() error {
			_, err := b.mail.UpdateMany(ctx, []recipients.ID{ids[i%3], ids[(i+1)%3], ids[(i+2)%3]}, func(m *Mail) error { m.Bounces++; return nil })
			return err
		})
	}
	require.NoError(t, g.Wait())
	got, err := b.mail.Get(ctx, ids[0])
	require.NoError(t, err)
	require.Equal(t, 18, got.Bounces)
}
