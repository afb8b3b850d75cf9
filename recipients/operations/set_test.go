package operations_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/customfields/filter"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/recipients/operations"
)

type values = map[string]any

func TestSet(t *testing.T) {
	t.Parallel()
	w := open(t, nil)
	ctx := w.A.Ctx
	plain := w.create(t, ctx, 1, recipients.New{Email: "plain"})[0]
	full := w.create(t, ctx, 1, recipients.New{Email: "full", Name: "Full", CustomFields: values{"tier": "silver", "tags": []string{"new", "trial"}, "visits": 2.5, "note": "x"}})[0]
	args := operations.SetArgs{
		Set: values{"name": " Both ", "status": "Inactive", "statusReason": "asked", "fields.tier": "gold", "fields.note": nil},
		Add: map[string][]string{"fields.tags": {"vip", "new"}}, Remove: map[string][]string{"fields.tags": {"trial"}},
		Increment: map[string]float64{"fields.visits": 1},
	}
	res := w.do(t, ctx, operations.Set, args, bulk.Selection{All: true})
	require.Equal(t, bulk.Result{Status: bulk.StateCompleted, Rows: 2, Changed: 2}, res)
	for id, want := range map[recipients.ID]values{
		plain: {"tier": "gold", "tags": []any{"new", "vip"}, "visits": 1.0},
		full:  {"tier": "gold", "tags": []any{"new", "vip"}, "visits": 3.5},
	} {
		r := w.get(t, ctx, id)
		require.Equal(t, want, r.CustomFields)
		require.Equal(t, []any{"Both", recipients.Inactive, "asked", int64(2)}, []any{r.Name, r.Status, r.StatusReason, r.Version})
		require.WithinDuration(t, time.Now(), *r.StatusChangedAt, time.Minute)
	}
	require.EqualValues(t, 2, w.entries(t, ctx, "recipient.updated"))
	require.EqualValues(t, 1, w.count(t, ctx, `SELECT count(*) FROM strata.audit_entries WHERE action = 'recipient.updated' AND resource_id = $1 AND metadata = '{"fields": ["name", "status", "tags", "tier", "visits"]}'`,
		plain.String()), "what did not differ is not named")

	// What is so already has no new version.
	again := operations.SetArgs{Set: args.Set, Add: args.Add, Remove: args.Remove}
	require.Equal(t, map[string]int64{"unchanged": 2}, numbers(w.do(t, ctx, operations.Set, again, bulk.Selection{All: true})))
	require.EqualValues(t, 2, w.get(t, ctx, plain).Version)
	require.EqualValues(t, 2, w.entries(t, ctx, "recipient.updated"))

	// The last option goes, and with it the value.
	w.do(t, ctx, operations.Set, operations.SetArgs{Remove: map[string][]string{"fields.tags": {"new", "vip"}}}, some(full))
	require.Equal(t, values{"tier": "gold", "visits": 3.5}, w.get(t, ctx, full).CustomFields)

	require.EqualValues(t, 2, w.count(t, ctx, `SELECT sum(n)::bigint FROM strata.recipient_counts WHERE kind = 'status' AND key = 'inactive'`))
}

func TestSetRefusesSingleRows(t *testing.T) {
	t.Parallel()
	w := open(t, nil)
	ctx := w.A.Ctx
	fine := w.create(t, ctx, 3, recipients.New{Email: "fine"})
	bounced := w.create(t, ctx, 1, recipients.New{Email: "bounced", Status: recipients.Bounced})[0]
	much := w.create(t, ctx, 1, recipients.New{Email: "much", CustomFields: values{"visits": 1e15}})[0]
	deleted := w.create(t, ctx, 1, recipients.New{Email: "deleted"})[0]
	require.NoError(t, w.store.Delete(ctx, deleted))
	foreign := w.create(t, w.B.Ctx, 1, recipients.New{Email: "foreign"})[0]

	res := w.do(t, ctx, operations.Set, operations.SetArgs{Set: values{"status": "active", "name": "N"}, Increment: map[string]float64{"fields.visits": 1}},
		some(fine[0], fine[1], bounced, much, deleted, foreign))
	require.Equal(t, map[string]int64{"changed": 2, "failed": 2, "missing": 2}, numbers(res))
	require.Equal(t, map[recipients.ID]string{bounced: "validation_failed", much: "validation_failed"}, codes(res))
	for _, f := range res.Failures {
		require.True(t, strings.Contains(f.Message, "statusReason") || strings.Contains(f.Message, "customFields.visits"), f.Message)
	}
	require.Equal(t, "", w.get(t, w.B.Ctx, foreign).Name)
	require.Equal(t, "", w.get(t, ctx, fine[2]).Name)
	require.Equal(t, recipients.Bounced, w.get(t, ctx, bounced).Status)
	require.EqualValues(t, 2, w.entries(t, ctx, "recipient.updated"))

	// With a reason it goes back.
	res = w.do(t, ctx, operations.Set, operations.SetArgs{Set: values{"status": "active", "statusReason": "the mailbox works again"}}, some(bounced))
	require.Equal(t, map[string]int64{"changed": 1}, numbers(res))
}

func TestSetIsCheckedBeforeAnything(t *testing.T) {
	t.Parallel()
	w := open(t, nil)
	ctx := w.A.Ctx
	w.create(t, ctx, 2, recipients.New{Email: "r", CustomFields: values{"note": "x"}})
	for body, want := range map[string]map[string]string{
		`{}`:                                {"set": "required"},
		`{"set":{"email":"a@example.com"}}`: {"set.email": "not_allowed"},
		`{"set":{"naem":"x","status":7}}`:   {"set.naem": "unknown_field", "set.status": "wrong_type"},
		`{"set":{"status":"gone","fields.tier":"glod","fields.teir":1,"name":"a\nb"}}`: {"set.status": "unknown_status", "set.fields.tier": "unknown_option", "set.fields.teir": "unknown_field", "set.name": "invalid_text"},
		`{"set":{"fields.badge":"x"}}`:                                          {"set.fields.badge": "not_allowed"},
		`{"add":{"fields.tags":["vpi"],"fields.tier":["gold"],"tags":["vip"]}}`: {"add.fields.tags": "unknown_option", "add.fields.tier": "wrong_type", "add.tags": "unknown_field"},
		`{"remove":{"fields.tags":[],"fields.gone":["x"]}}`:                     {"remove.fields.tags": "required", "remove.fields.gone": "unknown_field"},
		`{"increment":{"fields.note":1,"fields.vists":2}}`:                      {"increment.fields.note": "wrong_type", "increment.fields.vists": "unknown_field"},
		`{"set":{"fields.visits":1},"increment":{"fields.visits":1}}`:           {"set.fields.visits": "duplicate"},
		`{"increment":{"fields.visits":"1"}}`:                                   {"increment": "wrong_type"},
		`{"set":{"status":"inactive"},"unset":["note"]}`:                        {"unset": "unknown_field"},
	} {
		_, err := w.ops.Submit(ctx, bulk.Request{Op: operations.Set, Args: json.RawMessage(body), Selection: bulk.Selection{All: true}})
		require.Equal(t, want, fieldCodes(t, err), body)
	}
	_, err := w.ops.Submit(ctx, bulk.Request{Op: operations.Set, Args: operations.SetArgs{Set: values{"name": "N"}}, Selection: bulk.Selection{Filter: `fields.teir == "gold"`}})
	var wrong *filter.Error
	require.ErrorAs(t, err, &wrong)
	require.Zero(t, w.entries(t, ctx, "recipient.updated"))

	// A unique value can be taken away from many.
	require.Equal(t, map[string]int64{"unchanged": 2}, numbers(w.do(t, ctx, operations.Set, operations.SetArgs{Set: values{"fields.badge": nil}}, bulk.Selection{All: true})))
}

// A field that is archived while the run waits: every row says so, and no other is lost.
func TestSetWhoseFieldGoesMeanwhile(t *testing.T) {
	t.Parallel()
	w := open(t, &bulk.OperationsConfig{InlineLimit: 10})
	ctx := w.A.Ctx
	w.create(t, ctx, 700, recipients.New{Email: "r"})
	res, err := w.ops.Submit(ctx, bulk.Request{Op: operations.Set, Args: operations.SetArgs{Set: values{"fields.note": "x"}}, Selection: bulk.Selection{All: true}})
	require.NoError(t, err)
	require.NoError(t, w.fields.Archive(w.A.WorkspaceCtx, "note"))
	w.start(t)
	run := w.finish(t, ctx, res.RunID)
	require.EqualValues(t, 700, run.Counters["failed"])
}

// The filter stops matching because of what is done: each of those that matched is done once.
func TestSetByAFilterThatStopsMatching(t *testing.T) {
	t.Parallel()
	w := open(t, nil)
	ctx := w.A.Ctx
	w.create(t, ctx, 1500, recipients.New{Email: "silver", CustomFields: values{"tier": "silver"}})
	w.create(t, ctx, 20, recipients.New{Email: "gold", CustomFields: values{"tier": "gold"}})
	w.create(t, w.B.Ctx, 20, recipients.New{Email: "b", CustomFields: values{"tier": "silver"}})
	req := bulk.Request{
		Op: operations.Set, Args: operations.SetArgs{Set: values{"fields.tier": "gold"}, Increment: map[string]float64{"fields.visits": 1}},
		Selection: bulk.Selection{Filter: `fields.tier == "silver"`},
	}
	dry := req
	dry.DryRun = true
	res, err := w.ops.Submit(ctx, dry)
	require.NoError(t, err)
	require.EqualValues(t, 1500, res.Rows)
	require.Len(t, res.Sample, 10)

	res, err = w.ops.Submit(ctx, req)
	require.NoError(t, err)
	require.Equal(t, []any{bulk.StateQueued, int64(1500)}, []any{res.Status, res.Rows})
	w.start(t)
	run := w.finish(t, ctx, res.RunID)
	require.Equal(t, map[string]int64{"changed": 1500, "unchanged": 0, "missing": 0, "failed": 0}, run.Counters)
	require.EqualValues(t, 1500, w.count(t, ctx, `SELECT count(*) FROM strata.recipients WHERE custom_fields @> '{"tier": "gold", "visits": 1}' AND version = 2`))
	require.EqualValues(t, 1500, w.entries(t, ctx, "recipient.updated"))
	require.EqualValues(t, 20, w.count(t, w.B.Ctx, `SELECT count(*) FROM strata.recipients WHERE custom_fields @> '{"tier": "silver"}'`))
	require.Equal(t, w.A.Actor.ID, run.RequestedBy)
	require.EqualValues(t, 1500, w.count(t, ctx, `SELECT count(*) FROM strata.audit_entries WHERE action = 'recipient.updated' AND actor_id = $1`, w.A.Actor.ID))
}
