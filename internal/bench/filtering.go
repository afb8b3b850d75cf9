package main

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
)

// question is a filter, and the best SQL that somebody who knows the table, the data and
// the index would write for it.
type question struct{ cel, sql string }

func questions() []question {
	return []question{
		{`fields.plan == "business" && "vip" in fields.tags`, `custom_fields @> '{"plan":"business","tags":["vip"]}'`},
		{`fields.city == "Oslo" && fields.seats == 250.0`, `custom_fields @> '{"city":"Oslo","seats":250}'`},
		{
			`fields.city in ["Oslo", "Lyon"] && fields.signed_up >= timestamp("2024-01-01T00:00:00Z")`,
			`custom_fields @> ANY(ARRAY['{"city":"Oslo"}','{"city":"Lyon"}']::jsonb[]) AND custom_fields->>'signed_up' >= '2024-01-01T00:00:00.000000Z' COLLATE "C"`,
		},
		{`fields.seats > 450.0 && fields.newsletter`, `custom_fields @> '{"newsletter":true}' AND (custom_fields->'seats')::numeric > 450`},
		{`fields.score < 5.0 || fields.plan != "free"`, `((custom_fields->'score')::numeric < 5 OR NOT custom_fields @> '{"plan":"free"}')`},
		{`email.endsWith("@mail07.example") && !has(fields.city)`, `email_norm LIKE '%@mail07.example' AND custom_fields->'city' IS NULL`},
	}
}

// fillSQL makes recipients like those of the generated files, most of whose values come
// from the number of the row: the same table every time. $5 is where the numbers begin.
const fillSQL = `
	INSERT INTO strata.recipients (domain_id, id, company_id, workspace_id, email, email_norm, name, custom_fields)
	SELECT $1::uuid, (lpad(to_hex(1790000000000 + i), 12, '0') || '7' || substr(h, 1, 3) || '8' || substr(h, 4, 15))::uuid, $2::uuid, $3::uuid,
		email, email, 'Name ' || i, jsonb_strip_nulls(jsonb_build_object(
			'plan', (ARRAY['free','team','business'])[1 + n % 3], 'seats', 1 + n / 3 % 500, 'score', (n / 7 % 10000)::numeric / 100,
			'signed_up', (2015 + n / 11 % 10)::text || '-' || lpad((1 + n / 13 % 12)::text, 2, '0') || '-' || lpad((1 + n / 17 % 28)::text, 2, '0') || 'T00:00:00.000000Z',
			'newsletter', n / 19 % 2 = 0, 'tags', CASE n / 23 % 4 WHEN 0 THEN '["vip"]' WHEN 1 THEN '["beta","vip"]' WHEN 2 THEN '["partner"]' ELSE '["trial"]' END::jsonb,
			'city', (ARRAY['Lisbon','Oslo','Vienna','Lyon','Turin','Gdansk','Porto','Ghent','Graz',NULL])[1 + n / 29 % 10], 'code', 'C-' || substr(h, 20, 8)))
	FROM (SELECT i, md5(i::text) AS h, ('x' || substr(md5(i::text), 1, 7))::bit(28)::int AS n,
			'user' || substr(md5(i::text), 8, 6) || i || '@mail' || lpad((i % 40)::text, 2, '0') || '.example' AS email
		FROM generate_series($5::int, $5::int + $4::int - 1) i) s`

// smallDomains share six tenths of the table that is filtered.
const smallDomains = 60

// fill makes a table of n recipients and returns a context in the domain that has four
// tenths of them; small ones share the rest.
func fill(ctx context.Context, w *world, n int) (context.Context, tenancy.Tenant, error) {
	if err := w.exec(ctx, `TRUNCATE strata.recipients, strata.recipient_counts CASCADE`); err != nil {
		return nil, tenancy.Tenant{}, err
	}
	var first context.Context
	var in tenancy.Tenant
	for i := range 1 + smallDomains {
		domain, t, err := w.company(ctx)
		if err != nil {
			return nil, t, err
		}
		rows := n * 6 / 10 / smallDomains
		if i == 0 {
			first, in, rows = domain, t, n-smallDomains*rows
		}
		if _, err := w.pool.Exec(ctx, fillSQL, t.DomainID, t.CompanyID, t.WorkspaceID, rows, i*n); err != nil {
			return nil, t, err
		}
	}
	return first, in, w.exec(ctx, `VACUUM (ANALYZE) strata.recipients`, `CHECKPOINT`)
}

// measureFilters compares the exact count and the first page of a filter with SQL by
// hand, which runs as the login, past row-level security, in one statement.
func measureFilters(ctx context.Context, w *world, o options) ([]row, error) {
	ctx, t, err := fill(ctx, w, o.filterRows)
	if err != nil {
		return nil, err
	}
	var table []row
	for _, q := range questions() {
		var counted, want int64
		s, f, err := compare(ctx, 5*o.repeat,
			timed(func(ctx context.Context) (err error) {
				counted, err = w.strata.Recipients.Count(ctx, q.cel)
				return err
			}),
			timed(func(ctx context.Context) error {
				return w.pool.QueryRow(ctx, `SELECT count(*) FROM strata.recipients WHERE domain_id = $1 AND deleted_at IS NULL AND `+q.sql, pgx.QueryExecModeExec, t.DomainID).Scan(&want)
			}))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", q.cel, err)
		}
		if counted != want {
			return nil, fmt.Errorf("%s: %d match, by hand %d", q.cel, counted, want)
		}
		table = append(table, row{work: "count  " + q.cel, strata: s, floor: f, budget: "1.2 x", note: fmt.Sprintf("%d of %d match", counted, o.filterRows)})
	}
	for _, q := range questions() {
		page := recipients.Query{Filter: q.cel, PageRequest: tenancy.PageRequest{PageSize: 50}}
		s, f, err := compare(ctx, 5*o.repeat,
			timed(func(ctx context.Context) error {
				_, err := w.strata.Recipients.List(ctx, page)
				return err
			}),
			func(ctx context.Context) (time.Duration, error) { return pageFloor(ctx, w, t, q) })
		if err != nil {
			return nil, fmt.Errorf("%s: %w", q.cel, err)
		}
		table = append(table, row{work: "page of 50, with the total up to 10,001  " + q.cel, strata: s, floor: f, budget: "1.2 x"})
	}
	return table, nil
}

// pageFloor reads a page and its capped total.
func pageFloor(ctx context.Context, w *world, t tenancy.Tenant, q question) (time.Duration, error) {
	start := time.Now()
	var total int64
	err := w.pool.QueryRow(ctx, `SELECT count(*) FROM (SELECT FROM strata.recipients WHERE domain_id = $1 AND deleted_at IS NULL AND `+q.sql+` LIMIT 10001) t`,
		pgx.QueryExecModeExec, t.DomainID).Scan(&total)
	if err != nil {
		return 0, err
	}
	rows, err := w.pool.Query(ctx, `SELECT id, email, name, status, custom_fields, version, created_at, updated_at FROM strata.recipients
		WHERE domain_id = $1 AND deleted_at IS NULL AND `+q.sql+` ORDER BY id LIMIT 50`, pgx.QueryExecModeExec, t.DomainID)
	if err != nil {
		return 0, err
	}
	_, err = pgx.CollectRows(rows, pgx.RowToMap)
	return time.Since(start), err
}
