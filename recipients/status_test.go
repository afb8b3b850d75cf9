package recipients_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
)

// Which statuses follow which without a reason.
var silently = map[recipients.Status][]recipients.Status{
	recipients.Active:       {recipients.Active, recipients.Inactive, recipients.Bounced, recipients.Unsubscribed, recipients.Complained},
	recipients.Inactive:     {recipients.Active, recipients.Inactive, recipients.Bounced, recipients.Unsubscribed, recipients.Complained},
	recipients.Bounced:      {recipients.Bounced, recipients.Unsubscribed, recipients.Complained},
	recipients.Unsubscribed: {recipients.Unsubscribed, recipients.Complained},
	recipients.Complained:   {recipients.Complained},
}

func TestStatusesBecomeStricterAndNotLaxer(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, fromText := range recipients.Statuses() {
		for _, toText := range recipients.Statuses() {
			from, to := recipients.Status(fromText), recipients.Status(toText)
			email := fmt.Sprintf("%s-%s@example.com", from, to)
			r := b.create(b.A.Ctx, t, recipients.New{Email: email, Status: from, StatusReason: "first"})
			require.Equal(t, []any{from, "first"}, []any{r.Status, r.StatusReason})
			require.Nil(t, r.StatusChangedAt)
			want := from
			for _, s := range silently[from] {
				if s == to {
					want = to
				}
			}

			// The rule as SQL, for imports.
			var sql string
			require.NoError(t, b.DB.Read(b.A.Ctx, `SELECT `+recipients.StatusSQL(`$1::text`, `$2::text`), []any{from, to}, func(rows pgx.Rows) (err error) {
				sql, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[string])
				return err
			}))
			require.Equal(t, want, recipients.Status(sql), email)

			up, _, err := b.store.Upsert(b.A.Ctx, recipients.New{Email: email, Status: to})
			require.NoError(t, err)
			require.Equal(t, want, up.Status, email)
			require.Equal(t, want != from, up.StatusChangedAt != nil, email)
			require.Equal(t, want == from, up.Version == r.Version, "a status that stays is no change")

			if want == to {
				continue
			}
			_, err = b.store.Update(b.A.Ctx, r.ID, recipients.Change{Status: &to})
			var v *tenancy.ValidationError
			require.ErrorAs(t, err, &v, email)
			require.Equal(t, []string{"statusReason", "required"}, []string{v.Fields[0].Field, v.Fields[0].Code})
			back, err := b.store.Update(b.A.Ctx, r.ID, recipients.Change{Status: &to, StatusReason: ptr(" asked for it again ")})
			require.NoError(t, err)
			require.Equal(t, []any{to, "asked for it again"}, []any{back.Status, back.StatusReason})
			require.NotNil(t, back.StatusChangedAt)
		}
	}
	page, err := b.store.List(b.A.Ctx, recipients.Query{Filter: `statusReason == "asked for it again" && statusChangedAt > timestamp("2020-01-01T00:00:00Z")`})
	require.NoError(t, err)
	require.EqualValues(t, 9, page.Total)
}

func TestReasons(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := b.A.Ctx
	r := b.create(ctx, t, recipients.New{Email: "ada@example.com"})
	r, err := b.store.Update(ctx, r.ID, recipients.Change{StatusReason: ptr("signed up")})
	require.NoError(t, err)
	require.Equal(t, []any{recipients.Active, "signed up"}, []any{r.Status, r.StatusReason})
	require.Nil(t, r.StatusChangedAt, "the status is the same")
	r, err = b.store.Update(ctx, r.ID, recipients.Change{Status: ptr(recipients.Bounced)})
	require.NoError(t, err)
	require.Equal(t, []any{recipients.Bounced, ""}, []any{r.Status, r.StatusReason}, "the reason was that of the other status")
	since := *r.StatusChangedAt
	u, _, err := b.store.Upsert(ctx, recipients.New{Email: "ada@example.com", Status: recipients.Bounced, StatusReason: "550 mailbox unavailable"})
	require.NoError(t, err)
	require.Equal(t, []any{"550 mailbox unavailable", since}, []any{u.StatusReason, *u.StatusChangedAt})

	var v *tenancy.ValidationError
	_, err = b.store.Create(ctx, recipients.New{Email: "bo@example.com", StatusReason: "x"})
	require.ErrorAs(t, err, &v)
	require.Equal(t, "without_status", v.Fields[0].Code)
	_, err = b.store.Update(ctx, r.ID, recipients.Change{StatusReason: ptr(strings.Repeat("é", 301))})
	require.ErrorAs(t, err, &v)
	require.Equal(t, "too_long", v.Fields[0].Code)
}

// Who gives no status changes none: not even that of somebody who is inactive.
func TestAStatusThatIsEmpty(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := b.A.Ctx
	r := b.create(ctx, t, recipients.New{Email: "ada@example.com", Status: recipients.Inactive})
	for _, empty := range []recipients.Status{"", " "} {
		_, err := b.store.Update(ctx, r.ID, recipients.Change{Status: &empty})
		require.Equal(t, map[string]string{"status": "unknown_status"}, problems(t, err))
		u, created, err := b.store.Upsert(ctx, recipients.New{Email: "ada@example.com", Status: empty})
		require.NoError(t, err)
		require.False(t, created)
		require.Equal(t, r, u)
		_, _, err = b.store.Upsert(ctx, recipients.New{Email: "ada@example.com", Status: empty, StatusReason: "x"})
		require.Equal(t, map[string]string{"statusReason": "without_status"}, problems(t, err))
	}
	require.Equal(t, recipients.Active, b.create(ctx, t, recipients.New{Email: "bo@example.com", Status: " "}).Status)
}

func TestAnUpdateThatChangesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := b.A.Ctx
	r := b.create(ctx, t, recipients.New{Email: "Ada@example.com", Name: "Ada", CustomFields: map[string]any{"tier": "gold", "seats": 3}})
	for _, c := range []recipients.Change{
		{},
		{Email: ptr(" Ada@example.com ")},
		{Name: ptr("Ada "), Status: ptr(recipients.Active), StatusReason: ptr("")},
		{CustomFields: map[string]any{"tier": "gold", "seats": 3.0}},
	} {
		same, err := b.store.Update(ctx, r.ID, c)
		require.NoError(t, err)
		require.Equal(t, r, same)
	}
	spelled, err := b.store.Update(ctx, r.ID, recipients.Change{Email: ptr("ADA@example.com"), Name: ptr("Ada"), CustomFields: map[string]any{"tier": "gold", "seats": nil}})
	require.NoError(t, err)
	require.Equal(t, []any{"ADA@example.com", int64(2)}, []any{spelled.Email, spelled.Version})
	require.Equal(t, [][]any{{"recipient.updated", []any{"email", "seats"}}, {"recipient.created", []any{"seats", "tier"}}}, b.trail(t, r.ID))
}
