package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/uptrace/bun"

	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
)

// pageOf is one page of a list, and the SQL that somebody who knows the table and the data
// would write for it.
type pageOf struct {
	work  string
	query recipients.Query
	where string // further conditions
	deep  bool   // the last page of the domain
	next  bool   // the same page by a cursor
	with  bool   // with the rows of both products
}

// mail and course are what two products add to recipients.
type mail struct {
	bun.BaseModel `bun:"table:bench.mail"`
	recipients.Enrollment

	SubscriptionStatus string `bun:"subscription_status" strata:"filterable"`
}

type course struct {
	bun.BaseModel `bun:"table:bench.courses"`
	recipients.Enrollment

	Progress int `bun:"progress" strata:"filterable"`
}

func extend() (*recipients.Registry, error) {
	r := recipients.NewRegistry()
	_, err := recipients.Register(r, recipients.Extension[mail]{Name: "mail"})
	if err == nil {
		_, err = recipients.Register(r, recipients.Extension[course]{Name: "course"})
	}
	return r, err
}

// enrollSQL gives six tenths of all recipients a row of one product, and three tenths one of the
// other.
var enrollSQL = []string{
	`INSERT INTO bench.mail (domain_id, recipient_id, company_id, workspace_id, version, subscription_status)
		SELECT domain_id, id, company_id, workspace_id, 1, 'subscribed' FROM strata.recipients WHERE mod(hashtext(id::text), 10) BETWEEN -5 AND 5 ORDER BY domain_id, id`,
	`INSERT INTO bench.courses (domain_id, recipient_id, company_id, workspace_id, version, progress)
		SELECT domain_id, id, company_id, workspace_id, 1, 50 FROM strata.recipients WHERE mod(hashtext(id::text), 10) BETWEEN 3 AND 7 ORDER BY domain_id, id`,
	`VACUUM (ANALYZE) bench.mail, bench.courses`, `CHECKPOINT`,
}

// joined is what both products have of the recipients r of a page.
const (
	joinedColumns = `, m.version, m.created_at, m.updated_at, m.subscription_status, c.version, c.created_at, c.updated_at, c.progress`
	joins         = ` LEFT JOIN bench.mail m ON m.domain_id = r.domain_id AND m.recipient_id = r.id LEFT JOIN bench.courses c ON c.domain_id = r.domain_id AND c.recipient_id = r.id`
)

// handwrittenJoined is what somebody who writes SQL by hand reads them into.
type handwrittenJoined struct {
	handwritten

	MailVersion                  *int64
	MailCreated, MailUpdated     *time.Time
	SubscriptionStatus           *string
	CourseVersion                *int64
	CourseCreated, CourseUpdated *time.Time
	Progress                     *int
}

const allSeats = ` AND r.custom_fields->'seats' > '0' AND r.custom_fields->'seats' < 'false'`

func pagesOf() []pageOf {
	const filter = `fields.seats > 0` // everybody has one
	search := func(text, needle string) pageOf {
		return pageOf{
			work: "search, " + text, query: recipients.Query{Search: needle},
			where: fmt.Sprintf(` AND (starts_with(r.email_norm, '%s') OR strata.search_text(r.name) LIKE '%%%[1]s%%')`, needle),
		}
	}
	return []pageOf{
		{work: "page 1"},
		{work: "last page", deep: true},
		{work: "last page by its cursor", deep: true, next: true},
		{work: "page 1", query: recipients.Query{Filter: filter}, where: allSeats},
		{work: "last page", query: recipients.Query{Filter: filter}, where: allSeats, deep: true},
		{work: "last page by its cursor", query: recipients.Query{Filter: filter}, where: allSeats, deep: true, next: true},
		{work: "page 1 with two joins", query: recipients.Query{Filter: filter}, where: allSeats, with: true},
		{work: "last page with two joins", query: recipients.Query{Filter: filter}, where: allSeats, deep: true, with: true},
		{work: "last page with two joins by its cursor", query: recipients.Query{Filter: filter}, where: allSeats, deep: true, next: true, with: true},
		search("one finds", "name 12345"),
		search("all find", "name"),
		search("nobody finds", "absent"),
	}
}

// measureRecipients measures pages of a list, with their totals up to 10,001 where they are
// asked for by number. The SQL by hand runs as in measureFields.
func measureRecipients(ctx context.Context, w *world, o options) ([]row, error) {
	ctx, t, err := fill(ctx, w, o.filterRows)
	if err != nil {
		return nil, err
	}
	if err := w.exec(ctx, enrollSQL...); err != nil {
		return nil, err
	}
	b := &pageBench{world: w, options: o, domain: t.DomainID}
	if b.rows, err = w.strata.Recipients.Count(ctx, ""); err != nil {
		return nil, err
	}
	var table []row
	for _, p := range pagesOf() {
		r, err := b.measure(ctx, p)
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", p.work, p.query.Filter, err)
		}
		table = append(table, r)
	}
	return table, nil
}

type pageBench struct {
	*world
	options

	domain tenancy.DomainID
	rows   int64 // of the domain
}

const pageSize = 50

func (b *pageBench) measure(ctx context.Context, p pageOf) (row, error) {
	q := p.query
	q.PageRequest = tenancy.PageRequest{Page: 1, PageSize: pageSize}
	conditions := `r.domain_id = $1 AND r.deleted_at IS NULL` + p.where
	counting := fmt.Sprintf(`SELECT count(*) FROM (SELECT FROM strata.recipients r WHERE %s LIMIT 10001) t`, conditions)
	args := []any{b.domain}
	from, end := `strata.recipients r WHERE `+conditions, fmt.Sprintf(` ORDER BY r.id LIMIT %d`, pageSize)
	if p.deep {
		q.Page = int(b.rows / pageSize)
		skipped := fmt.Sprintf(`(SELECT r.id FROM %s ORDER BY r.id LIMIT %d OFFSET %d) page`, from, pageSize, (q.Page-1)*pageSize)
		from, end = skipped+` JOIN strata.recipients r ON r.domain_id = $1 AND r.id = page.id`, ` ORDER BY r.id`
	}
	if p.next {
		before := q
		before.Page--
		page, err := b.strata.Recipients.List(ctx, before)
		if err != nil {
			return row{}, err
		}
		q.PageRequest = tenancy.PageRequest{PageSize: pageSize, Cursor: page.NextCursor}
		args = append(args, page.Items[len(page.Items)-1].ID)
		from, end = `strata.recipients r WHERE `+conditions+` AND r.id > $2`, fmt.Sprintf(` ORDER BY r.id LIMIT %d`, pageSize)
		counting = ""
	}
	columns := ""
	if p.with {
		q.With = []string{"mail", "course"}
		if columns = joinedColumns; p.deep && !p.next {
			from += joins
		} else { // the rows of the page are joined
			from, end = `(SELECT r.* FROM `+from+end+`) r`+joins, ` ORDER BY r.id`
		}
	}
	byHand := `SELECT r.id, r.email, r.name, r.status, r.custom_fields, r.person_id, r.version, r.created_at, r.updated_at` + columns + ` FROM ` + from + end
	plan, err := (&fieldBench{world: b.world}).plan(ctx, byHand, args)
	if err != nil {
		return row{}, err
	}
	if b.plans {
		fmt.Fprintf(os.Stderr, "\nby hand, %s %s\n%s\n", p.work, q.Filter, plan)
	}
	var ours []recipients.Recipient
	var theirs []handwritten
	mine, floor, err := compare(ctx, 7*b.repeat,
		timed(func(ctx context.Context) error {
			page, err := b.strata.Recipients.List(ctx, q)
			ours = page.Items
			return err
		}),
		timed(func(ctx context.Context) (err error) {
			theirs, err = b.byHand(ctx, counting, byHand, args, p.with)
			return err
		}))
	if err == nil && !slices.EqualFunc(ours, theirs, func(r recipients.Recipient, h handwritten) bool { return r.ID == h.ID }) {
		err = fmt.Errorf("the page is another one than by hand")
	}
	work := p.work
	if q.Filter != "" {
		work += "  " + q.Filter
	}
	if q.Search != "" {
		work += "  " + q.Search
	}
	return row{work: work, strata: mine, floor: floor, budget: budget, note: fmt.Sprintf("%d of %d; %s", len(ours), b.rows, indexesOf(plan))}, err
}

func (b *pageBench) byHand(ctx context.Context, counting, page string, args []any, with bool) (out []handwritten, err error) {
	if counting != "" {
		err = b.strata.DB.ReadTrusted(ctx, counting, args, func(rows pgx.Rows) error {
			_, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[int64])
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	err = b.strata.DB.ReadTrusted(ctx, page, args, func(rows pgx.Rows) (err error) {
		if !with {
			out, err = pgx.CollectRows(rows, pgx.RowToStructByPos[handwritten])
			return err
		}
		all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[handwrittenJoined])
		for _, r := range all {
			out = append(out, r.handwritten)
		}
		return err
	})
	return out, err
}
