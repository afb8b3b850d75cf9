package main

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/customfields/filter"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
)

// indexed are the fields that have an index of their own when filters and orders are measured.
var indexed = map[string]customfields.Type{
	"seats": customfields.Number, "signed_up": customfields.Date, "city": customfields.Text, "code": customfields.Text, "plan": customfields.Select,
}

// text is the expression by which texts are compared: what an index is over.
func text(key string) string {
	return `left((CASE WHEN jsonb_typeof(custom_fields->'` + key + `') = 'string' THEN custom_fields->>'` + key + `' END) COLLATE "C", 255)`
}

// fieldQuestions ask one thing each.
func fieldQuestions() []question {
	return []question{
		{`fields.seats == 250`, `custom_fields->'seats' = '250'`},
		{`fields.seats in [1, 2, 3]`, `custom_fields->'seats' = ANY('{1,2,3}'::jsonb[])`},
		{`hasAny(fields.tags, ["beta", "trial"])`, `custom_fields @> ANY(ARRAY['{"tags":["beta"]}','{"tags":["trial"]}']::jsonb[])`},
		{`"beta" in fields.tags`, `custom_fields @> '{"tags":["beta"]}'`},
		{`fields.seats > 495`, `custom_fields->'seats' > '495' AND custom_fields->'seats' < 'false'`},
		{
			`between(fields.signed_up, date("2024-01-01"), date("2024-01-31"))`,
			text("signed_up") + ` BETWEEN '2024-01-01T00:00:00.000000Z' AND '2024-01-31T00:00:00.000000Z'`,
		},
		{`fields.code.startsWith("C-ab")`, `starts_with(` + text("code") + `, 'C-ab')`},
		{
			`fields.plan == "business" && "vip" in fields.tags && fields.seats > 480`,
			`custom_fields @> '{"plan":"business","tags":["vip"]}' AND custom_fields->'seats' > '480' AND custom_fields->'seats' < 'false'`,
		},
		{`fields.plan != "free"`, `NOT custom_fields @> '{"plan":"free"}'`},
		{`!has(fields.city)`, `custom_fields->'city' IS NULL`},
	}
}

// measureFields measures filters and orders by fields that have an index of their own. The
// SQL by hand runs as Strata's does: as the runtime role, with row-level security, planned
// for its values.
func measureFields(ctx context.Context, w *world, o options) ([]row, error) {
	ctx, t, err := fill(ctx, w, o.filterRows)
	if err != nil {
		return nil, err
	}
	for slot, kind := range indexed {
		if err := w.strata.Indexes.Create(ctx, w.strata.DB.Schema(), "recipients", slot, kind); err != nil {
			return nil, err
		}
	}
	if err := w.exec(ctx, `VACUUM (ANALYZE) strata.recipients`, `CHECKPOINT`); err != nil {
		return nil, err
	}
	b := &fieldBench{world: w, options: o, domain: t.DomainID}
	var table []row
	for _, q := range fieldQuestions() {
		r, err := b.count(ctx, q)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", q.cel, err)
		}
		table = append(table, r)
	}
	for _, s := range sorts() {
		r, err := b.sort(ctx, s)
		if err != nil {
			return nil, fmt.Errorf("sort %s: %w", s.query.Sort, err)
		}
		table = append(table, r)
	}
	compiled, err := measureCompiling(ctx, w)
	return append(table, compiled...), err
}

type fieldBench struct {
	*world
	options

	domain tenancy.DomainID
}

// budget is that of compiled filters.
const budget = "1.1 x"

func (b *fieldBench) count(ctx context.Context, q question) (row, error) {
	byHand := `SELECT count(*) FROM strata.recipients r WHERE domain_id = $1 AND deleted_at IS NULL AND ` + q.sql
	plan, err := b.explain(ctx, q.cel, byHand)
	if err != nil {
		return row{}, err
	}
	var counted, want int64
	s, f, err := compare(ctx, 7*b.repeat,
		timed(func(ctx context.Context) (err error) {
			counted, err = b.strata.Recipients.Count(ctx, q.cel)
			return err
		}),
		timed(func(ctx context.Context) (err error) {
			want, err = b.one(ctx, byHand)
			return err
		}))
	if err == nil && counted != want {
		err = fmt.Errorf("%d match, by hand %d", counted, want)
	}
	return row{work: "count  " + q.cel, strata: s, floor: f, budget: budget, note: fmt.Sprintf("%d match; %s", counted, plan)}, err
}

// one reads one number as the runtime role.
func (b *fieldBench) one(ctx context.Context, q string) (n int64, err error) {
	err = b.strata.DB.ReadTrusted(ctx, q, []any{b.domain}, func(rows pgx.Rows) (err error) {
		n, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[int64])
		return err
	})
	return n, err
}

var indexName = regexp.MustCompile(`(?:using|Index Scan on|Index Scan Backward using) "?(recipients_\w+)`)

// explain returns the indexes that the plan of a filter uses. With -plans it prints it, and
// that of the SQL by hand.
func (b *fieldBench) explain(ctx context.Context, cel, byHand string) (string, error) {
	set, err := b.strata.Fields.Set(ctx)
	if err != nil {
		return "", err
	}
	f, err := filter.Compile(filter.Schema{Fields: set, Columns: recipients.Columns()}, cel)
	if err != nil {
		return "", err
	}
	sql, args := f.SQL(filter.Options{First: 2, Ready: b.strata.Indexes.Recipients().Ready(ctx)})
	ours, err := b.plan(ctx, `SELECT count(*) FROM strata.recipients r WHERE r.domain_id = $1 AND r.deleted_at IS NULL AND `+sql, append([]any{b.domain}, args...))
	if err != nil {
		return "", err
	}
	theirs, err := b.plan(ctx, byHand, []any{b.domain})
	if err != nil {
		return "", err
	}
	if b.plans {
		fmt.Fprintf(os.Stderr, "\n%s\n%s\n\nby hand\n%s\n", cel, ours, theirs)
	}
	return indexesOf(ours), nil
}

func (b *fieldBench) plan(ctx context.Context, q string, args []any) (string, error) {
	var lines []string
	err := b.strata.DB.ReadTrusted(ctx, `EXPLAIN (ANALYZE, TIMING OFF, SUMMARY OFF) `+q, args, func(rows pgx.Rows) (err error) {
		lines, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	return strings.Join(lines, "\n"), err
}

func indexesOf(plan string) string {
	var names []string
	for _, m := range indexName.FindAllStringSubmatch(plan, -1) {
		if !slices.Contains(names, m[1]) {
			names = append(names, m[1])
		}
	}
	if len(names) == 0 {
		return "no index"
	}
	return strings.Join(names, ", ")
}

// sorting is a page in the order of a field, and by hand its condition and order.
type sorting struct {
	query recipients.Query
	where string
	order string
}

func sorts() []sorting {
	page := tenancy.PageRequest{PageSize: 50}
	number := ` AND custom_fields->'seats' >= '-1e400' AND custom_fields->'seats' < 'false'`
	return []sorting{
		{recipients.Query{Sort: "fields.seats", PageRequest: page}, number, `custom_fields->'seats', id`},
		{recipients.Query{Sort: "-fields.plan", PageRequest: page}, ` AND ` + text("plan") + ` IS NOT NULL`, text("plan") + ` DESC, id DESC`},
		{
			recipients.Query{Sort: "-fields.seats", Filter: `"beta" in fields.tags`, PageRequest: page},
			number + ` AND custom_fields @> '{"tags":["beta"]}'`, `custom_fields->'seats' DESC, id DESC`,
		},
	}
}

// sort compares the second page by its cursor, which nothing is counted for.
func (b *fieldBench) sort(ctx context.Context, s sorting) (row, error) {
	first, err := b.strata.Recipients.List(ctx, s.query)
	if err != nil {
		return row{}, err
	}
	byHand := `SELECT id, email, name, status, custom_fields, person_id, version, created_at, updated_at FROM strata.recipients
		WHERE domain_id = $1 AND deleted_at IS NULL` + s.where + ` ORDER BY ` + s.order + ` OFFSET 50 LIMIT 50`
	plan, err := b.plan(ctx, byHand, []any{b.domain})
	if err != nil {
		return row{}, err
	}
	if b.plans {
		fmt.Fprintf(os.Stderr, "\nby hand, sorted %s\n%s\n", s.query.Sort, plan)
	}
	next := s.query
	next.Cursor = first.NextCursor
	var ours []recipients.Recipient
	var ids []recipients.ID
	mine, floor, err := compare(ctx, 7*b.repeat,
		timed(func(ctx context.Context) error {
			p, err := b.strata.Recipients.List(ctx, next)
			ours = p.Items
			return err
		}),
		timed(func(ctx context.Context) error {
			return b.strata.DB.ReadTrusted(ctx, byHand, []any{b.domain}, func(rows pgx.Rows) error {
				all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[handwritten])
				ids = ids[:0]
				for _, r := range all {
					ids = append(ids, r.ID)
				}
				return err
			})
		}))
	if err == nil && !slices.EqualFunc(ours, ids, func(r recipients.Recipient, id recipients.ID) bool { return r.ID == id }) {
		err = fmt.Errorf("the page is another one than by hand")
	}
	return row{work: strings.TrimSpace("page 2 sorted " + s.query.Sort + " " + s.query.Filter), strata: mine, floor: floor, budget: budget, note: indexesOf(plan)}, err
}

// handwritten is what somebody who writes SQL by hand reads a recipient into.
type handwritten struct {
	ID                   recipients.ID
	Email, Name, Status  string
	CustomFields         map[string]any
	PersonID             *tenancy.ID[recipients.Person]
	Version              int64
	CreatedAt, UpdatedAt time.Time
}

// measureCompiling times what is done for every filter before any SQL runs, and for every
// record that is matched in process.
func measureCompiling(ctx context.Context, w *world) ([]row, error) {
	set, err := w.strata.Fields.Set(ctx)
	if err != nil {
		return nil, err
	}
	schema := filter.Schema{Fields: set, Columns: recipients.Columns()}
	const usual = `status == "active" && fields.plan == "business" && fields.seats > 50 && "vip" in fields.tags`
	compiler, err := filter.NewCompiler(schema, nil)
	if err != nil {
		return nil, err
	}
	f, err := filter.Compile(schema, usual)
	if err != nil {
		return nil, err
	}
	record := filter.Record{Columns: map[string]any{"status": "active"}, Fields: map[string]any{"plan": "business", "seats": 51.0, "tags": []string{"beta", "vip"}}}
	at := time.Now()
	var table []row
	for _, m := range []struct {
		work, budget string
		fn           func() error
	}{
		{"filter compiled cold", "1 ms", func() error { _, err := filter.Compile(schema, usual); return err }},
		{"filter compiled before", "5 µs", func() error { _, err := compiler.Compile(filter.Scope{Fields: set}, usual); return err }},
		{"record matched in process", "2 µs", func() error {
			if !f.Match(record, at) {
				return fmt.Errorf("no match")
			}
			return nil
		}},
	} {
		var r testing.BenchmarkResult
		if r, err = perCall(m.fn); err != nil {
			return nil, err
		}
		table = append(table, row{work: m.work, strata: time.Duration(r.NsPerOp()), budget: m.budget, note: fmt.Sprintf("%d allocations", r.AllocsPerOp())})
	}
	return table, nil
}
