package recipients_test

import (
	"encoding/json"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
)

// Odd has a column of each type that bun makes of Go's, and of some that have a length or a name of
// their own in PostgreSQL; names of columns are words of SQL.
type Odd struct {
	bun.BaseModel `bun:"table:odd.odds"`
	recipients.Enrollment

	Small   int8              `bun:"small"`
	Whole   uint32            `bun:"whole"`
	Huge    uint64            `bun:"huge"`
	Real    float32           `bun:"real"`
	Double  float64           `bun:"double,type:float"`
	Took    time.Duration     `bun:"took"`
	Raw     json.RawMessage   `bun:"raw"`
	List    []string          `bun:"list"`
	Numbers []int64           `bun:"numbers,array"`
	Bytes   []byte            `bun:"bytes"`
	Map     map[string]any    `bun:"map"`
	Text    *string           `bun:"text"`
	Number  *int              `bun:"number"`
	Select  string            `bun:"select" strata:"filterable,index"`
	User    string            `bun:"user,nullzero"`
	Inner   struct{ A int }   `bun:"inner"`
	Code    string            `bun:"code,type:char(3),nullzero"`
	Short   string            `bun:"short,type:varchar(5)"`
	Day     *time.Time        `bun:"day,type:date"`
	Price   string            `bun:"price,type:numeric(10,2),nullzero"`
	Mood    string            `bun:"mood,type:odd.mood,nullzero"`
	Named   map[string]string `bun:"named"`
	At      *time.Time        `bun:"at"`
}

func odds(t *testing.T) (*bundle, *recipients.Enrollments[Odd]) {
	t.Helper()
	b := setup(t)
	_, err := b.Pool.Exec(t.Context(), `CREATE SCHEMA odd; CREATE TYPE odd.mood AS ENUM ('good', 'bad')`)
	require.NoError(t, err)
	r, e := registryOf(t, recipients.Extension[Odd]{Name: "odd"})
	require.NoError(t, r.Migrate(t.Context(), b.Direct(t)))
	require.NoError(t, r.Verify(t.Context(), b.DB), "what Migrate has made is right")
	b.store = b.storeWith(t, r)
	return b, e
}

func TestColumnsOfAllTypes(t *testing.T) {
	t.Parallel()
	b, e := odds(t)
	ctx := b.A.Ctx
	ada, bo := b.create(ctx, t, recipients.New{Email: "ada@example.com"}).ID, b.create(ctx, t, recipients.New{Email: "bo@example.com"}).ID
	require.NoError(t, e.Enroll(ctx, bo, &Odd{}), "nothing is set")
	text, number, day := "x", 3, time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
	row := &Odd{
		Small: -1, Whole: 2e9, Huge: 1 << 62, Real: 1.5, Double: 2.5, Took: time.Second, Raw: json.RawMessage(`{"a": 1}`),
		List: []string{"a"}, Numbers: []int64{1}, Bytes: []byte{0, 1}, Map: map[string]any{"a": "b"}, Text: &text, Number: &number,
		Select: `o"'; \ ? $1`, User: "u", Inner: struct{ A int }{4}, Code: "abc", Short: "abcde", Day: &day, Price: "1.50", Mood: "good",
		Named: map[string]string{"a": "b"}, At: &day,
	}
	require.NoError(t, e.Enroll(ctx, ada, row))
	got, err := e.Get(ctx, ada)
	require.NoError(t, err)
	require.Equal(t, row, got)
	n, err := b.store.Count(ctx, `odd.select == "o\"'; \\ ? $1"`)
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
	updated, err := e.Update(ctx, ada, 0, func(o *Odd) error {
		o.List, o.Numbers, o.Map, o.Text, o.Raw, o.Select = nil, nil, nil, nil, nil, "z"
		return nil
	})
	require.NoError(t, err)
	got, err = e.Get(ctx, ada)
	require.NoError(t, err)
	require.Equal(t, updated, got)
	n2, err := e.UpdateMany(ctx, []recipients.ID{ada, bo}, func(o *Odd) error { o.Select += "k"; return nil })
	require.NoError(t, err)
	require.Equal(t, 2, n2)

	// What PostgreSQL does not take is said of the extension, and is no failure of the server.
	incompressible := &strings.Builder{}
	for x := uint32(7); incompressible.Len() < 20_000; x = x*1664525 + 1013904223 {
		incompressible.WriteByte('a' + byte(x>>24)%26)
	}
	of, err := b.store.Extension(ctx, "odd")
	require.NoError(t, err)
	for name, value := range map[string]string{
		"list": `["a\u0000"]`, "map": `{"a":"\u0000"}`, "raw": `{"a":"\u0000"}`, "huge": `18446744073709551615`, "at": `"0000-01-01T00:00:00Z"`,
		"price": `"abc"`, "mood": `"none"`, "short": `"abcdef"`, "code": `"abcd"`, "select": `"` + incompressible.String() + `"`,
	} {
		_, err := of.Update(ctx, bo, 0, map[string]json.RawMessage{name: json.RawMessage(value)})
		var v *tenancy.ValidationError
		require.ErrorAs(t, err, &v, name)
	}
	after, err := e.Get(ctx, bo)
	require.NoError(t, err)
	require.EqualValues(t, 2, after.Version, "nothing was written")
}

func TestOddModelsAreRefused(t *testing.T) {
	t.Parallel()
	type odd struct {
		bun.BaseModel `bun:"table:odd.odds"`
		recipients.Enrollment

		Any    any               `bun:"any,type:jsonb"`
		Pipe   chan int          `bun:"pipe"`
		IP     net.IP            `bun:"ip"`
		Packed map[string]string `bun:"packed,msgpack"`
		Stored map[string]string `bun:"stored,hstore"`
		System string            `bun:"xmin"`
		Word   string            `bun:"in"     strata:"filterable"`
	}
	_, err := recipients.Register(recipients.NewRegistry(), recipients.Extension[odd]{Name: "package"})
	for _, part := range []string{
		"no word that filters keep", "field Any: nothing can be read into interface", "field Pipe: no column can hold chan int", "field IP: net.IP is not read back", "field Packed: msgpack", "field Stored: msgpack and hstore", "xmin is one that PostgreSQL has", "a word of their language",
	} {
		require.ErrorContains(t, err, part)
	}
	type serial struct {
		bun.BaseModel `bun:"table:odd.serials"`
		recipients.Enrollment

		Number int64 `bun:"number,type:bigserial"`
	}
	b := setup(t)
	r, _ := registryOf(t, recipients.Extension[serial]{Name: "serial"})
	require.ErrorContains(t, r.Migrate(t.Context(), b.Direct(t)), "column number: there is no type bigserial")
	var there bool
	require.NoError(t, b.Pool.QueryRow(t.Context(), `SELECT to_regclass('odd.serials') IS NOT NULL`).Scan(&there))
	require.False(t, there, "nothing was changed")
}

type (
	shortTable struct {
		bun.BaseModel `bun:"table:names.a"`
		recipients.Enrollment

		Column string `bun:"b_c" strata:"index"`
	}
	longTable struct {
		bun.BaseModel `bun:"table:names.a_b"`
		recipients.Enrollment

		Column string `bun:"c" strata:"index"`
	}
	uniqueTable struct {
		bun.BaseModel `bun:"table:names.a"`
		recipients.Enrollment

		Column string `bun:"b_c" strata:"unique"`
	}
)

// Names of indexes do not meet, and one that becomes unique does for the version to which it was not.
func TestIndexesOfExtensions(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := recipients.NewRegistry()
	register(t, r, recipients.Extension[shortTable]{Name: "short"})
	register(t, r, recipients.Extension[longTable]{Name: "long"})
	newer, _ := registryOf(t, recipients.Extension[uniqueTable]{Name: "short"})
	for _, r := range []*recipients.Registry{r, newer, r} {
		require.NoError(t, r.Migrate(t.Context(), b.Direct(t)))
		require.NoError(t, r.Verify(t.Context(), b.DB))
	}
	_, err := b.Pool.Exec(t.Context(), `DROP SCHEMA names CASCADE`)
	require.NoError(t, err)
	require.NoError(t, newer.Migrate(t.Context(), b.Direct(t)))
	require.NoError(t, r.Migrate(t.Context(), b.Direct(t)))
	var n int
	require.NoError(t, b.Pool.QueryRow(t.Context(), `SELECT count(*) FROM pg_indexes WHERE schemaname = 'names' AND indexdef LIKE '%b_c%'`).Scan(&n))
	require.Equal(t, 1, n, "the older version needs none of its own")
}

// A table of a product's own may have columns that fill themselves, and says what Enroll cannot leave out.
func TestDefaultsOfAProductsOwnTable(t *testing.T) {
	t.Parallel()
	b := extend(t)
	r, _ := registryOf(t, recipients.Extension[Course]{Name: "course", Product: "academy", OwnTable: true})
	mailer, _ := registryOf(t, recipients.Extension[Mail]{Name: "email", Product: "mailer"})
	both := recipients.NewRegistry()
	register(t, both, recipients.Extension[Mail]{Name: "email", Product: "mailer"})
	register(t, both, recipients.Extension[Course]{Name: "course", Product: "academy", OwnTable: true})
	run := func(sql string) {
		t.Helper()
		_, err := b.Pool.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
	run(`ALTER TABLE academy.courses ADD COLUMN seq bigint GENERATED ALWAYS AS IDENTITY`)
	require.NoError(t, r.Verify(t.Context(), b.DB))

	run(`ALTER TABLE academy.courses ALTER COLUMN created_at DROP DEFAULT`)
	var e *recipients.ExtensionError
	require.ErrorAs(t, r.Verify(t.Context(), b.DB), &e)
	require.Equal(t, []recipients.ExtensionProblem{{
		Message: "column created_at has no default, want DEFAULT now()", SQL: `ALTER TABLE "academy"."courses" ALTER COLUMN created_at SET DEFAULT now()`,
	}}, e.Problems)
	run(e.Problems[0].SQL)

	// A trigger that counts for somebody else, or not at all, counts nobody.
	run(strings.ReplaceAll(strings.ReplaceAll(academySQL[strings.Index(academySQL, "CREATE TRIGGER"):], "CREATE TRIGGER", "CREATE OR REPLACE TRIGGER"), "'course'", "'lesson'"))
	require.ErrorContains(t, r.Verify(t.Context(), b.DB), "count_inserted")
	require.ErrorAs(t, r.Verify(t.Context(), b.DB), &e)
	run(e.Problems[0].SQL)
	run(`ALTER TABLE academy.courses DISABLE TRIGGER count_deleted`)
	require.ErrorContains(t, r.Verify(t.Context(), b.DB), "count_deleted")

	// All extensions are looked at, whichever comes first.
	run(`ALTER TABLE mailer.mail DROP COLUMN topics`)
	err := both.Verify(t.Context(), b.DB)
	require.ErrorContains(t, err, "it has no column topics")
	require.ErrorContains(t, err, "count_deleted")
	require.NoError(t, mailer.Migrate(t.Context(), b.Direct(t)))
}

type shadow struct {
	bun.BaseModel `bun:"table:shadow.rows"`
	recipients.Enrollment

	Column string `bun:"x_email" strata:"filterable"`
}

// Whatever a product calls its columns, and whatever a newer version has stored, others are read.
func TestProductsDoNotDisturbEachOther(t *testing.T) {
	t.Parallel()
	b := extend(t)
	ctx := b.A.Ctx
	ada := b.create(ctx, t, recipients.New{Email: "ada@example.com"}).ID
	require.NoError(t, b.mail.Enroll(ctx, ada, &Mail{Bounces: 2}))
	r, e := registryOf(t, recipients.Extension[shadow]{Name: "shadow"})
	require.NoError(t, r.Migrate(t.Context(), b.Direct(t)))
	b.storeWith(t, r)
	require.NoError(t, e.Enroll(ctx, ada, &shadow{Column: "mine"}))
	_, err := b.Pool.Exec(t.Context(), `UPDATE strata.recipient_extensions SET columns = columns || '[{"name": "place", "type": "point", "filter": "place"}]' WHERE name = 'shadow'`)
	require.NoError(t, err)
	_, err = b.Pool.Exec(t.Context(), `INSERT INTO strata.recipient_extensions (name, product, schema_name, table_name, columns) VALUES ('now', 'newer', 'academy', 'courses2', '[]')`)
	require.NoError(t, err)
	_, err = b.Pool.Exec(t.Context(), `CREATE TABLE academy.courses2 (LIKE academy.courses)`)
	require.NoError(t, err)

	foreign := b.storeWith(t, nil)
	page, err := foreign.List(ctx, recipients.Query{With: []string{"email", "shadow"}, Filter: `shadow.x_email == "mine" && email.bounces == 2`})
	require.NoError(t, err)
	require.Len(t, page.Items, 1)
	require.EqualValues(t, "mine", page.Items[0].Extensions["shadow"].Values()["xEmail"])
	require.EqualValues(t, 1, page.Items[0].Extensions["email"].Version())
	_, err = foreign.Count(ctx, `shadow.place == "x"`)
	require.ErrorContains(t, err, "place")
	_, err = b.Pool.Exec(t.Context(), `DROP TABLE academy.courses2`)
	require.NoError(t, err)
	all, err := foreign.Export(ctx, ada)
	require.NoError(t, err)
	require.Equal(t, json.Number("2"), all.Products["email"]["bounces"])
	require.Equal(t, "mine", all.Products["shadow"]["x_email"])

	// Whoever has joined what is gone since learns that it is.
	_, err = b.Pool.Exec(t.Context(), `DROP TABLE shadow.rows`)
	require.NoError(t, err)
	var v *tenancy.ValidationError
	_, err = foreign.List(ctx, recipients.Query{With: []string{"shadow"}})
	require.ErrorAs(t, err, &v)
	require.Equal(t, "unknown_extension", v.Fields[0].Code)
	_, err = foreign.Get(ctx, ada, "shadow")
	require.ErrorAs(t, err, &v)
	_, err = foreign.Count(ctx, `shadow.x_email == "mine"`)
	require.ErrorContains(t, err, "shadow")
	_, err = foreign.List(ctx, recipients.Query{With: []string{"email"}})
	require.NoError(t, err)
}

func TestConditionalWithdrawal(t *testing.T) {
	t.Parallel()
	b := extend(t)
	ctx := b.A.Ctx
	ada := b.create(ctx, t, recipients.New{Email: "ada@example.com"}).ID
	require.ErrorIs(t, b.mail.Withdraw(ctx, ada, 1), recipients.ErrNotEnrolled)
	require.NoError(t, b.mail.Enroll(ctx, ada, &Mail{}))
	require.ErrorIs(t, b.mail.Withdraw(ctx, ada, 2, 3), recipients.ErrVersion)
	require.ErrorIs(t, b.mail.Withdraw(b.B.Ctx, ada, 2), recipients.ErrNotFound)
	require.NoError(t, b.mail.Withdraw(ctx, ada, 3, 1))
	row := &Mail{Bounces: -1}
	row.RecipientID = ada
	var v *tenancy.ValidationError
	require.ErrorAs(t, b.mail.EnrollMany(ctx, []*Mail{row}), &v)
	require.Equal(t, "[0].bounces", v.Fields[0].Field, "though it be one")
}
