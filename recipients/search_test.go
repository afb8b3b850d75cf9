package recipients_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"golang.org/x/text/unicode/norm"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
)

func (b *bundle) search(ctx context.Context, t *testing.T, text string) []string {
	t.Helper()
	p, err := b.store.List(ctx, recipients.Query{Search: text, Sort: "email", PageRequest: tenancy.PageRequest{PageSize: 500}})
	require.NoError(t, err)
	require.EqualValues(t, len(p.Items), p.Total)
	names := []string{}
	for _, r := range p.Items {
		names = append(names, r.Name)
	}
	return names
}

var accents = regexp.MustCompile(`[\x{0300}-\x{036f}]`)

// folded is what search compares, worked out in another way.
func folded(s string) string {
	return " " + strings.ToLower(accents.ReplaceAllString(norm.NFKD.String(s), ""))
}

// A search answers the same by its index, by the index without the domain and without one,
// and what its description says.
func TestSearch(t *testing.T) {
	t.Parallel()
	b := setup(t)
	names := []string{
		"Ada Lovelace", "adalbert", "Lea", "", "José Núñez", "JOSE\u0301 MARIA", "Škoda", "ŠKODA auto", "Søren", "Müller-Lüdenscheid",
		"Straße", "Ｆｕｌｌ width", "山田 太郎", "太郎", "Привет Мир", "Йод", "100% sure", "a_b", "ab", `back\slash`, "O'Brien", "a..b", "...", "x.", "  spaced   out",
	}
	for i, name := range names {
		b.create(b.A.Ctx, t, recipients.New{Email: fmt.Sprintf("r%02d@example.com", i), Name: name})
	}
	b.create(b.B.Ctx, t, recipients.New{Email: "theirs@example.com", Name: "Ada of B"})
	b.create(b.Domain(t, b.A, "sibling.example"), t, recipients.New{Email: "sibling@example.com", Name: "Ada next door"})

	needles := []string{
		"ada", "ADA", "dal", "lov", "l", "le", "ea", "jose", "José", "JOSE\u0301", "nunez", "skoda", "škoda", "soren", "søren", "ø", "müller", "ludens", "lü",
		"strasse", "straße", "full", "山田", "太", "太郎", "山田 太", "привет", "МИР", "р", "йод", "иод", "100%", "%", "%%", "%%%", "_", "a_b", "a.b", `\`, `k\s`, `\%_`,
		"'", "o'b", "o'", "..", "...", "a..", ".", "x.", "e l", "o", "ut", "absent", "r1@", "spaced   ",
	}
	check := func(how string) {
		for _, needle := range needles {
			want := []string{}
			looked := folded(strings.TrimSpace(needle))
			if len([]rune(looked)) > 3 {
				looked = looked[1:]
			}
			for _, name := range names {
				if strings.Contains(folded(strings.TrimSpace(name)), looked) {
					want = append(want, strings.TrimSpace(name))
				}
			}
			require.Equal(t, want, b.search(b.A.Ctx, t, needle), "%s: %q", how, needle)
		}
	}
	check("by the index")
	exec := func(q string) {
		_, err := b.Pool.Exec(t.Context(), q)
		require.NoError(t, err)
	}
	exec(`DROP INDEX strata.recipients_search; CREATE INDEX recipients_search ON strata.recipients USING gin (strata.search_text(name) gin_trgm_ops)`)
	check("by an index without the domain")
	exec(`DROP INDEX strata.recipients_search; DROP EXTENSION pg_trgm`)
	check("without an index")
}

func TestASearchThatIsTooLong(t *testing.T) {
	t.Parallel()
	b := setup(t)
	name := strings.Repeat("ä", 300)
	b.create(b.A.Ctx, t, recipients.New{Email: "ada@example.com", Name: name})
	require.Equal(t, []string{name}, b.search(b.A.Ctx, t, " "+name+" "))
	_, err := b.store.List(b.A.Ctx, recipients.Query{Search: name + "x", Sort: "age"})
	require.Equal(t, map[string]string{"search": "too_long", "sort": "unknown_sort"}, problems(t, err))
}

func TestSearchOfAddresses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, email := range []string{"Ada@bücher.example", "adam@example.com", "a%b@example.com", "a_b@example.com", "Zo\u00eb@example.com"} {
		r := recipients.New{Email: email, Name: email}
		if email == "Zo\u00eb@example.com" { // to be found by the address alone
			r.Name = ""
		}
		b.create(b.A.Ctx, t, r)
	}
	for search, want := range map[string][]string{
		"ADA":                    {"Ada@bücher.example", "adam@example.com"},
		"adam@ex":                {"adam@example.com"},
		" Ada@BÜCHER.example ":   {"Ada@bücher.example"}, // as a name, and as an address by its form on the wire
		"ada@xn--bcher-kva.exam": {"Ada@bücher.example"},
		"a%b":                    {"a%b@example.com"},
		"zoe\u0308@":             {""}, // composed or not
		"a_":                     {"a_b@example.com"},
		"dam@":                   {"adam@example.com"}, // by the name
		"\x00\xff":               {"", "a%b@example.com", "a_b@example.com", "Ada@bücher.example", "adam@example.com"},
	} {
		require.ElementsMatch(t, want, b.search(b.A.Ctx, t, search), "%q", search)
	}
	require.Empty(t, b.search(b.B.Ctx, t, "ada"))
}

// fillNamed makes n recipients of company A, rows that no call has checked.
func (b *bundle) fillNamed(t *testing.T, n int, name string) {
	t.Helper()
	require.NoError(t, b.DB.InTx(b.A.Ctx, func(tx *tenancy.Tx) error {
		_, err := tx.Exec(b.A.Ctx, `INSERT INTO strata.recipients (domain_id, id, company_id, workspace_id, email, email_norm, name, custom_fields)
			SELECT $1, ('01900000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, $2, $3, n || '@example.com', n || '@example.com', `+name+`, '{}' FROM generate_series(1, $4::int) n`,
			b.A.DomainID, b.A.CompanyID, b.A.WorkspaceID, n)
		return errors.Join(err, b.Audit.RecordTx(b.A.Ctx, tx, audit.Entry{Action: "test"}))
	}))
	_, err := b.Pool.Exec(t.Context(), `VACUUM (ANALYZE) strata.recipients`)
	require.NoError(t, err)
}

// plan is how the role that runs lists would do q.
func (b *bundle) plan(t *testing.T, q string, args ...any) string {
	t.Helper()
	var lines []string
	require.NoError(t, b.DB.ReadTrusted(b.A.Ctx, `EXPLAIN (COSTS OFF) `+q, args, func(rows pgx.Rows) (err error) {
		lines, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	}))
	return strings.Join(lines, "\n")
}

func TestSearchUsesItsIndex(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.fillNamed(t, 20_000, `md5(n::text) || ' ' || md5((n+1)::text)`)
	for needle, indexed := range map[string]bool{"0123": true, "Öl1": true, "z": true, "zz": true, "x.": true, "...": false, ".": false, "%%%": false} {
		plan := b.plan(t, `SELECT FROM strata.recipients r WHERE r.domain_id = $1 AND r.deleted_at IS NULL
			AND (starts_with(r.email_norm, $2::text) OR strata.search_matches(r.name, $2::text))`, b.A.DomainID, needle)
		require.Equal(t, indexed, strings.Contains(plan, "recipients_search") && strings.Contains(plan, "recipients_email") && strings.Contains(plan, "~~"), "%q: %s", needle, plan)
	}
}
