package persons_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/recipients/persons"
	"github.com/stratakit/strata/tenancy"
)

var fireSafety = persons.Topic{Product: "training", Key: "course:fire-safety-2026"}

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// has is what a recipient has completed.
func has(ref persons.Ref, topic persons.Topic) persons.NewCompletion {
	return persons.NewCompletion{Ref: ref, Topic: topic, OccurredAt: noon, Details: json.RawMessage(`{"score":97}`)}
}

func (b *bundle) complete(ctx context.Context, t *testing.T, ref persons.Ref) persons.Completion {
	t.Helper()
	c, err := b.persons.Complete(ctx, has(ref, fireSafety))
	require.NoError(t, err)
	return c
}

func (b *bundle) link(ctx context.Context, t *testing.T, refs ...persons.Ref) persons.ID {
	t.Helper()
	id, err := b.persons.Link(ctx, refs)
	require.NoError(t, err)
	return id
}

// creditsOf returns all credits of a recipient as ctx sees them, revoked ones too.
func (b *bundle) creditsOf(ctx context.Context, t *testing.T, ref persons.Ref) []persons.Credit {
	t.Helper()
	page, err := b.persons.Credits(ctx, persons.CreditQuery{Recipient: ref, Revoked: true})
	require.NoError(t, err)
	require.False(t, page.HasMore)
	return page.Items
}

// reasons returns why each credit of a recipient ended, oldest first: "" for one that counts.
func (b *bundle) reasons(t *testing.T, ref persons.Ref) []string {
	t.Helper()
	return look[string](t, b, `SELECT revoked_reason FROM strata.person_credits WHERE domain_id = $1 AND recipient_id = $2 ORDER BY id`, ref.DomainID, ref.RecipientID)
}

func TestCompletionCreditsThePerson(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx, refs := b.A.WorkspaceCtx, append(b.addMany(b.A.Ctx, t, 3), b.addMany(b.Domain(t, b.A, "second.example"), t, 1)...)
	person := b.link(ctx, t, refs[0], refs[1], refs[3])
	first := b.complete(ctx, t, refs[0])
	require.Equal(t, has(refs[0], fireSafety).OccurredAt, first.OccurredAt)
	require.Empty(t, b.creditsOf(ctx, t, refs[0]), "it has completed it itself")
	require.Empty(t, b.creditsOf(ctx, t, refs[2]), "it is somebody else")
	for _, ref := range []persons.Ref{refs[1], refs[3]} {
		got := b.creditsOf(ctx, t, ref)
		require.Len(t, got, 1)
		require.Equal(t, []any{ref, fireSafety, noon, b.A.WorkspaceID}, []any{got[0].Ref, got[0].Topic, got[0].OccurredAt, got[0].WorkspaceID})
		require.JSONEq(t, `{"score":97}`, string(got[0].Details))
		require.Nil(t, got[0].RevokedAt)
		require.Nil(t, got[0].Source, "that is for the company")
		require.Equal(t, refs[0], *b.creditsOf(b.A.CompanyCtx, t, ref)[0].Source)
	}
	for range 3 {
		require.Equal(t, first, b.complete(ctx, t, refs[0]))
	}
	b.requireSound(t)

	page, err := b.persons.Credits(ctx, persons.CreditQuery{Person: person, PageSize: 1})
	require.NoError(t, err)
	require.True(t, page.HasMore)
	rest, err := b.persons.Credits(ctx, persons.CreditQuery{Person: person, PageSize: 1, Cursor: page.NextCursor, Product: "training"})
	require.NoError(t, err)
	require.False(t, rest.HasMore)
	require.ElementsMatch(t, []persons.Ref{refs[1], refs[3]}, []persons.Ref{page.Items[0].Ref, rest.Items[0].Ref})
	rest, err = b.persons.Credits(ctx, persons.CreditQuery{Person: person, Product: "other"})
	require.NoError(t, err)
	require.Empty(t, rest.Items)

	require.Equal(t, []int64{1}, look[int64](t, b, `SELECT count(*) FROM strata.audit_entries WHERE action = 'recipient.completed' AND domain_id = $1 AND resource_id = $2
		AND metadata = '{"product": "training", "key": "course:fire-safety-2026"}'`, refs[0].DomainID, refs[0].RecipientID.String()))
	require.Equal(t, []int64{2}, look[int64](t, b, `SELECT count(*) FROM strata.audit_entries WHERE action = 'credits.given' AND jsonb_array_length(metadata -> 'credits') = 1`))
}

// A recipient that has completed it keeps its own; when that is withdrawn, it is credited with
// the other's.
func TestBothHaveCompletedIt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx, refs := b.A.WorkspaceCtx, b.addMany(b.A.Ctx, t, 3)
	b.link(ctx, t, refs...)
	b.complete(ctx, t, refs[0])
	b.complete(ctx, t, refs[1])
	require.Equal(t, [][]string{{}, {"completed"}, {""}}, [][]string{b.reasons(t, refs[0]), b.reasons(t, refs[1]), b.reasons(t, refs[2])})
	require.NoError(t, b.persons.Withdraw(ctx, refs[0], fireSafety))
	require.Equal(t, [][]string{{""}, {"completed"}, {"withdrawn", ""}}, [][]string{b.reasons(t, refs[0]), b.reasons(t, refs[1]), b.reasons(t, refs[2])})
	b.requireSound(t)
	for range 2 {
		require.NoError(t, b.persons.Withdraw(ctx, refs[1], fireSafety))
	}
	require.Equal(t, [][]string{{"withdrawn"}, {"completed"}, {"withdrawn", "withdrawn"}}, [][]string{b.reasons(t, refs[0]), b.reasons(t, refs[1]), b.reasons(t, refs[2])})
	b.requireSound(t)

	// A message that comes once more does not bring back what was withdrawn.
	again := b.complete(ctx, t, refs[1])
	require.NotNil(t, again.WithdrawnAt)
	require.Len(t, b.reasons(t, refs[0]), 1)
	anew := has(refs[1], fireSafety)
	anew.OccurredAt = noon.AddDate(0, 1, 0)
	again, err := b.persons.Complete(ctx, anew)
	require.NoError(t, err)
	require.Nil(t, again.WithdrawnAt)
	require.Equal(t, []string{"withdrawn", ""}, b.reasons(t, refs[0]))
	b.requireSound(t)
}

func TestCompletionThatDiffers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx, refs := b.A.WorkspaceCtx, b.addMany(b.A.Ctx, t, 3)
	b.complete(ctx, t, refs[0])
	same := has(refs[0], fireSafety)
	same.Details, same.OccurredAt = json.RawMessage(` {"score": 97.0}`), noon.In(time.FixedZone("", 3600)).Add(300*time.Nanosecond)
	_, err := b.persons.Complete(ctx, same)
	require.NoError(t, err, "the same moment, number and object")
	for _, change := range []func(*persons.NewCompletion){
		func(n *persons.NewCompletion) { n.OccurredAt = noon.Add(time.Microsecond) },
		func(n *persons.NewCompletion) { n.Details = nil },
		func(n *persons.NewCompletion) { n.Details = json.RawMessage(`{"score":98}`) },
	} {
		other := has(refs[0], fireSafety)
		change(&other)
		var differs *persons.CompletionConflictError
		_, err = b.persons.Complete(ctx, other)
		require.ErrorAs(t, err, &differs)
		require.Equal(t, []persons.DifferingTopic{{Ref: refs[0], Topic: fireSafety}}, differs.Differing)
		_, err = b.persons.CompleteMany(ctx, []persons.NewCompletion{has(refs[1], fireSafety), other})
		require.ErrorAs(t, err, &differs)
		mine := has(refs[2], fireSafety)
		change(&mine)
		_, err = b.persons.CompleteMany(ctx, []persons.NewCompletion{has(refs[2], fireSafety), mine, mine})
		require.ErrorAs(t, err, &differs, "one call that contradicts itself")
		require.Len(t, differs.Differing, 1)
	}
	require.Equal(t, []int64{1}, look[int64](t, b, `SELECT count(*) FROM strata.person_completions`), "all or none")
	twice, err := b.persons.CompleteMany(ctx, []persons.NewCompletion{has(refs[1], fireSafety), has(refs[0], fireSafety), has(refs[1], fireSafety)})
	require.NoError(t, err)
	require.Equal(t, twice[0], twice[2])
	require.Equal(t, refs[0], twice[1].Ref)
	none, err := b.persons.CompleteMany(ctx, nil)
	require.NoError(t, err)
	require.Empty(t, none)
}

func TestCompletionIsChecked(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ref := b.addMany(b.A.Ctx, t, 1)[0]
	good := has(ref, fireSafety)
	for field, change := range map[string]func(*persons.NewCompletion){
		"domainId":    func(n *persons.NewCompletion) { n.DomainID = tenancy.DomainID{} },
		"recipientId": func(n *persons.NewCompletion) { n.RecipientID = recipients.ID{} },
		"product":     func(n *persons.NewCompletion) { n.Product = "Training" },
		"key":         func(n *persons.NewCompletion) { n.Key = "" },
		"key ":        func(n *persons.NewCompletion) { n.Key = strings.Repeat("ä", 201) },
		"key  ":       func(n *persons.NewCompletion) { n.Key = "a\x00b" },
		"occurredAt":  func(n *persons.NewCompletion) { n.OccurredAt = time.Time{} },
		"occurredAt ": func(n *persons.NewCompletion) { n.OccurredAt = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
		"details":     func(n *persons.NewCompletion) { n.Details = json.RawMessage(`[1]`) },
		"details ":    func(n *persons.NewCompletion) { n.Details = json.RawMessage(`{"a":"\u0000"}`) },
		"details  ":   func(n *persons.NewCompletion) { n.Details = json.RawMessage(`{"a":1e999}`) },
		"details   ": func(n *persons.NewCompletion) {
			n.Details = json.RawMessage(`{"a":"` + strings.Repeat("x", 4096) + `"}`)
		},
		"details    ": func(n *persons.NewCompletion) { n.Details = json.RawMessage(`null`) },
	} {
		bad := good
		change(&bad)
		var v *tenancy.ValidationError
		_, err := b.persons.CompleteMany(b.A.WorkspaceCtx, []persons.NewCompletion{good, bad})
		require.ErrorAs(t, err, &v, field)
		require.Len(t, v.Fields, 1)
		require.Equal(t, "completions[1]."+strings.TrimSpace(field), v.Fields[0].Field)
	}
	_, err := b.persons.CompleteMany(b.A.WorkspaceCtx, make([]persons.NewCompletion, persons.MaxCompletions+1))
	require.ErrorContains(t, err, "at most 1000")
	require.Equal(t, []int64{0}, look[int64](t, b, `SELECT count(*) FROM strata.person_completions`))

	// What is allowed is kept as it was said.
	good.Key, good.Details = strings.Repeat("ä", 200), json.RawMessage(`{"n":12345678901234567890,"text":"\\u0000 \ud800"}`)
	c, err := b.persons.Complete(b.A.WorkspaceCtx, good)
	require.NoError(t, err)
	require.JSONEq(t, `{"n":12345678901234567890,"text":"\\u0000 `+"\ufffd"+`"}`, string(c.Details))
	require.Contains(t, string(c.Details), "12345678901234567890")
	require.ErrorIs(t, b.persons.Withdraw(b.A.WorkspaceCtx, ref, fireSafety), persons.ErrNotCompleted)
	for _, q := range []persons.CreditQuery{{}, {Recipient: ref, Person: tenancy.NewID[recipients.Person]()}, {Recipient: ref, Product: "x y"}, {Recipient: ref, PageSize: 501}} {
		_, err = b.persons.Credits(b.A.WorkspaceCtx, q)
		require.ErrorAs(t, err, new(*tenancy.ValidationError))
	}
	_, err = b.persons.Credits(b.A.WorkspaceCtx, persons.CreditQuery{Recipient: ref, Cursor: "x"})
	require.ErrorIs(t, err, tenancy.ErrInvalidCursor)
}

// Sixteen at once say the same, over and over: it is there once, and credited once.
func TestSixteenCompleteAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx, refs := b.A.WorkspaceCtx, b.addMany(b.A.Ctx, t, 4)
	b.link(ctx, t, refs...)
	got := make([]persons.Completion, 16)
	var g errgroup.Group
	for i := range got {
		g.Go(func() (err error) {
			got[i], err = b.persons.Complete(ctx, has(refs[0], fireSafety))
			return err
		})
	}
	require.NoError(t, g.Wait())
	for _, c := range got {
		require.Equal(t, got[0], c)
	}
	require.Equal(t, []int64{3}, look[int64](t, b, `SELECT count(*) FROM strata.person_credits`))
	require.Equal(t, []int64{1}, look[int64](t, b, `SELECT count(*) FROM strata.audit_entries WHERE action = 'recipient.completed'`))
	b.requireSound(t)
}

// What was completed before a link is credited by it, and what a link gave ends with it.
func TestLinkedLaterAndUnlinked(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx, refs := b.A.WorkspaceCtx, b.addMany(b.A.Ctx, t, 4)
	b.complete(ctx, t, refs[0])
	require.Equal(t, []int64{0}, look[int64](t, b, `SELECT count(*) FROM strata.person_credits`))
	b.link(ctx, t, refs[1], refs[2])
	b.requireSound(t)
	b.link(ctx, t, refs[0], refs[1])
	require.Equal(t, [][]string{{""}, {""}}, [][]string{b.reasons(t, refs[1]), b.reasons(t, refs[2])}, "also one that was there before")
	b.link(ctx, t, refs[3], refs[2])
	require.Equal(t, []string{""}, b.reasons(t, refs[3]))
	require.NoError(t, b.persons.Unlink(ctx, refs[3]))
	require.Equal(t, []string{"unlinked"}, b.reasons(t, refs[3]))
	b.requireSound(t)
	require.NoError(t, b.persons.Unlink(ctx, refs[0]))
	require.Equal(t, [][]string{{"unlinked"}, {"unlinked"}}, [][]string{b.reasons(t, refs[1]), b.reasons(t, refs[2])})
	b.link(ctx, t, refs[0], refs[1])
	require.Equal(t, []string{"unlinked", ""}, b.reasons(t, refs[1]), "the history stays")
	b.requireSound(t)
}

func TestMergeCreditsAndUndoRevokes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx, refs := b.A.WorkspaceCtx, b.addMany(b.A.Ctx, t, 4)
	first, second := b.link(ctx, t, refs[:2]...), b.link(ctx, t, refs[2:]...)
	b.complete(ctx, t, refs[0])
	_, err := b.persons.Merge(ctx, second, first)
	require.NoError(t, err)
	for _, ref := range refs[1:] {
		require.Equal(t, []string{""}, b.reasons(t, ref))
	}
	b.requireSound(t)
	require.NoError(t, b.persons.UndoMerge(ctx, first))
	require.Equal(t, [][]string{{""}, {"unlinked"}, {"unlinked"}}, [][]string{b.reasons(t, refs[1]), b.reasons(t, refs[2]), b.reasons(t, refs[3])})
	b.requireSound(t)
}

// A credit is there for a deleted recipient that comes back, and stays when the one that it is
// from is purged.
func TestCreditsOfWhatIsDeletedAndPurged(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx, refs := b.A.WorkspaceCtx, b.addMany(b.A.Ctx, t, 3)
	b.link(ctx, t, refs...)
	require.NoError(t, b.recipients.Delete(b.A.Ctx, refs[1].RecipientID))
	b.complete(ctx, t, refs[0])
	_, err := b.persons.Credits(ctx, persons.CreditQuery{Recipient: refs[1]})
	require.ErrorIs(t, err, recipients.ErrNotFound)
	_, err = b.persons.Complete(ctx, has(refs[1], fireSafety))
	require.ErrorIs(t, err, recipients.ErrNotFound)
	_, err = b.recipients.Restore(b.A.Ctx, refs[1].RecipientID)
	require.NoError(t, err)
	require.Len(t, b.creditsOf(ctx, t, refs[1]), 1)

	require.NoError(t, b.recipients.Purge(b.A.Ctx, []recipients.ID{refs[0].RecipientID}))
	_, err = b.persons.Sweep(t.Context())
	require.NoError(t, err)
	b.requireSound(t)
	got := b.creditsOf(b.A.CompanyCtx, t, refs[1])
	require.Len(t, got, 1)
	require.Nil(t, got[0].RevokedAt)
	require.Nil(t, got[0].Source)
	require.NoError(t, b.persons.Unlink(ctx, refs[2]))
	require.Equal(t, []string{""}, b.reasons(t, refs[1]), "nobody has said that it was wrong")
	require.NoError(t, b.recipients.Purge(b.A.Ctx, []recipients.ID{refs[1].RecipientID}))
	require.Equal(t, []int64{1}, look[int64](t, b, `SELECT count(*) FROM strata.person_credits`), "those of the other one")
}

// In the caller's transaction all is undone with it, and an error harms nothing else.
func TestCompleteInACallersTransaction(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx, refs := b.A.WorkspaceCtx, b.addMany(b.A.Ctx, t, 2)
	b.link(ctx, t, refs...)
	undone := errors.New("undone")
	require.ErrorIs(t, b.DB.InTx(b.A.Ctx, func(tx *tenancy.Tx) error {
		_, err := b.persons.CompleteTx(b.A.Ctx, tx, has(refs[0], fireSafety))
		require.NoError(t, err)
		return undone
	}), undone)
	require.Empty(t, b.creditsOf(ctx, t, refs[1]))
	require.NoError(t, b.DB.InTx(b.A.Ctx, func(tx *tenancy.Tx) error {
		_, err := b.persons.CompleteManyTx(b.A.Ctx, tx, []persons.NewCompletion{has(refs[0], fireSafety)})
		require.NoError(t, err)
		require.ErrorIs(t, b.persons.WithdrawTx(b.A.Ctx, tx, refs[1], fireSafety), persons.ErrNotCompleted)
		require.NoError(t, b.persons.WithdrawTx(b.A.Ctx, tx, refs[0], fireSafety))
		return b.Audit.RecordTx(b.A.Ctx, tx, audit.Entry{Action: "test.done"})
	}))
	require.Equal(t, []string{"withdrawn"}, b.reasons(t, refs[1]))
	b.requireSound(t)
}

// A product that reads on from its cursor sees every change of its domain's credits, once,
// while others complete, withdraw, link and unlink.
func TestReadingOn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	other := b.Domain(t, b.A, "other.example")
	here, there := b.addMany(b.A.Ctx, t, 3), b.addMany(other, t, 3)
	ctx := b.A.WorkspaceCtx
	for i := range here {
		b.link(ctx, t, here[i], there[i])
	}
	const rounds = 12
	var g errgroup.Group
	for user := range 3 {
		g.Go(func() error {
			for round := range rounds {
				topic := persons.Topic{Product: "training", Key: fmt.Sprintf("course:%d", round)}
				if _, err := b.persons.Complete(ctx, has(there[user], topic)); err != nil {
					return err
				}
				if round%2 == 0 {
					if err := b.persons.Withdraw(ctx, there[user], topic); err != nil {
						return err
					}
				}
			}
			return nil
		})
	}
	writing := make(chan error, 1)
	go func() { writing <- g.Wait() }()
	state := map[persons.CreditID]persons.Credit{} // what a product has made of it
	cursor, over := "", false
	for {
		page, err := b.persons.CreditsSince(b.A.Ctx, persons.CreditsSinceQuery{Product: "training", Cursor: cursor, PageSize: 5})
		require.NoError(t, err)
		for _, c := range page.Items {
			require.NotEqual(t, c, state[c.ID], "the same twice")
			state[c.ID] = c
		}
		if cursor = page.NextCursor; page.HasMore {
			continue
		}
		if over {
			break
		}
		select {
		case err := <-writing:
			require.NoError(t, err)
			over = true
		default:
		}
	}
	counts := 0
	for _, c := range state {
		if c.RevokedAt == nil {
			counts++
		}
	}
	require.Equal(t, 3*rounds, len(state))
	require.Equal(t, 3*rounds/2, counts)
	b.requireSound(t)

	page, err := b.persons.CreditsSince(b.A.Ctx, persons.CreditsSinceQuery{Cursor: cursor})
	require.NoError(t, err)
	require.Empty(t, page.Items)
	require.Equal(t, cursor, page.NextCursor)
	page, err = b.persons.CreditsSince(b.A.Ctx, persons.CreditsSinceQuery{Product: "other"})
	require.NoError(t, err)
	require.Empty(t, page.Items)
	for _, bad := range []string{"x", "-1", "99999999999999999999"} {
		_, err = b.persons.CreditsSince(b.A.Ctx, persons.CreditsSinceQuery{Cursor: bad})
		require.ErrorIs(t, err, tenancy.ErrInvalidCursor)
	}
	_, err = b.persons.CreditsSince(ctx, persons.CreditsSinceQuery{})
	require.ErrorAs(t, err, new(*tenancy.LevelError))
}
