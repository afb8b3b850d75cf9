package filter_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/customfields/filter"
)

// The three answers that a filter has for a row, and the two that are defects of its own.
const (
	yes     = "true"
	no      = "false"
	unknown = "unknown"
	both    = "both true and false"
)

// chunk is how many filters one statement asks about.
const chunk = 20

// differ compares filters on rows that it has both in a database and in memory.
type differ struct {
	schema filter.Schema
	rows   []proofRow
	pool   *pgxpool.Pool
	at     time.Time
	ready  func(slot string, t customfields.Type) bool
}

// in is d at another time, in another zone, and with other indexes, which must not matter.
func (d *differ) in(n uint64) *differ {
	out := *d
	zones := []string{"UTC", "UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"}
	out.schema.Location = must(time.LoadLocation(zones[n%uint64(len(zones))]))
	clocks := []time.Time{instant, instant, instant, at("2023-02-28T23:30:00Z"), at("2023-03-01T04:30:00.000001Z"), at("2024-10-27T00:30:00Z"), at("2024-12-31T23:59:59.999999Z")}
	out.at = clocks[n%uint64(len(clocks))]
	if n%2 == 1 {
		out.ready = func(string, customfields.Type) bool { return true }
	}
	return &out
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func newDiffer(t testing.TB) *differ {
	t.Helper()
	d := &differ{schema: proofSchema(t), rows: proofRows(t, rand.New(rand.NewPCG(11, 13)), 200)}
	d.pool = loadRows(t, d.rows)
	return d
}

// The session of whoever asks must not matter.
const hostileSession = `SET LOCAL jit = off; SET LOCAL TimeZone = 'Pacific/Apia'; SET LOCAL DateStyle = 'German, DMY'; SET LOCAL IntervalStyle = 'sql_standard'; SET LOCAL extra_float_digits = -15`

// ask returns what PostgreSQL answers for each filter and row. It asks where each is true and
// where it is false: unknown is neither.
func (d *differ) ask(ctx context.Context, filters []*filter.Filter) ([][]string, error) {
	var sql strings.Builder
	var args []any
	var joins []string
	sql.WriteString("SELECT ARRAY[")
	for i, f := range filters {
		if i > 0 {
			sql.WriteString(", ")
		}
		for _, join := range f.Joins() {
			if !slices.Contains(joins, join) {
				joins = append(joins, join)
			}
		}
		where, more := f.Where(d.options(len(args)+1), true)
		args = append(args, more...)
		fmt.Fprintf(&sql, "CASE WHEN %s THEN 1 ELSE 0 END", where)
		where, more = f.Where(d.options(len(args)+1), false)
		args = append(args, more...)
		fmt.Fprintf(&sql, " + CASE WHEN %s THEN 2 ELSE 0 END", where)
	}
	sql.WriteString("]::int[] FROM rows r " + strings.Join(joins, " ") + " ORDER BY id")
	answers := make([][]string, len(filters))
	err := pgx.BeginFunc(ctx, d.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, hostileSession); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, sql.String(), append([]any{pgx.QueryExecModeDescribeExec}, args...)...)
		if err != nil {
			return err
		}
		all, err := pgx.CollectRows(rows, pgx.RowTo[[]int])
		for _, row := range all {
			for i, code := range row {
				answers[i] = append(answers[i], []string{unknown, yes, no, both}[code])
			}
		}
		return err
	})
	return answers, err
}

// match is the oracle: what cel-go answers for a row.
func (d *differ) match(f *filter.Filter, row proofRow) string {
	return verdict(f.Evaluate(row.record(), d.at))
}

func (d *differ) options(first int) filter.Options {
	return filter.Options{First: first, At: d.at, Ready: d.ready}
}

// disagreement is a filter that is not the same to PostgreSQL and cel-go.
type disagreement struct {
	expr string
	what string
}

func (d *disagreement) Error() string { return d.expr + "\n" + d.what }

// compare returns a disagreement, or how many rows match each filter, or the refusal of one.
func (d *differ) compare(ctx context.Context, exprs []string) ([]int, error) {
	filters := make([]*filter.Filter, len(exprs))
	for i, expr := range exprs {
		var err error
		if filters[i], err = filter.Compile(d.schema, expr); err != nil {
			return nil, &disagreement{expr, "is refused: " + err.Error()}
		}
	}
	answers, err := d.ask(ctx, filters)
	if err != nil && len(exprs) > 1 { // which one was it?
		for _, expr := range exprs {
			if _, err := d.compare(ctx, []string{expr}); err != nil {
				return nil, err
			}
		}
	}
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		sql, args := filters[0].Where(d.options(1), true)
		return nil, &disagreement{exprs[0], fmt.Sprintf("raises: %v\n%s\n%v", err, sql, args)}
	}
	matched := make([]int, len(exprs))
	for i, f := range filters {
		if err := d.same(f); err != nil {
			return nil, &disagreement{exprs[i], err.Error()}
		}
		for j, row := range d.rows {
			if row.wild {
				continue
			}
			want := d.match(f, row)
			if want == yes {
				matched[i]++
			}
			if got := answers[i][j]; got != want {
				sql, args := f.Where(d.options(1), want != no)
				return nil, &disagreement{exprs[i], fmt.Sprintf("is %s to CEL and %s to PostgreSQL for row %d\n%s\n%v\ncolumns %v\nfields %s\nphone %v\nevents %v",
					want, got, j, sql, args, row.columns, row.stored, row.phone, row.events)}
			}
		}
	}
	return matched, nil
}

// same holds the other forms of a filter to what it says: the explanation of its answers, and
// the rule that visual builders make of it.
func (d *differ) same(f *filter.Filter) error {
	rule, err := filter.ToRule(f.String())
	if err != nil {
		return fmt.Errorf("has no rule: %w", err)
	}
	data, err := json.Marshal(rule)
	if err != nil {
		return fmt.Errorf("has no JSON: %w", err)
	}
	if rule, err = filter.ParseRule(data); err != nil {
		return fmt.Errorf("has a rule that cannot be read: %w\n%s", err, data)
	}
	expr, err := filter.FromRule(rule)
	if err != nil {
		return fmt.Errorf("has a rule that is no filter: %w\n%s", err, data)
	}
	again, err := filter.Compile(d.schema, expr)
	if err != nil {
		return fmt.Errorf("has a rule that is refused: %w\n%s\n%s", err, data, expr)
	}
	for i, row := range d.rows {
		want := d.match(f, row)
		if got := d.match(again, row); got != want {
			return fmt.Errorf("is %s, and %s as a rule, for row %d\n%s\n%s", want, got, i, data, expr)
		}
		if i%40 != 0 { // it costs more
			continue
		}
		explained, err := f.Explain(row.record(), d.at)
		if err != nil {
			return fmt.Errorf("is not explained: %w", err)
		}
		if string(explained.Verdict) != want {
			return fmt.Errorf("is %s, and %s when it is explained, for row %d", want, explained.Verdict, i)
		}
	}
	return nil
}

// smallest finds the smallest filter within expr on which the two still do not agree.
func (d *differ) smallest(ctx context.Context, found *disagreement, from *term) *disagreement {
	refused := strings.HasPrefix(found.what, "is refused")
	from.shrink(func(s *term) bool {
		_, err := d.compare(ctx, []string{s.String()})
		var smaller *disagreement
		if !errors.As(err, &smaller) || refusable.MatchString(smaller.what) || strings.HasPrefix(smaller.what, "is refused") != refused {
			return false
		}
		found = smaller
		return true
	})
	return found
}

// lawful is how many rows the law says everything about.
func (d *differ) lawful() (n int) {
	for _, row := range d.rows {
		if !row.wild {
			n++
		}
	}
	return n
}
