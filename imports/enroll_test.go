package imports_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/imports"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/recipients/phone"
	"github.com/stratakit/strata/recipients/sms"
	"github.com/stratakit/strata/recipients/whatsapp"
	"github.com/stratakit/strata/tenancy"
)

// Seat is what a product of these tests has of a recipient: a column of every kind.
type Seat struct {
	bun.BaseModel `bun:"table:strata.recipient_seats"`
	recipients.Enrollment

	Code   string         `bun:"code,nullzero" strata:"unique"`
	Seats  int64          `bun:"seats"         strata:"filterable"`
	Score  float64        `bun:"score"`
	Member bool           `bun:"member"`
	Since  *time.Time     `bun:"since"`
	Level  string         `bun:"level,nullzero,default:'low'" strata:"options:low|high"`
	Used   int64          `bun:"used"          strata:"readonly"`
	Meta   map[string]any `bun:"meta"`
	Secret string         `bun:"secret"        json:"-"`
	Serial int64          `bun:"serial"`
	Price  string         `bun:"price,nullzero,type:numeric(30,4)"`
}

// checkSeat is what the product says of a row.
func checkSeat(_ context.Context, row *Seat) error {
	v := &tenancy.ValidationError{}
	row.Code = strings.ToUpper(row.Code)
	if row.Seats < 0 || row.Seats > 100 {
		v.Add("seats", "out_of_range", "must be at most 100")
	}
	if row.Member && row.Since == nil {
		v.Add("since", "required", "must say since when they are a member")
	}
	return v.OrNil()
}

// products are the extensions of a process.
type products struct {
	sms   *sms.Enrollments
	seats *recipients.Enrollments[Seat]
	all   *recipients.Registry
}

func register(region string) (p products, err error) {
	p.all = recipients.NewRegistry()
	if p.sms, err = sms.Register(p.all, &sms.Config{DefaultRegion: region}); err != nil {
		return p, err
	}
	if _, err = whatsapp.Register(p.all, nil); err != nil {
		return p, err
	}
	p.seats, err = recipients.Register(p.all, recipients.Extension[Seat]{Name: "seat", Product: "theatre", Check: checkSeat})
	return p, err
}

// extended is setup with products, of which numbers without a country are those of a region.
func extended(t *testing.T, cfg *imports.Config, region string) (*bundle, products) {
	t.Helper()
	b := &bundle{Env: tenancytest.Open(t), dir: t.TempDir()}
	p, err := register(region)
	require.NoError(t, err)
	require.NoError(t, p.all.Migrate(t.Context(), b.Direct(t)))
	b.extensions = p.all
	return setupIn(t, b, cfg), p
}

func (b *bundle) add(ctx context.Context, t *testing.T, email string) recipients.ID {
	t.Helper()
	r, err := b.store.Create(ctx, recipients.New{Email: email + "@example.com", Name: "Before"})
	require.NoError(t, err)
	return r.ID
}

func (b *bundle) recipient(ctx context.Context, t *testing.T, name string) recipients.ID {
	t.Helper()
	page, err := b.store.List(ctx, recipients.Query{Filter: fmt.Sprintf("email == %q", name+"@example.com")})
	require.NoError(t, err)
	require.Len(t, page.Items, 1)
	return page.Items[0].ID
}

func (b *bundle) has(ctx context.Context, t *testing.T, product, columns string) map[string]string {
	t.Helper()
	return one[map[string]string](ctx, t, b, `SELECT coalesce(jsonb_object_agg(split_part(r.email_norm, '@', 1), concat_ws(' ', `+columns+`)), '{}')
		FROM strata.recipients r JOIN strata.recipient_`+product+` x ON x.domain_id = r.domain_id AND x.recipient_id = r.id WHERE r.domain_id = (SELECT current_setting('strata.domain_id')::uuid)`)
}

func TestColumnsOfAnExtensionEnroll(t *testing.T) {
	t.Parallel()
	b, p := extended(t, &imports.Config{BatchRows: 2}, "")
	b.start(t)
	ctx := b.A.Ctx
	same, other, none := b.add(ctx, t, "same"), b.add(ctx, t, "other"), b.add(ctx, t, "none")
	require.NoError(t, p.sms.Enroll(ctx, same, &sms.SMS{Contact: number("+493012345678")}))
	require.NoError(t, p.sms.Enroll(ctx, other, &sms.SMS{Contact: number("+493012345678")}))
	foreign := b.add(b.B.Ctx, t, "same")
	file := `email,Phone
new@example.com,+49 (30) 123-45678
same@example.com,+49 30 12345678
other@example.com,+49 30 87654321
none@example.com,+49 30 87654321
empty@example.com,
bad@example.com,12
`
	imp := b.process(ctx, t, file, imports.ProcessOptions{Mapping: map[string]*string{"email": to("email"), "Phone": to("sms.phone")}})
	require.Equal(t, []int64{6, 2, 2, 1, 1}, []int64{imp.TotalRows, imp.New, imp.Changed, imp.Unchanged, imp.Invalid})
	require.Equal(t, "sms.phone", *imp.Mapping["Phone"])
	pre, err := b.importer.Preview(ctx, imp.ID)
	require.NoError(t, err)
	require.Equal(t, map[string]map[string]any{"sms": {"phone": "+493012345678"}}, sampled(pre.SampleData[0].Data["extensions"]))
	require.Nil(t, pre.SampleData[1].Data["extensions"])
	e := pre.SampleErrors[0].Errors[0]
	require.Equal(t, []string{"Phone", "sms.phone", "12", "phone_short_code"}, []string{e.Column, e.Field, e.Value, e.Code})
	require.Empty(t, b.has(ctx, t, "sms", "NULL")["new"], "a preview enrols nobody")

	done := b.commit(ctx, t, imp.ID)
	require.Equal(t, []int64{2, 2, 0}, []int64{done.Inserted, done.Updated, done.Skipped})
	require.Equal(t, map[string]string{"new": "+493012345678 1", "same": "+493012345678 1", "other": "+493087654321 2", "none": "+493087654321 1"},
		b.has(ctx, t, "sms", "x.phone, x.version"))
	require.EqualValues(t, 4, one[int64](ctx, t, b, `SELECT sum(n)::bigint FROM strata.recipient_counts WHERE kind = 'extension' AND key = 'sms'`))
	r, err := b.store.Get(ctx, none)
	require.NoError(t, err)
	require.EqualValues(t, 1, r.Version, "the recipient itself stays as it was")
	for action, want := range map[string]int{"recipient.enrolled": 2 + 2, "recipient.enrollment_updated": 1} {
		require.Equal(t, want, one[int](ctx, t, b, `SELECT count(*)::int FROM strata.audit_entries WHERE action = $1 AND metadata->>'extension' = 'sms'`, action))
	}
	require.Equal(t, 1, one[int](ctx, t, b, `SELECT count(*)::int FROM strata.audit_entries WHERE action = 'recipient.enrollment_updated' AND resource_id = $1 AND metadata->'fields' = '["phone"]'`, other.String()))

	again := b.run(ctx, t, file, imports.ProcessOptions{Mapping: map[string]*string{"email": to("email"), "Phone": to("sms.phone")}})
	require.EqualValues(t, 5, again.Unchanged)
	_, err = p.sms.Get(b.B.Ctx, foreign)
	require.ErrorIs(t, err, recipients.ErrNotEnrolled, "another tenant's recipient of that address")
	require.Empty(t, b.has(b.B.Ctx, t, "sms", "x.phone"))
}

func TestPoliciesWithExtensions(t *testing.T) {
	t.Parallel()
	for policy, want := range map[imports.Conflict]struct {
		verdicts []int64
		phones   map[string]string
	}{
		imports.Update:    {[]int64{1, 2, 1}, map[string]string{"new": "+493011111111", "has": "+493022222222", "not": "+493033333333", "same": "+493044444444"}},
		imports.FillEmpty: {[]int64{1, 1, 2}, map[string]string{"new": "+493011111111", "has": "+493099999999", "not": "+493033333333", "same": "+493044444444"}},
		imports.Skip:      {[]int64{1, 0, 3}, map[string]string{"new": "+493011111111", "has": "+493099999999", "same": "+493044444444"}},
	} {
		t.Run(string(policy), func(t *testing.T) {
			t.Parallel()
			b, p := extended(t, nil, "")
			b.start(t)
			ctx := b.A.Ctx
			require.NoError(t, p.sms.Enroll(ctx, b.add(ctx, t, "has"), &sms.SMS{Contact: number("+493099999999")}))
			require.NoError(t, p.sms.Enroll(ctx, b.add(ctx, t, "same"), &sms.SMS{Contact: number("+493044444444")}))
			b.add(ctx, t, "not")
			imp := b.process(ctx, t, "email,sms.phone\nnew@example.com,+493011111111\nhas@example.com,+493022222222\nnot@example.com,+493033333333\nsame@example.com,+493044444444\n", imports.ProcessOptions{Conflict: policy})
			require.Equal(t, want.verdicts, []int64{imp.New, imp.Changed, imp.Unchanged})
			before := b.dump(ctx, t)
			done := b.commit(ctx, t, imp.ID)
			require.Equal(t, want.verdicts[:2], []int64{done.Inserted, done.Updated})
			require.Equal(t, want.phones, b.has(ctx, t, "sms", "x.phone"))
			undone := b.undo(ctx, t, imp.ID)
			require.Zero(t, undone.Kept)
			require.Equal(t, before, b.dump(ctx, t))
		})
	}
}

// Values of every type, from cells as they are written; what they cannot be is an error of the row.
func TestCellsOfEveryTypeForExtensions(t *testing.T) {
	t.Parallel()
	b, _ := extended(t, nil, "")
	b.start(t)
	ctx := b.A.Ctx
	o := imports.ProcessOptions{
		Mapping: map[string]*string{"email": to("email"), "Code": to("seat.code"), "Seats": to("seat.seats"), "Score": to("seat.score"), "Member": to("seat.member"), "Since": to("seat.since"), "Level": to("seat.level")},
	}
	file := `email,Code,Seats,Score,Member,Since,Level
full@example.com,ab,"1.0",2.5,yes,31/01/2026,high
some@example.com,,7,,,,
none@example.com,,,,,,
bad@example.com,x,1.5,x,perhaps,31/02/2026,middle
many@example.com,y,101,,yes,,
`
	imp := b.process(ctx, t, file, o)
	require.Equal(t, []int64{3, 2}, []int64{imp.New, imp.Invalid})
	require.Equal(t, "DD/MM/YYYY", imp.Formats["Since"])
	got := b.problems(t, imp.ID)
	for _, says := range []string{"seat.score: must be a number", "seat.member: must be", "seat.since: must be a date written as DD/MM/YYYY"} {
		require.Contains(t, got["bad"], says)
	}
	require.NotContains(t, got["bad"], "at most 100", "what cannot be read is not checked further")
	require.Contains(t, got["many"], "seat.seats: must be at most 100; seat.since: must say since when they are a member")
	b.commit(ctx, t, imp.ID)
	require.Equal(t, map[string]string{"full": "AB 1 2.5 t 2026-01-31T00:00:00 high 0", "some": "7 0 f low 0"},
		b.has(ctx, t, "seats", `x.code, x.seats, x.score, x.member, to_char(x.since AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS'), x.level, x.used`))
	require.EqualValues(t, 3, b.run(ctx, t, file, o).Unchanged)

	o.Mapping = map[string]*string{"email": to("email"), "Price": to("seat.price")}
	imp = b.run(ctx, t, "email,Price\np1@example.com,0012345678901234567.8901\np2@example.com,-0.5\np3@example.com,1e3\np4@example.com,x\n", o)
	require.EqualValues(t, 3, imp.Inserted)
	require.Contains(t, b.problems(t, imp.ID)["p4"], "seat.price: must be a number")
	prices := b.has(ctx, t, "seats", "x.price")
	require.Equal(t, []string{"12345678901234567.8901", "-0.5000", "1000.0000"}, []string{prices["p1"], prices["p2"], prices["p3"]})

	o.Constants, o.Mapping = map[string]string{"seat.level": "high"}, map[string]*string{"email": to("email"), "Seats": to("seat.seats")}
	imp = b.run(ctx, t, "email,Seats\nc1@example.com,3\nc2@example.com,\n", o)
	require.EqualValues(t, 2, imp.Inserted)
	require.Equal(t, "3 high", b.has(ctx, t, "seats", "x.seats, x.level")["c1"])
	require.NotContains(t, b.has(ctx, t, "seats", "x.seats"), "c2", "a constant beside empty cells enrols nobody")
	o.Mapping = map[string]*string{"email": to("email")}
	b.run(ctx, t, "email,Seats\nc3@example.com,3\n", o)
	require.Equal(t, "0 high", b.has(ctx, t, "seats", "x.seats, x.level")["c3"], "one that is all there is of the extension enrols all")
}

func TestTargetsOfExtensions(t *testing.T) {
	t.Parallel()
	b, _ := extended(t, nil, "")
	b.start(t)
	elsewhere := recipients.NewRegistry()
	type Club struct {
		bun.BaseModel `bun:"table:strata.recipient_club"`
		recipients.Enrollment
		Card string `bun:"card"`
	}
	_, err := recipients.Register(elsewhere, recipients.Extension[Club]{Name: "club", Product: "another"})
	require.NoError(t, err)
	require.NoError(t, elsewhere.Migrate(t.Context(), b.Direct(t)))
	for target, want := range map[string][]string{
		"sms.phon":    {"unknown_target", `sms has no such column: must be one of "sms.phone", `, "sms.phone"},
		"smss.phone":  {"unknown_target", `must be email, name, status, fields.<key>, one of "seat.code"`, "sms.phone"},
		"seat.used":   {"read_only", "is set by seat alone", ""},
		"seat.meta":   {"not_allowed", "a cell cannot say it", ""},
		"seat.secret": {"unknown_target", "seat has no such column", ""},
		"club.card":   {"other_product", "club is kept by another product", ""},
	} {
		for field, o := range map[string]imports.ProcessOptions{
			"mapping.Phone":               {Mapping: map[string]*string{"email": to("email"), "Phone": &target}},
			"options.constants." + target: {Constants: map[string]string{target: "x"}},
			"options.join." + target:      {Join: map[string][]string{target: {"Phone", "Other"}}},
			"options.split.Phone":         {Split: map[string][]string{"Phone": {target, "name"}}},
		} {
			imp, err := b.importer.CreateFromReader(b.A.Ctx, "x.csv", strings.NewReader("email,Phone,Other\na@example.com,x,y\n"))
			require.NoError(t, err)
			_, err = b.importer.Process(b.A.Ctx, imp.ID, o)
			var v *tenancy.ValidationError
			require.ErrorAs(t, err, &v, target)
			require.Equal(t, []string{field, want[0]}, []string{v.Fields[0].Field, v.Fields[0].Code}, target)
			require.Contains(t, v.Fields[0].Message, want[1], target)
			if want[2] != "" {
				require.Equal(t, want[2], v.Fields[0].Suggestion)
			}
		}
	}
	for target, constant := range map[string]string{"seat.level": "middle", "seat.seats": "1.5", "sms.phone": "12"} { // which no row could have
		imp, err := b.importer.CreateFromReader(b.A.Ctx, "x.csv", strings.NewReader("email,seat.code\na@example.com,x\n"))
		require.NoError(t, err)
		_, err = b.importer.Process(b.A.Ctx, imp.ID, imports.ProcessOptions{Constants: map[string]string{target: constant, "sms.optedIn": "true"}})
		var v *tenancy.ValidationError
		require.ErrorAs(t, err, &v, target)
		require.Len(t, v.Fields, 1, "what a constant is not complete without may be in a cell")
		require.Equal(t, "options.constants."+target, v.Fields[0].Field)
	}
	imp := b.run(b.A.Ctx, t, "email,a,b,both\nx@example.com,A,1,x y\n", imports.ProcessOptions{Join: map[string][]string{"seat.code": {"a", "b"}}, Mapping: map[string]*string{"email": to("email")}})
	require.EqualValues(t, 1, imp.Inserted)
	require.Equal(t, map[string]string{"x": "A 1"}, b.has(b.A.Ctx, t, "seats", "x.code"))
}

func TestTakenValuesOfExtensionsAreErrorsOfRows(t *testing.T) {
	t.Parallel()
	b, p := extended(t, &imports.Config{BatchRows: 3}, "")
	b.start(t)
	ctx := b.A.Ctx
	for _, name := range []string{"owner", "own", "late"} {
		require.NoError(t, p.seats.Enroll(ctx, b.add(ctx, t, name), &Seat{Code: name}))
	}
	require.NoError(t, p.seats.Enroll(b.B.Ctx, b.add(b.B.Ctx, t, "foreign"), &Seat{Code: "foreign"}))
	file := "email,seat.code,seat.serial\n"
	for _, row := range []string{"a,Owner,", "b,new,", "c,NEW,", "own,own,", "d,foreign,", "late,late2,", "e,soon,9007199254740993", "f,fine,"} {
		email, code, _ := strings.Cut(row, ",")
		file += email + "@example.com," + code + "\n"
	}
	imp := b.process(ctx, t, file, imports.ProcessOptions{})
	require.Equal(t, []int64{4, 1, 1, 2}, []int64{imp.New, imp.Changed, imp.Unchanged, imp.Invalid})
	got := b.problems(t, imp.ID)
	require.Equal(t, "OWNER,,2,seat.code: another recipient of the domain has this value,", got["a"])
	require.Equal(t, "NEW,,4,seat.code: row 3 has this value too,", got["c"])

	// Taken between preview and commit: the row is skipped as a whole, and no other.
	require.NoError(t, p.seats.Enroll(ctx, b.add(ctx, t, "quick"), &Seat{Code: "soon"}))
	done := b.commit(ctx, t, imp.ID)
	require.Equal(t, []int64{3, 1, 1}, []int64{done.Inserted, done.Updated, done.Skipped})
	require.Equal(t, "SOON,9007199254740993,8,seat.code: another recipient of the domain has this value,", b.problems(t, imp.ID)["e"])
	require.Equal(t, map[string]string{"b": "NEW", "d": "FOREIGN", "f": "FINE", "late": "LATE2", "own": "OWN", "owner": "OWNER", "quick": "SOON"}, b.has(ctx, t, "seats", "x.code"))
	require.EqualValues(t, 7, b.counted(ctx, t), "the recipient of the row that was skipped is not made")
}

// What a column of the table cannot hold is an error of its row; what has no value there is taken by
// nobody. Where PostgreSQL alone knows, the commit says so.
func TestCellsThatAColumnCannotHold(t *testing.T) {
	t.Parallel()
	type Badge struct {
		bun.BaseModel `bun:"table:strata.recipient_badges"`
		recipients.Enrollment

		Locker int64   `bun:"locker,nullzero,type:integer" strata:"unique"`
		Pass   string  `bun:"pass,nullzero,type:uuid"      strata:"unique"`
		Desk   float32 `bun:"desk,nullzero"                strata:"unique"`
	}
	b := &bundle{Env: tenancytest.Open(t), dir: t.TempDir(), extensions: recipients.NewRegistry()}
	badges, err := recipients.Register(b.extensions, recipients.Extension[Badge]{Name: "badge"})
	require.NoError(t, err)
	require.NoError(t, b.extensions.Migrate(t.Context(), b.Direct(t)))
	setupIn(t, b, nil).start(t)
	ctx := b.A.Ctx
	pass := "9f0c4a3e-0b1d-4a57-8a4f-0f5f0f6b7c11"
	require.NoError(t, badges.Enroll(ctx, b.add(ctx, t, "owner"), &Badge{Pass: pass, Desk: 1.5}))
	file := "email,badge.locker,badge.pass,badge.desk\n"
	for i, row := range []string{"3000000000,,", ",abc,", "0,,", "0,,", "7,,", "7,,", "," + strings.ToUpper(pass) + ",", ",,1.5", ",,2.5"} {
		file += fmt.Sprintf("r%d@example.com,%s\n", i, row)
	}
	imp := b.process(ctx, t, file, imports.ProcessOptions{})
	require.Equal(t, []int64{5, 4}, []int64{imp.New, imp.Invalid})
	got := b.problems(t, imp.ID)
	for row, says := range map[string]string{"r0": "badge.locker: must be a whole number from -2147483648 to 2147483647", "r1": "badge.pass: must be a UUID", "r5": "badge.locker: row 6 has this value too", "r6": "badge.pass: another recipient of the domain has this value"} {
		require.Contains(t, got[row], says)
	}
	done := b.commit(ctx, t, imp.ID)
	require.Equal(t, []int64{4, 1}, []int64{done.Inserted, done.Skipped})
	require.Contains(t, b.problems(t, imp.ID)["r7"], "badge.desk: another recipient of the domain has this value")
	require.Equal(t, map[string]string{"owner": "", "r2": "", "r3": "", "r4": "7", "r8": ""}, b.has(ctx, t, "badges", "x.locker"))
}

// A merged row that the product refuses: who opted out stays so, whatever the file says.
func TestExtensionRefusesWhatARowMakesOfARecipient(t *testing.T) {
	t.Parallel()
	b, p := extended(t, nil, "")
	b.start(t)
	ctx := b.A.Ctx
	out, late := b.add(ctx, t, "out"), b.add(ctx, t, "late")
	for _, id := range []recipients.ID{out, late} {
		require.NoError(t, p.sms.Enroll(ctx, id, &sms.SMS{Contact: number("+493012345678")}))
	}
	_, err := p.sms.OptOut(ctx, out, "STOP", time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC))
	require.NoError(t, err)
	row := ",+493012345678,true,2026-05-01,fair\n"
	imp := b.process(ctx, t, "email,sms.phone,sms.optedIn,sms.optedInAt,sms.optedInSource\nout@example.com"+row+"late@example.com"+row+"new@example.com"+row, imports.ProcessOptions{})
	require.Equal(t, []int64{1, 1, 1}, []int64{imp.New, imp.Changed, imp.Invalid})
	require.Contains(t, b.problems(t, imp.ID)["out"], "sms.optedInAt: must be later than optedOutAt, 2026-06-01T00:00:00Z")
	_, err = p.sms.OptOut(ctx, late, "STOP", time.Date(2026, 6, 2, 0, 0, 0, 0, time.UTC))
	require.NoError(t, err)
	done := b.commit(ctx, t, imp.ID)
	require.Equal(t, []int64{1, 0, 1}, []int64{done.Inserted, done.Updated, done.Skipped})
	require.Contains(t, b.problems(t, imp.ID)["late"], "must be later than optedOutAt, 2026-06-02T00:00:00Z")
	require.Equal(t, map[string]string{"out": "f", "late": "f", "new": "t"}, b.has(ctx, t, "sms", "x.opted_in"))

	// Nor does one that knows of an earlier word only, as an export of before.
	stored := b.has(ctx, t, "sms", "x.opted_in, x.opted_in_at, x.opted_out_at, x.opted_out_source, x.version")
	header := "email,sms.phone,sms.optedIn,sms.optedInAt,sms.optedInSource,sms.optedOutAt,sms.optedOutSource\n"
	file := header + "out@example.com,+493012345678,true,2026-05-01,fair,2026-04-01,old\nlate@example.com,+493012345678,false,,,2026-04-01,old\n"
	imp = b.process(ctx, t, file, imports.ProcessOptions{})
	require.Equal(t, []int64{0, 1, 1}, []int64{imp.Changed, imp.Unchanged, imp.Invalid})
	require.Contains(t, b.problems(t, imp.ID)["out"], "sms.optedInAt: must be later than optedOutAt, 2026-06-01T00:00:00Z")
	b.commit(ctx, t, imp.ID)
	require.Equal(t, stored, b.has(ctx, t, "sms", "x.opted_in, x.opted_in_at, x.opted_out_at, x.opted_out_source, x.version"))
	imp = b.process(ctx, t, header+"new@example.com,+493012345678,true,2026-05-02,fair,2026-04-01,old\n", imports.ProcessOptions{})
	require.EqualValues(t, 1, imp.Changed)
	_, err = p.sms.OptOut(ctx, b.recipient(ctx, t, "new"), "STOP", time.Date(2026, 6, 3, 0, 0, 0, 0, time.UTC))
	require.NoError(t, err)
	done = b.commit(ctx, t, imp.ID)
	require.Equal(t, []int64{0, 1}, []int64{done.Updated, done.Skipped})
	require.Contains(t, b.problems(t, imp.ID)["new"], "must be later than optedOutAt, 2026-06-03T00:00:00Z")

	// What they said after that counts, and columns of agreements that are empty say nothing.
	done = b.run(ctx, t, header+"out@example.com,+493012345678,true,2026-06-05,fair,2026-04-01,old\nlate@example.com,+493087654321,,,,,\n", imports.ProcessOptions{})
	require.EqualValues(t, 2, done.Updated)
	require.Equal(t, map[string]string{"out": "+493012345678 t 06-01 STOP", "late": "+493087654321 f 06-02 STOP", "new": "+493012345678 f 06-03 STOP"},
		b.has(ctx, t, "sms", "x.phone, x.opted_in, to_char(x.opted_out_at AT TIME ZONE 'UTC', 'MM-DD'), x.opted_out_source"))
}

// Line 43: phones without a country need the region of the process; extensions; the notation in
// which spreadsheets shorten long numbers.
func TestPhonesOfAllKinds(t *testing.T) {
	t.Parallel()
	for region, cells := range map[string]map[string]string{
		"": {
			"+49 30 12345678": "= +493012345678", "030 12345678": "invalid_phone has no country code ", "4930 12345678": "invalid_phone has no country code +493012345678",
			"0049 30 12345678": "invalid_phone has no country code +493012345678", "+49 30 12345678 x12": "phone_extension has the extension 12 +493012345678",
			"4.91701E+11": "invalid_phone spreadsheet ", "4,91701E+11": "invalid_phone spreadsheet ", "4.9301234567E+11": "invalid_phone spreadsheet ", "110": "phone_short_code short code ",
			"+49 30 1": "invalid_phone too few digits ", "n/a": "invalid_phone digits ",
		},
		"DE": {"030 12345678": "= +493012345678", "0049 30 12345678": "= +493012345678", "+1 202 555 0143": "= +12025550143", "4.91701E+11": "invalid_phone spreadsheet ", "030 12345678 ext. 12": "phone_extension has the extension 12 +493012345678"},
	} {
		t.Run("region "+region, func(t *testing.T) {
			t.Parallel()
			b, _ := extended(t, nil, region)
			b.start(t)
			for cell, want := range cells {
				pre := b.previewed(t, "email,sms.phone\nx@example.com,\""+cell+"\"\n", imports.ProcessOptions{})
				if stored, ok := strings.CutPrefix(want, "= "); ok {
					require.Equal(t, map[string]map[string]any{"sms": {"phone": stored}}, sampled(pre.SampleData[0].Data["extensions"]), cell)
					continue
				}
				require.Len(t, pre.SampleErrors, 1, cell)
				e := pre.SampleErrors[0].Errors[0]
				code, rest, _ := strings.Cut(want, " ")
				says, suggestion := rest[:strings.LastIndexByte(rest, ' ')], rest[strings.LastIndexByte(rest, ' ')+1:]
				require.Equal(t, []string{"sms.phone", cell, code, suggestion}, []string{e.Column, e.Value, e.Code, e.Suggestion}, cell)
				require.Contains(t, e.Message, says, cell)
			}
		})
	}
}

// A sure guess is only what is called so; a column of phones is for a person to confirm.
func TestPhonesAreSuggested(t *testing.T) {
	t.Parallel()
	b, _ := extended(t, nil, "")
	b.start(t)
	for header, want := range map[string]string{
		"Phone": "sms.phone", "Mobile": "sms.phone", "SMS number": "sms.phone", "Tel.": "sms.phone", "Handynummer": "sms.phone", "WhatsApp": "whatsapp.phone", "WhatsApp number": "whatsapp.phone", "Seats": "", "Revenue": "",
	} {
		imp := b.process(b.A.Ctx, t, fmt.Sprintf("email,%s\na@example.com,+49 30 12345678\nb@example.com,030/1234-567\n", header), imports.ProcessOptions{})
		require.Nil(t, imp.Mapping[header], header)
		got := ""
		for _, s := range imp.Suggestions {
			if s.Column == header {
				require.Equal(t, imports.Likely, s.Confidence)
				got = s.Target
			}
		}
		require.Equal(t, want, got, header)
	}
	imp := b.process(b.A.Ctx, t, "email,Phone\na@example.com,yes\nb@example.com,no\n", imports.ProcessOptions{})
	require.Len(t, imp.Suggestions, 1, "no numbers")

	// What was confirmed once is kept.
	mapping := map[string]*string{"email": to("email"), "Mobile": to("sms.phone")}
	b.run(b.A.Ctx, t, "email,Mobile\na@example.com,+49 30 12345678\n", imports.ProcessOptions{Mapping: mapping})
	imp = b.run(b.A.Ctx, t, "email,Mobile\nb@example.com,+49 30 12345678\n", imports.ProcessOptions{})
	require.Equal(t, mapping, imp.Mapping)
	require.Len(t, b.has(b.A.Ctx, t, "sms", "x.phone"), 2)
}

// A process without a product keeps what columns are to it.
func TestMappingsOfOtherProductsAreRemembered(t *testing.T) {
	t.Parallel()
	b, _ := extended(t, nil, "")
	ctx := b.A.Ctx
	as := func(of *recipients.Registry, do func()) {
		t.Helper()
		b.extensions = of
		b.wire(t, runs(), nil)
		require.NoError(t, b.runner.Start(t.Context()))
		do()
		require.NoError(t, b.runner.Stop(context.Background()))
	}
	with := func(do func()) {
		t.Helper()
		p, err := register("")
		require.NoError(t, err)
		as(p.all, do)
	}
	file := func(who string) string {
		return "email,Mobile,K1,K2,K3,Wann\n" + who + "@example.com,+49 30 12345678,A b,+49 30,12345678,03/04/26\n"
	}
	o := imports.ProcessOptions{
		Mapping: map[string]*string{"email": to("email"), "Mobile": to("sms.phone"), "Wann": to("seat.since")},
		Split:   map[string][]string{"K1": {"seat.code", "name"}}, Join: map[string][]string{"whatsapp.phone": {"K2", "K3"}}, Formats: map[string]string{"Wann": "MM/DD/YY"},
	}
	var first, last imports.Import
	with(func() { first = b.run(ctx, t, file("a"), o) })
	as(nil, func() {
		imp := b.run(ctx, t, strings.ToUpper(file("b")), imports.ProcessOptions{})
		require.Nil(t, imp.Mapping["MOBILE"])
	})
	with(func() { last = b.run(ctx, t, file("c"), imports.ProcessOptions{}) })
	require.Equal(t, []any{first.Mapping, first.Split, first.Join, first.Formats}, []any{last.Mapping, last.Split, last.Join, last.Formats})
	as(nil, func() { // what it is here counts
		o := imports.ProcessOptions{Mapping: map[string]*string{"email": to("email"), "Mobile": to("name")}}
		b.run(ctx, t, file("d"), o)
	})
	with(func() {
		require.Equal(t, "name", *b.process(ctx, t, file("e"), imports.ProcessOptions{}).Mapping["Mobile"])
	})
}

func number(typed string) phone.Contact { return phone.Contact{Phone: typed} }

// sampled is what a preview shows of extensions.
func sampled(data any) map[string]map[string]any {
	raw, err := json.Marshal(data)
	if err != nil {
		return nil
	}
	var out map[string]map[string]any
	if json.Unmarshal(raw, &out) != nil {
		return nil
	}
	return out
}

// A process without the extensions of a file leaves its runs to one that has them.
func TestProcessWithoutTheExtension(t *testing.T) {
	t.Parallel()
	b, _ := extended(t, nil, "DE")
	ctx := b.A.Ctx
	without := *b
	without.extensions = nil
	without.wire(t, runs(), nil)
	without.start(t)
	left := func(id imports.ID) func() bool {
		return func() bool {
			attempts, err := without.runner.Attempts(ctx, bulk.RunID(id))
			require.NoError(t, err)
			run, err := without.runner.Get(ctx, bulk.RunID(id))
			require.NoError(t, err)
			require.Zero(t, run.Failures)
			return len(attempts) > 0 && attempts[0].Outcome == bulk.AttemptInterrupted && run.PublicError() == `extension "sms": another product keeps this: ask there`
		}
	}
	imp := b.begin(ctx, t, "email,sms.phone\na@example.com,030 12345678\n", imports.ProcessOptions{})
	require.Eventually(t, left(imp.ID), within, 5*time.Millisecond)
	b.start(t)
	imp = b.until(ctx, t, imp.ID, imports.Previewed)
	require.EqualValues(t, 1, b.commit(ctx, t, imp.ID).Inserted)
	require.Equal(t, map[string]string{"a": "+493012345678"}, b.has(ctx, t, "sms", "x.phone"))
}
