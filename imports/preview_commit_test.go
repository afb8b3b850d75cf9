package imports_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/imports"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/recipients/sms"
)

// casesVariable says how many files each set of definitions is tried with; 2 without it.
const casesVariable = "STRATA_IMPORTS_CASES"

// Whatever the file, the definitions, and the recipients there are: a commit does to each row
// what the preview said, and nothing else. Where recipients were changed in between, the
// report says so of every row that came out otherwise. And an undo brings back what was.
func TestCommitDoesWhatThePreviewSaid(t *testing.T) {
	t.Parallel()
	cases := 2
	if s := os.Getenv(casesVariable); s != "" {
		var err error
		cases, err = strconv.Atoi(s)
		require.NoError(t, err)
	}
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			b, products := extended(t, &imports.Config{BatchRows: 1 + int(seed)*2}, "")
			p := &property{bundle: b.start(t), ctx: b.A.Ctx, rnd: rand.New(rand.NewPCG(seed, 7)), products: products}
			p.definitions(t)
			for n := range cases {
				p.try(t, n)
			}
		})
	}
}

type property struct {
	*bundle

	ctx    context.Context
	rnd    *rand.Rand
	fields []customfields.Field

	products products
}

func pick[T any](p *property, of ...T) T { return of[p.rnd.IntN(len(of))] }

func (p *property) definitions(t *testing.T) {
	all := []customfields.Field{
		{Key: "note", Type: customfields.Text, Unique: p.rnd.IntN(2) == 0, Constraints: customfields.Constraints{MaxLength: pick(p, 0, 4)}},
		{Key: "seats", Type: customfields.Number, Constraints: customfields.Constraints{Min: pick[any](p, nil, 2)}, Default: pick[any](p, nil, 3)},
		{Key: "since", Type: customfields.Date, DateOnly: p.rnd.IntN(2) == 0},
		{Key: "tier", Type: customfields.Select, Options: []string{"free", "pro"}, Default: pick[any](p, nil, "free"), Required: p.rnd.IntN(3) == 0},
		{Key: "tags", Type: customfields.MultiSelect, Options: []string{"a", "b", "c"}, Default: pick[any](p, nil, []string{"a", "c"})},
		{Key: "on", Type: customfields.Boolean},
		{Key: "site", Type: customfields.URL},
		{Key: "mail", Type: customfields.Email, Unique: p.rnd.IntN(3) == 0},
	}
	p.rnd.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	p.fields = all[:1+p.rnd.IntN(len(all))]
	p.define(p.ctx, t, p.fields...)
}

// cell is a random value for a field, one in eight of them wrong.
func (p *property) cell(key string) string {
	switch key {
	case "sms.phone":
		return pick(p, "", p.phone(), p.phone(), "030 1", " ")
	case "seat.code":
		return pick(p, "", p.code(), p.code(), " "+strings.ToLower(p.code()))
	case "seat.seats":
		return pick(p, "", "1", "2", "3.0", "101", "many")
	}
	if p.rnd.IntN(3) == 0 {
		return ""
	}
	if p.rnd.IntN(8) == 0 {
		return pick(p, "wrong", "-1", "2026-13-45", "\"quoted\"", "=1+1", "two\nlines", " pro ")
	}
	switch key {
	case "seats":
		return pick(p, "1", "2", "3", "4.5", "1e2")
	case "since":
		return pick(p, "2026-01-31", "2026-02-01", "2025-12-24")
	case "tier":
		return pick(p, "free", "pro", "PRO")
	case "tags":
		return pick(p, "a", "b;a", "c|b", "a;a")
	case "on":
		return pick(p, "yes", "no", "true", "0")
	case "site":
		return pick(p, "https://example.com/a", "HTTP://EXAMPLE.com/b")
	case "mail":
		return fmt.Sprintf("m%d@example.com", p.rnd.IntN(9))
	}
	return fmt.Sprint("n", p.rnd.IntN(12))
}

func (p *property) address() string {
	return fmt.Sprintf(pick(p, "a%d@example.com", "A%d@Example.com", " a%d@example.com "), p.rnd.IntN(24))
}

func (p *property) file(t *testing.T) string {
	header := []string{"email"}
	for _, name := range []string{"name", "status"} {
		if p.rnd.IntN(2) == 0 {
			header = append(header, name)
		}
	}
	for _, f := range p.fields {
		if p.rnd.IntN(4) > 0 || f.Required && f.Default == nil {
			header = append(header, "fields."+f.Key)
		}
	}
	for _, name := range []string{"sms.phone", "seat.code", "seat.seats"} {
		if p.rnd.IntN(3) == 0 {
			header = append(header, name)
		}
	}
	p.rnd.Shuffle(len(header), func(i, j int) { header[i], header[j] = header[j], header[i] })
	records := [][]string{header}
	for range 1 + p.rnd.IntN(20) {
		var record []string
		for _, name := range header {
			switch name {
			case "email":
				record = append(record, pick(p, p.address(), p.address(), p.address(), p.address(), p.address(), "nobody", "a@", "x@@example.com"))
			case "name":
				record = append(record, pick(p, "", "Ada", "Bo", "Cy"))
			case "status":
				record = append(record, pick(p, "", "active", "Inactive", "bounced", "complained", "unsubscribed", "gone"))
			default:
				record = append(record, p.cell(strings.TrimPrefix(name, "fields.")))
			}
		}
		records = append(records, record)
	}
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	require.NoError(t, w.WriteAll(records))
	return out.String()
}

func (p *property) phone() string {
	return fmt.Sprintf(pick(p, "+49 30 1234567%d", "+493012345%02d7"), p.rnd.IntN(4))
}

func (p *property) code() string { return fmt.Sprint("S", p.rnd.IntN(8)) }

// person is a recipient as it stands in the table, with its rows in products.
type person struct {
	Name    string         `json:"name"`
	Status  string         `json:"status"`
	Fields  map[string]any `json:"custom_fields"`
	Reason  string         `json:"status_reason"`
	Version int64          `json:"version"`

	Products map[string]map[string]any `json:"products"`
}

func (p *property) people(t *testing.T) map[string]person {
	t.Helper()
	text := one[string](p.ctx, t, p.bundle, `SELECT coalesce(jsonb_object_agg(email_norm, to_jsonb(r) || jsonb_build_object('products', jsonb_strip_nulls(jsonb_build_object(
			'sms', (SELECT jsonb_build_object('phone', phone, 'version', x.version) FROM strata.recipient_sms x WHERE recipient_id = r.id),
			'seat', (SELECT jsonb_build_object('code', coalesce(code, ''), 'seats', seats, 'version', x.version) FROM strata.recipient_seats x WHERE recipient_id = r.id))))), '{}')::text
		FROM strata.recipients r WHERE deleted_at IS NULL`)
	var out map[string]person
	require.NoError(t, json.Unmarshal([]byte(text), &out))
	return out
}

// stagedRow is a row of the file with its verdict.
type stagedRow struct {
	No          int
	Verdict     string
	Email       *string
	Name        *string
	Status      *string
	Fields      map[string]any
	DuplicateOf *int
	Products    map[string]map[string]any
}

func (p *property) staged(t *testing.T, id imports.ID) (rows []stagedRow) {
	t.Helper()
	require.NoError(t, p.DB.Read(p.ctx, `SELECT row_no, verdict, email_norm, name, status, custom_fields, duplicate_of, enrollments FROM strata.import_rows WHERE import_id = $1 ORDER BY row_no`, []any{id}, func(found pgx.Rows) (err error) {
		rows, err = pgx.CollectRows(found, pgx.RowToStructByPos[stagedRow])
		return err
	}))
	return rows
}

// inserts is what a row makes where there is no recipient; defaults are of the custom fields.
func inserts(policy imports.Conflict, defaults map[string]any, row stagedRow) person {
	p := person{Status: "active", Fields: maps.Clone(defaults), Version: 1, Products: enrolled(policy, nil, row)}
	if row.Name != nil {
		p.Name = *row.Name
	}
	if row.Status != nil {
		p.Status = *row.Status
	}
	maps.Copy(p.Fields, row.Fields)
	return p
}

// expected is what a policy makes of a recipient and a row.
func expected(policy imports.Conflict, before person, row stagedRow) person {
	after := before
	after.Fields = maps.Clone(before.Fields)
	switch policy {
	case imports.Skip:
		return before
	case imports.FillEmpty:
		if before.Name == "" && row.Name != nil {
			after.Name = *row.Name
		}
		for k, v := range row.Fields {
			if _, there := after.Fields[k]; !there {
				after.Fields[k] = v
			}
		}
	case imports.Update:
		if row.Name != nil {
			after.Name = *row.Name
		}
		strict := []string{"bounced", "unsubscribed", "complained"}
		if row.Status != nil && slices.Index(strict, *row.Status) >= slices.Index(strict, before.Status) && *row.Status != before.Status {
			after.Status, after.Reason = *row.Status, "import"
		}
		maps.Copy(after.Fields, row.Fields)
	}
	if !reflect.DeepEqual(after, before) {
		after.Version++
	}
	after.Products = enrolled(policy, before.Products, row)
	return after
}

// enrolled is what a policy makes of the rows in products of a recipient that is not to be skipped.
func enrolled(policy imports.Conflict, before map[string]map[string]any, row stagedRow) map[string]map[string]any {
	after := map[string]map[string]any{}
	maps.Copy(after, before)
	for name, values := range row.Products {
		was, there := before[name]
		if there && policy == imports.FillEmpty {
			continue
		}
		is := map[string]any{"version": 0.0}
		if name == "seat" {
			is["code"], is["seats"] = "", 0.0
		}
		maps.Copy(is, was)
		maps.Copy(is, values)
		if !there || !reflect.DeepEqual(is, was) {
			is["version"] = is["version"].(float64) + 1
		}
		after[name] = is
	}
	return after
}

// edit changes recipients at random, as users do.
func (p *property) edit(t *testing.T) {
	for range 1 + p.rnd.IntN(6) {
		email := fmt.Sprintf("a%d@example.com", p.rnd.IntN(24))
		page, err := p.store.List(p.ctx, recipients.Query{Filter: fmt.Sprintf("email == %q", email)})
		require.NoError(t, err)
		name := pick(p, "Ada", "Bo", "Hand")
		switch {
		case len(page.Items) > 0 && p.rnd.IntN(3) == 0:
			err = p.editProduct(page.Items[0].ID)
		case len(page.Items) == 0:
			in := recipients.New{Email: email, Name: name, CustomFields: map[string]any{}}
			for _, f := range p.fields {
				if f.Required {
					in.CustomFields[f.Key] = "pro"
				} else if f.Key == "note" {
					in.CustomFields[f.Key] = fmt.Sprint("n", p.rnd.IntN(12))
				}
			}
			_, err = p.store.Create(p.ctx, in)
		case p.rnd.IntN(3) == 0:
			err = p.store.Delete(p.ctx, page.Items[0].ID)
		default:
			_, err = p.store.Update(p.ctx, page.Items[0].ID, recipients.Change{Name: &name})
		}
		if err != nil {
			require.ErrorContains(t, err, "has this value") // a unique one: somebody else does
		}
	}
}

// editProduct changes at random what a recipient has in a product.
func (p *property) editProduct(id recipients.ID) error {
	switch p.rnd.IntN(4) {
	case 0:
		err := p.products.sms.Enroll(p.ctx, id, &sms.SMS{Contact: number(p.phone())})
		if errors.Is(err, recipients.ErrEnrolled) {
			return p.products.sms.Withdraw(p.ctx, id)
		}
		return err
	case 1:
		err := p.products.seats.Enroll(p.ctx, id, &Seat{Code: p.code(), Seats: 1})
		if errors.Is(err, recipients.ErrEnrolled) {
			_, err = p.products.seats.Update(p.ctx, id, 0, func(row *Seat) error { row.Seats = int64(p.rnd.IntN(4)); return nil })
		}
		return err
	}
	return nil
}

// try imports one file.
func (p *property) try(t *testing.T, n int) {
	policy := pick(p, imports.Update, imports.Skip, imports.FillEmpty)
	file := p.file(t)
	imp := p.process(p.ctx, t, file, imports.ProcessOptions{Conflict: policy, Delimiter: ","})
	rows := p.staged(t, imp.ID)
	what := fmt.Sprintf("case %d, %s:\n%s", n, policy, file)
	p.add(t, imp, rows, what)
	edited := p.rnd.IntN(3) == 0
	if edited {
		p.edit(t)
	}
	before, dump := p.people(t), p.dump(p.ctx, t)
	done := p.commit(p.ctx, t, imp.ID)
	after := p.people(t)
	said := map[string]bool{}
	_, report := p.report(p.ctx, t, imp.ID)
	for _, line := range report[1:] {
		said[line[len(line)-4]] = true
	}
	set, err := p.defaults(t)
	require.NoError(t, err)

	var inserted, updated int64
	untouched := maps.Clone(before)
	for _, row := range rows {
		if row.Verdict != "new" && row.Verdict != "update" {
			continue
		}
		was, there := before[*row.Email]
		is, now := after[*row.Email]
		line := fmt.Sprintf("row %d, %s, %s", row.No, row.Verdict, what)
		delete(untouched, *row.Email)
		if there && now && !reflect.DeepEqual(is, was) || !there && now {
			var want person
			if there {
				updated++
				want = expected(policy, was, row)
			} else {
				inserted++
				want = inserts(policy, set, row)
			}
			require.Equal(t, want, is, line)
			if (row.Verdict == "new") != !there {
				require.True(t, edited && said[strconv.Itoa(row.No)], "it came out otherwise, and nothing says so: "+line)
			}
			continue
		}
		require.Equal(t, was, is, line)
		require.True(t, edited && said[strconv.Itoa(row.No)], "it was left out, and nothing says so: "+line)
	}
	for email, was := range untouched {
		require.Equal(t, was, after[email], "%s is none of the import's business: %s", email, what)
	}
	for email := range after {
		if _, there := before[email]; !there {
			require.True(t, slices.ContainsFunc(rows, func(r stagedRow) bool { return r.Email != nil && *r.Email == email }), what)
		}
	}
	require.Equal(t, []int64{inserted, updated}, []int64{done.Inserted, done.Updated}, what)
	if !edited {
		require.Equal(t, []int64{imp.New, imp.Changed, 0}, []int64{done.Inserted, done.Updated, done.Skipped}, what)
	}
	p.counted(p.ctx, t)
	if p.rnd.IntN(3) == 0 {
		undone := p.undo(p.ctx, t, imp.ID)
		require.Zero(t, undone.Kept, what)
		require.Equal(t, dump, p.dump(p.ctx, t), what)
	}
}

// add holds the verdicts to the numbers of the preview, and a duplicate to a later row.
func (p *property) add(t *testing.T, imp imports.Import, rows []stagedRow, what string) {
	t.Helper()
	counts := map[string]int64{}
	for _, row := range rows {
		counts[row.Verdict]++
		if row.Verdict == "duplicate" {
			i := slices.IndexFunc(rows, func(r stagedRow) bool { return r.No == *row.DuplicateOf })
			require.Greater(t, *row.DuplicateOf, row.No, what)
			require.Equal(t, *row.Email, *rows[i].Email, what)
		}
	}
	require.Equal(t, []int64{imp.New, imp.Changed, imp.Unchanged, imp.Duplicate, imp.Invalid},
		[]int64{counts["new"], counts["update"], counts["unchanged"], counts["duplicate"], counts["invalid"]}, what)
}

// defaults returns what a new recipient has by default.
func (p *property) defaults(t *testing.T) (map[string]any, error) {
	t.Helper()
	set, err := p.bundle.fields.Set(p.ctx)
	if err != nil {
		return nil, err
	}
	data, err := json.Marshal(set.Defaults())
	if err != nil {
		return nil, err
	}
	var out map[string]any
	err = json.Unmarshal(data, &out)
	return out, err
}
