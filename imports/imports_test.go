package imports_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/billing"
	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/imports"
	"github.com/stratakit/strata/internal/dbtest"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
)

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		os.Exit(child())
	}
	dbtest.Main(m)
}

const within = time.Minute // bounds a wait for a run; no measurement

type bundle struct {
	*tenancytest.Env
	fields   *customfields.Registry
	store    *recipients.Store
	runner   *bulk.Runner
	importer *imports.Importer
	resolver *tenancy.Resolver
	local    *imports.LocalStore
	dir      string // of local

	extensions *recipients.Registry // nil: none
}

func setup(t *testing.T, cfg *imports.Config) *bundle {
	t.Helper()
	return setupOn(t, tenancytest.Open(t), cfg)
}

// runs is how the runners of these tests work.
func runs() bulk.Config {
	return bulk.Config{Log: slog.New(slog.DiscardHandler), Poll: 200 * time.Millisecond, MaxFailures: 2, Backoff: time.Millisecond}
}

func setupOn(t *testing.T, e *tenancytest.Env, cfg *imports.Config) *bundle {
	t.Helper()
	return setupIn(t, &bundle{Env: e, dir: t.TempDir()}, cfg)
}

func setupIn(t *testing.T, b *bundle, cfg *imports.Config) *bundle {
	t.Helper()
	var err error
	b.local, err = openUploads(b.dir)
	require.NoError(t, err)
	t.Cleanup(func() { _ = b.local.Bucket.Close() })
	b.wire(t, runs(), cfg)
	return b
}

func openUploads(dir string) (*imports.LocalStore, error) {
	return imports.OpenLocal(dir, &url.URL{Scheme: "http", Host: "files.example", Path: "/uploads"}, bytes.Repeat([]byte("s"), 32))
}

// wire makes all that a process has of its own.
func (b *bundle) wire(t *testing.T, work bulk.Config, cfg *imports.Config) {
	t.Helper()
	var err error
	// So long that nothing works only because a set was old enough to be read again.
	b.fields, err = customfields.NewRegistry(b.DB, b.Redis, b.Limits, b.Audit, &customfields.Config{Lifetime: time.Hour})
	require.NoError(t, err)
	b.store, err = recipients.NewStore(b.DB, b.fields, b.Limits, b.Audit, &recipients.Config{Extensions: b.extensions})
	require.NoError(t, err)
	b.resolver, err = tenancy.NewResolver(b.DB, nil, nil)
	require.NoError(t, err)
	t.Cleanup(b.resolver.Close)
	b.runner, err = bulk.NewRunner(b.DB, b.Redis, b.Audit, b.resolver, &work)
	require.NoError(t, err)
	b.importer, err = imports.NewImporter(b.DB, b.runner, b.store, b.fields, b.Limits, b.Audit, b.local.Bucket, cfg)
	require.NoError(t, err)
}

func (b *bundle) start(t *testing.T) *bundle {
	t.Helper()
	require.NoError(t, b.runner.Start(t.Context()))
	t.Cleanup(func() { require.NoError(t, b.runner.Stop(context.Background())) })
	return b
}

// until waits for an import to reach a status.
func (b *bundle) until(ctx context.Context, t *testing.T, id imports.ID, want imports.Status) imports.Import {
	t.Helper()
	var imp imports.Import
	require.Eventually(t, func() bool {
		var err error
		imp, err = b.importer.Get(ctx, id)
		require.NoError(t, err)
		return imp.Status == want || imp.Status == imports.Failed
	}, within, 5*time.Millisecond)
	require.Equal(t, want, imp.Status, imp.Error)
	return imp
}

// begin has a file read, and waits for nothing.
func (b *bundle) begin(ctx context.Context, t *testing.T, file string, o imports.ProcessOptions) imports.Import {
	t.Helper()
	imp, err := b.importer.CreateFromReader(ctx, "people.csv", strings.NewReader(file))
	require.NoError(t, err)
	imp, err = b.importer.Process(ctx, imp.ID, o)
	require.NoError(t, err)
	return imp
}

func (b *bundle) process(ctx context.Context, t *testing.T, file string, o imports.ProcessOptions) imports.Import {
	t.Helper()
	return b.until(ctx, t, b.begin(ctx, t, file, o).ID, imports.Previewed)
}

func (b *bundle) commit(ctx context.Context, t *testing.T, id imports.ID) imports.Import {
	t.Helper()
	_, err := b.importer.Commit(ctx, id)
	require.NoError(t, err)
	imp := b.until(ctx, t, id, imports.Done)
	require.Equal(t, imp.TotalRows, imp.Inserted+imp.Updated+imp.Unchanged+imp.Duplicate+imp.Invalid+imp.Skipped)
	return imp
}

func (b *bundle) run(ctx context.Context, t *testing.T, file string, o imports.ProcessOptions) imports.Import {
	t.Helper()
	return b.commit(ctx, t, b.process(ctx, t, file, o).ID)
}

// counted checks that the plan's counter equals the table.
func (b *bundle) counted(ctx context.Context, t *testing.T) int64 {
	t.Helper()
	n, err := b.store.Count(ctx, "")
	require.NoError(t, err)
	u, err := b.Limits.Usage(ctx)
	require.NoError(t, err)
	require.Equal(t, n, u.Resource(billing.ResourceRecipients).Used)
	require.Zero(t, u.Resource(billing.ResourceRecipients).Reserved)
	return n
}

func (b *bundle) define(ctx context.Context, t *testing.T, fields ...customfields.Field) {
	t.Helper()
	for _, f := range fields {
		_, err := b.fields.Create(ctx, f)
		require.NoError(t, err)
	}
}

// convert does what a conversion of a field to numbers ends with.
func (b *bundle) convert(ctx context.Context, t *testing.T, key string) {
	t.Helper()
	require.NoError(t, b.DB.InTx(ctx, func(tx *tenancy.Tx) error {
		_, err := b.fields.AlterTx(ctx, tx, customfields.Alteration{
			Pick: func(f customfields.Field) bool { return f.Key == key },
			Change: func(f *customfields.Field, all []customfields.Field) error {
				f.Type, f.Slot = customfields.Number, customfields.FreeSlot(key, all)
				return nil
			},
			Action: "custom_field.converted",
		})
		return err
	}))
}

func to(s string) *string { return &s }

// one returns the one value that a statement returns in the scope of ctx.
func one[T any](ctx context.Context, t *testing.T, b *bundle, q string, args ...any) (v T) {
	t.Helper()
	require.NoError(t, b.DB.Read(ctx, q, args, func(rows pgx.Rows) (err error) {
		v, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[T])
		return err
	}))
	return v
}

// before runs PL/pgSQL before what happens to rows of a table, until drop is called.
func (b *bundle) before(t *testing.T, event, table, when, body string) (drop func()) {
	t.Helper()
	_, err := b.Pool.Exec(t.Context(), fmt.Sprintf(`CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN %s; END $$;
		CREATE TRIGGER meddle BEFORE %s ON %s FOR EACH ROW WHEN (%s) EXECUTE FUNCTION meddle()`, body, event, table, when))
	require.NoError(t, err)
	return func() {
		t.Helper()
		_, err := b.Pool.Exec(t.Context(), `DROP FUNCTION meddle CASCADE`)
		require.NoError(t, err)
	}
}

func TestGovRegistryEndToEnd(t *testing.T) {
	t.Parallel()
	b := setup(t, nil).start(t)
	ctx := b.A.Ctx
	file, err := os.ReadFile("../examples/quickstart/data/gov-domains.csv")
	require.NoError(t, err)
	b.define(ctx, t, customfields.Field{Key: "state", Type: customfields.Text, Filterable: true}, customfields.Field{Key: "domain", Label: "Domain name", Type: customfields.Text, Filterable: true})
	mapping := map[string]*string{"Security contact email": to("email"), "Organization name": to("name"), "State": to("fields.state"), "Domain name": to("fields.domain"), "City": nil}

	preview := b.process(ctx, t, string(file), imports.ProcessOptions{Mapping: mapping})
	require.EqualValues(t, 16539, preview.TotalRows)
	require.Equal(t, preview.TotalRows, preview.New+preview.Changed+preview.Unchanged+preview.Duplicate+preview.Invalid)
	require.Zero(t, preview.Changed+preview.Unchanged)
	require.Greater(t, preview.Invalid, int64(6000), "the blank addresses")
	require.Greater(t, preview.Duplicate, int64(1000))
	p, err := b.importer.Preview(ctx, preview.ID)
	require.NoError(t, err)
	require.Equal(t, "(blank)", p.SampleErrors[0].Errors[0].Value)
	require.Equal(t, 2, p.SampleErrors[0].Row)
	require.Equal(t, preview.New, p.Limit.Incoming)

	done := b.commit(ctx, t, preview.ID)
	require.Equal(t, preview.New, done.Inserted)
	require.Equal(t, done.Inserted, b.counted(ctx, t))

	again := b.run(ctx, t, string(file), imports.ProcessOptions{Mapping: mapping})
	require.Zero(t, again.Inserted)
	require.Zero(t, again.Updated)
	require.Equal(t, done.Inserted, again.Unchanged)
	require.Equal(t, done.Inserted, b.counted(ctx, t))
}

func TestVerdictsAndWinner(t *testing.T) {
	t.Parallel()
	b := setup(t, &imports.Config{BatchRows: 2}).start(t) // duplicates in different batches
	ctx := b.A.Ctx
	b.define(ctx, t, customfields.Field{Key: "tier", Type: customfields.Select, Options: []string{"gold", "silver"}}, customfields.Field{Key: "seats", Type: customfields.Number})
	for _, in := range []recipients.New{
		{Email: "same@example.com", Name: "Same", CustomFields: map[string]any{"tier": "gold", "seats": 7}},
		{Email: "change@example.com", Name: "Old", CustomFields: map[string]any{"tier": "gold", "seats": 7}},
	} {
		_, err := b.store.Create(ctx, in)
		require.NoError(t, err)
	}
	file := `Email,Name,Tier,Ignored
new@example.com,New,silver,x
NEW@Example.com ,Later,gold,x
same@example.com,Same,gold,x
change@example.com,Changed,,x
bad@example,Bad,gold,x
also@example.com,Fine,glod,x
new@example.com,Last,gold,x
`
	imp := b.process(ctx, t, file, imports.ProcessOptions{})
	require.Equal(t, map[string]*string{"Email": to("email"), "Name": to("name"), "Tier": to("fields.tier"), "Ignored": nil}, imp.Mapping)
	require.Equal(t, []int64{7, 1, 1, 1, 2, 2}, []int64{imp.TotalRows, imp.New, imp.Changed, imp.Unchanged, imp.Duplicate, imp.Invalid})
	p, err := b.importer.Preview(ctx, imp.ID)
	require.NoError(t, err)
	for _, s := range p.SampleData {
		if s.Verdict == "duplicate" {
			require.Equal(t, 8, s.DuplicateOf, "the last row wins")
		}
	}
	require.Len(t, p.SampleErrors, 2)
	require.Equal(t, "gold", p.SampleErrors[1].Errors[0].Suggestion)

	done := b.commit(ctx, t, imp.ID)
	require.Equal(t, []int64{1, 1, 0}, []int64{done.Inserted, done.Updated, done.Skipped})
	page, err := b.store.List(ctx, recipients.Query{Sort: "email"})
	require.NoError(t, err)
	got := map[string]string{}
	for _, r := range page.Items {
		got[r.Email] = fmt.Sprint(r.Name, r.CustomFields, r.Version)
	}
	require.Equal(t, map[string]string{
		"change@example.com": "Changedmap[seats:7 tier:gold] 2", // an empty cell says nothing
		"new@example.com":    "Lastmap[tier:gold] 1",
		"same@example.com":   "Samemap[seats:7 tier:gold] 1",
	}, got)
	b.counted(ctx, t)
}

func TestConflictPolicies(t *testing.T) {
	t.Parallel()
	b := setup(t, nil).start(t)
	ctx := b.A.Ctx
	b.define(ctx, t, customfields.Field{Key: "a", Type: customfields.Text}, customfields.Field{Key: "b", Type: customfields.Text})
	_, err := b.store.Create(ctx, recipients.New{Email: "x@example.com", CustomFields: map[string]any{"a": "old"}})
	require.NoError(t, err)
	file := "email,name,a,b\nx@example.com,Name,new,new\ny@example.com,,,\n"
	read := func() string {
		page, err := b.store.List(ctx, recipients.Query{Filter: `email == "x@example.com"`})
		require.NoError(t, err)
		return fmt.Sprint(page.Items[0].Name, page.Items[0].CustomFields)
	}
	skip := b.run(ctx, t, file, imports.ProcessOptions{Conflict: imports.Skip})
	require.Equal(t, []int64{1, 0, 1, 0}, []int64{skip.Inserted, skip.Changed + skip.Updated, skip.Unchanged, skip.Skipped})
	require.Equal(t, "map[a:old]", read())
	fill := b.run(ctx, t, file, imports.ProcessOptions{Conflict: imports.FillEmpty})
	require.Equal(t, []int64{0, 1, 1}, []int64{fill.Inserted, fill.Updated, fill.Unchanged})
	require.Equal(t, "Namemap[a:old b:new]", read())
	fill = b.run(ctx, t, file, imports.ProcessOptions{Conflict: imports.FillEmpty})
	require.EqualValues(t, 2, fill.Unchanged)
	update := b.run(ctx, t, file, imports.ProcessOptions{Conflict: imports.Update})
	require.EqualValues(t, 1, update.Updated)
	require.Equal(t, "Namemap[a:new b:new]", read())
}

func TestTwoImportsNeverPassTheLimit(t *testing.T) {
	t.Parallel()
	b := setup(t, nil).start(t)
	c := b.Company(t, "free") // 1,000 recipients
	file := func(prefix string) string {
		var s strings.Builder
		s.WriteString("email\n")
		for i := range 600 {
			fmt.Fprintf(&s, "%s%d@example.com\n", prefix, i)
		}
		return s.String()
	}
	one := b.process(c.Ctx, t, file("a"), imports.ProcessOptions{})
	two := b.process(c.Ctx, t, file("b"), imports.ProcessOptions{})
	_, err := b.importer.Commit(c.Ctx, one.ID)
	require.NoError(t, err)
	_, err = b.importer.Commit(c.Ctx, two.ID)
	var limit *billing.LimitError
	require.ErrorAs(t, err, &limit)
	require.Equal(t, billing.LimitError{Resource: "recipients", Existing: 600, Incoming: 600, Limit: 1000, Plan: "free"}, *limit)
	after, err := b.importer.Get(c.Ctx, two.ID)
	require.NoError(t, err)
	require.Equal(t, imports.Previewed, after.Status, "nothing of the refused commit is left")
	b.until(c.Ctx, t, one.ID, imports.Done)
	require.EqualValues(t, 600, b.counted(c.Ctx, t))
	_, err = b.importer.Commit(c.Ctx, one.ID)
	var state *imports.StateError
	require.ErrorAs(t, err, &state)
}

func TestWholeFileErrors(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	ctx := b.A.Ctx
	for name, c := range map[string]struct{ file, code string }{
		"only blank lines": {"\n\n\n", "empty_file"},
		"binary":           {"a\x00b,c\n", "not_csv"},
		"zip":              {"PK\x03\x04...", "damaged_file"},
		"bad UTF-16":       {"\xff\xfee\x00\x00\xd8m\x00", "not_utf8"},
		"no email column":  {"first,last\nA,B\n", "no_email_column"},
		"two candidates":   {"work email,home email\na,b\n", "no_email_column"},
		"header twice":     {"email,name,Name\na,b,c\n", "duplicate_column"},
		"no CSV header":    {"email,\"na\"me\n", "bad_header"},
		"unnamed column":   {"email,,name\na,b,c\n", "empty_column"},
		"header only":      {"\n\nemail,name\r\n\r\n", "no_rows"},
		"header, no end":   {"email", "no_rows"},
		"PDF":              {"%PDF-1.7\n", "not_csv"},
		"header too long":  {"email," + strings.Repeat("x", 2<<20) + "\na,b\n", "bad_header"},
		"long column name": {"email," + strings.Repeat("x", 301) + "\na,b\n", "bad_header"},
		"many columns":     {"email" + strings.Repeat(",c", 1000) + "\na,b\n", "too_many_columns"},
	} {
		imp, err := b.importer.CreateFromReader(ctx, "x.csv", strings.NewReader(c.file))
		require.NoError(t, err)
		_, err = b.importer.Process(ctx, imp.ID, imports.ProcessOptions{})
		var f *imports.FileError
		require.ErrorAs(t, err, &f, name)
		require.Equal(t, c.code, f.Reason, name)
		got, err := b.importer.Get(ctx, imp.ID)
		require.NoError(t, err)
		require.Equal(t, imports.Pending, got.Status, "it can be tried again")
	}
	imp, err := b.importer.CreateFromReader(ctx, "x.csv", strings.NewReader("Mail;Name\na@example.com;A\n"))
	require.NoError(t, err)
	_, err = b.importer.Process(ctx, imp.ID, imports.ProcessOptions{Mapping: map[string]*string{"Mial": to("email"), "Name": to("nam"), "Mail": to("email")}})
	var v *tenancy.ValidationError
	require.ErrorAs(t, err, &v)
	require.Len(t, v.Fields, 2)
	require.Equal(t, "Mail", v.Fields[0].Suggestion)
	require.Equal(t, "name", v.Fields[1].Suggestion)
	_, err = b.importer.Process(ctx, imp.ID, imports.ProcessOptions{Conflict: "merge"})
	require.ErrorAs(t, err, &v)
	_, err = b.importer.CreateUpload(ctx, imports.NewUpload{FileName: "x.csv", Size: 2 << 30})
	require.ErrorIs(t, err, imports.ErrTooLarge)
	up, err := b.importer.CreateUpload(ctx, imports.NewUpload{FileName: "x.csv", Size: 5})
	require.NoError(t, err)
	_, err = b.importer.Process(ctx, up.ID, imports.ProcessOptions{})
	require.ErrorIs(t, err, imports.ErrNotUploaded)
}

func TestUploadURL(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	ctx := b.A.Ctx
	up, err := b.importer.CreateUpload(ctx, imports.NewUpload{FileName: `C:\files\people.csv`, Size: 10})
	require.NoError(t, err)
	u, err := url.Parse(up.URL)
	require.NoError(t, err)
	put := func(u *url.URL, contentType, body string, length int64) error {
		return b.importer.Receive(t.Context(), b.local, u, contentType, length, strings.NewReader(body))
	}
	forged := *u
	forged.RawQuery = strings.Replace(u.RawQuery, "imports", "imports2", 1)
	require.ErrorIs(t, put(&forged, "text/csv", "x", 1), imports.ErrUploadURL)
	require.ErrorIs(t, put(u, "text/html", "x", 1), imports.ErrUploadURL)
	require.ErrorIs(t, put(u, "text/csv", "email\na@b.", 11), imports.ErrTooLarge, "by its length")
	require.ErrorIs(t, put(u, "text/csv", "email\na@b.c", -1), imports.ErrTooLarge, "by what came")
	require.ErrorIs(t, put(u, "text/csv", "email\na@b", 9), imports.ErrFileChanged)
	require.ErrorIs(t, put(u, "text/csv", "email\na@b", -1), imports.ErrFileChanged, "an upload that broke off")
	_, err = b.importer.Process(ctx, up.ID, imports.ProcessOptions{})
	require.ErrorIs(t, err, imports.ErrNotUploaded, "uploads that were refused left nothing behind")
	require.NoError(t, put(u, "text/csv", "email\na@b.", 10))
	require.ErrorIs(t, put(u, "text/csv", "email\nc@d.", 10), imports.ErrAlreadyUploaded)

	cancelled, err := b.importer.CreateUpload(ctx, imports.NewUpload{FileName: "x.csv", Size: 10})
	require.NoError(t, err)
	_, err = b.importer.Cancel(ctx, cancelled.ID)
	require.NoError(t, err)
	u, err = url.Parse(cancelled.URL)
	require.NoError(t, err)
	require.ErrorIs(t, put(u, "text/csv", "email\na@b.", 10), imports.ErrUploadURL)
}

func TestFieldsChangedBetweenPreviewAndCommit(t *testing.T) {
	t.Parallel()
	b := setup(t, nil).start(t)
	imp := b.process(b.A.Ctx, t, "email\na@example.com\n", imports.ProcessOptions{})
	b.define(b.A.Ctx, t, customfields.Field{Key: "late", Type: customfields.Text})
	_, err := b.importer.Commit(b.A.Ctx, imp.ID)
	require.ErrorIs(t, err, imports.ErrFieldsChanged)
	require.EqualError(t, err, "the custom fields have changed since the file was checked: process it again (late: the field is new)")
	_, err = b.importer.Process(b.A.Ctx, imp.ID, imports.ProcessOptions{})
	require.NoError(t, err)
	again := b.until(b.A.Ctx, t, imp.ID, imports.Previewed)
	require.Equal(t, []int64{1, 1}, []int64{again.TotalRows, again.New})
	require.EqualValues(t, 1, b.commit(b.A.Ctx, t, imp.ID).Inserted)
}

func TestRecipientGoneOrMadeBetweenPreviewAndCommit(t *testing.T) {
	t.Parallel()
	b := setup(t, nil).start(t)
	ctx := b.A.Ctx
	r, err := b.store.Create(ctx, recipients.New{Email: "gone@example.com", Name: "Old"})
	require.NoError(t, err)
	imp := b.process(ctx, t, "email,name\ngone@example.com,New\nmade@example.com,File\n", imports.ProcessOptions{})
	require.NoError(t, b.store.Delete(ctx, r.ID))
	_, err = b.store.Create(ctx, recipients.New{Email: "made@example.com", Name: "Hand"})
	require.NoError(t, err)
	done := b.commit(ctx, t, imp.ID)
	require.Equal(t, []int64{0, 1, 1}, []int64{done.Inserted, done.Updated, done.Skipped})
	require.EqualValues(t, 1, b.counted(ctx, t))
}

func TestCancel(t *testing.T) {
	t.Parallel()
	b := setup(t, nil).start(t)
	ctx := b.A.Ctx
	imp := b.process(ctx, t, "email\na@example.com\n", imports.ProcessOptions{})
	got, err := b.importer.Cancel(ctx, imp.ID)
	require.NoError(t, err)
	require.Equal(t, imports.Cancelled, got.Status)
	var state *imports.StateError
	_, err = b.importer.Commit(ctx, imp.ID)
	require.ErrorAs(t, err, &state)
	_, err = b.importer.Cancel(ctx, imp.ID)
	require.ErrorAs(t, err, &state)
	require.Zero(t, b.counted(ctx, t))
}

func TestErrorReport(t *testing.T) {
	t.Parallel()
	b := setup(t, nil).start(t)
	file := "email,name,note\n" +
		"good@example.com,Good,x\n" +
		"\n" +
		"bad@example,=cmd(),\"two\nlines\"\n" +
		"short@example.com\n" +
		"a\"b@example.com,x,y\n" +
		"latin@example.com,\xe9,y\n" +
		"last@example.com,Last,z\n"
	imp := b.process(b.A.Ctx, t, file, imports.ProcessOptions{})
	require.Equal(t, []int64{6, 2, 4}, []int64{imp.TotalRows, imp.New, imp.Invalid}, "one bad record costs itself only")
	var out bytes.Buffer
	require.NoError(t, b.importer.WriteErrorReport(b.A.Ctx, imp.ID, &out))
	report := out.String()
	require.True(t, strings.HasPrefix(report, "\uFEFFemail,name,note,__row,__errors,__suggestion,__import\n"), report)
	require.Contains(t, report, "bad@example,'=cmd(),\"two\nlines\",4,")
	require.Contains(t, report, ",5,\"row: has 1 cells, the header has 3")
	require.Contains(t, report, "\"a\"\"b@example.com,x,y\",,,6,\"row: a cell with a quote in it", "the line as it is, in the first column")
	require.Contains(t, report, "latin@example.com,\uFFFD,y,7,name: must be UTF-8")
}

func TestImportsNeverCrossTenants(t *testing.T) {
	t.Parallel()
	b := setup(t, nil).start(t)
	imp := b.process(b.A.Ctx, t, "email\nsecret@example.com\nbad\n", imports.ProcessOptions{})
	sibling := b.Domain(t, b.A, "sibling.example")
	for name, ctx := range map[string]context.Context{"another company": b.B.Ctx, "another domain": sibling} {
		_, err := b.importer.Get(ctx, imp.ID)
		require.ErrorIs(t, err, imports.ErrNotFound, name)
		_, err = b.importer.Preview(ctx, imp.ID)
		require.ErrorIs(t, err, imports.ErrNotFound, name)
		_, err = b.importer.Process(ctx, imp.ID, imports.ProcessOptions{})
		require.ErrorIs(t, err, imports.ErrNotFound, name)
		_, err = b.importer.Commit(ctx, imp.ID)
		require.ErrorIs(t, err, imports.ErrNotFound, name)
		_, err = b.importer.Cancel(ctx, imp.ID)
		require.ErrorIs(t, err, imports.ErrNotFound, name)
		var out bytes.Buffer
		require.ErrorIs(t, b.importer.WriteErrorReport(ctx, imp.ID, &out), imports.ErrNotFound, name)
		_, err = b.importer.Undo(ctx, imp.ID)
		require.ErrorIs(t, err, imports.ErrNotFound, name)
		require.ErrorIs(t, b.importer.WriteUndoReport(ctx, imp.ID, &out), imports.ErrNotFound, name)
		require.Zero(t, out.Len())
		require.NoError(t, b.DB.InTx(ctx, func(tx *tenancy.Tx) error {
			rows, err := tx.Query(ctx, `SELECT (SELECT count(*) FROM strata.imports) + (SELECT count(*) FROM strata.import_rows) + (SELECT count(*) FROM strata.import_changes)`)
			require.NoError(t, err)
			n, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[int])
			require.NoError(t, err)
			require.Zero(t, n, name)
			return nil
		}))
	}
	b.commit(b.A.Ctx, t, imp.ID)
	n, err := b.store.Count(b.B.Ctx, "")
	require.NoError(t, err)
	require.Zero(t, n)
	for name, ctx := range map[string]context.Context{"another company": b.B.Ctx, "another domain": sibling} {
		_, err := b.importer.Undo(ctx, imp.ID)
		require.ErrorIs(t, err, imports.ErrNotFound, name)
		require.Zero(t, one[int](ctx, t, b, `SELECT count(*)::int FROM strata.import_changes`), name)
	}
	require.Equal(t, 1, one[int](b.A.Ctx, t, b, `SELECT count(*)::int FROM strata.import_changes`))
}

// The file that is committed is the one that was previewed.
func TestReplacedFileIsRefused(t *testing.T) {
	t.Parallel()
	b := setup(t, nil).start(t)
	ctx := b.A.Ctx
	imp := b.process(ctx, t, "email\nada@example.com\n", imports.ProcessOptions{})
	objectKey := one[string](ctx, t, b, `SELECT object_key FROM strata.imports WHERE id = $1`, imp.ID)
	require.NoError(t, b.local.Bucket.WriteAll(ctx, objectKey, []byte("email\neve@example.com\n"), nil))
	_, err := b.importer.Commit(ctx, imp.ID)
	require.ErrorIs(t, err, imports.ErrFileChanged)
	require.NoError(t, b.local.Bucket.Delete(ctx, objectKey))
	_, err = b.importer.Commit(ctx, imp.ID)
	require.ErrorIs(t, err, imports.ErrFileChanged)
	require.Zero(t, b.counted(ctx, t))
	again, err := b.importer.Get(ctx, imp.ID)
	require.NoError(t, err)
	require.Equal(t, imports.Previewed, again.Status)
}
