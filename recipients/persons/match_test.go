package persons_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/recipients/persons"
	"github.com/stratakit/strata/tenancy"
)

// measureVariable makes TestTruth run at a size such as 200000 too, and at a half and a
// quarter of it, and print what it took.
const measureVariable = "STRATA_PERSONS_MEASURE"

// within is how long a test waits for what must happen.
const within = time.Minute

type matching struct {
	*bundle
	runner  *bulk.Runner
	matcher *persons.Matcher
}

func setupMatching(t *testing.T, cfg *persons.MatcherConfig) *matching {
	t.Helper()
	m := &matching{bundle: setup(t)}
	m.openMatcher(t, cfg)
	for _, c := range []*tenancytest.Company{m.A, m.B} {
		m.defineFields(c.WorkspaceCtx, t)
	}
	return m
}

func (m *matching) openMatcher(t *testing.T, cfg *persons.MatcherConfig) {
	t.Helper()
	m.openMatcherOn(t, &bulk.Config{Poll: 50 * time.Millisecond}, cfg)
}

func (m *matching) openMatcherOn(t *testing.T, runs *bulk.Config, cfg *persons.MatcherConfig) {
	t.Helper()
	resolver, err := tenancy.NewResolver(m.DB, nil, nil)
	require.NoError(t, err)
	t.Cleanup(resolver.Close)
	m.runner, err = bulk.NewRunner(m.DB, nil, m.Audit, resolver, runs)
	require.NoError(t, err)
	m.matcher, err = persons.NewMatcher(m.persons, m.fields, m.runner, cfg)
	require.NoError(t, err)
}

func (m *matching) start(t *testing.T) {
	t.Helper()
	require.NoError(t, m.runner.Start(t.Context()))
	t.Cleanup(func() { require.NoError(t, m.runner.Stop(context.Background())) })
}

func (m *matching) defineFields(ctx context.Context, t *testing.T) {
	t.Helper()
	for _, key := range []string{"upn", "department"} {
		_, err := m.fields.Create(ctx, customfields.Field{Key: key, Type: customfields.Text})
		require.NoError(t, err)
	}
}

// match runs a matching to its end.
func (m *matching) match(ctx context.Context, t *testing.T) persons.Matching {
	t.Helper()
	submitted, err := m.matcher.Match(ctx)
	require.NoError(t, err)
	return m.ended(ctx, t, submitted.ID)
}

func (m *matching) ended(ctx context.Context, t *testing.T, id bulk.RunID) (out persons.Matching) {
	t.Helper()
	require.Eventually(t, func() bool {
		var err error
		out, err = m.matcher.Matching(ctx, id)
		require.NoError(t, err)
		return out.State != "running"
	}, 30*within, 10*time.Millisecond)
	require.Equal(t, "completed", out.State, out.Error)
	return out
}

// person creates a recipient with a user principal name and a department.
func (m *matching) person(ctx context.Context, t *testing.T, email, name, upn, department string) persons.Ref {
	t.Helper()
	r, err := m.recipients.Create(ctx, recipients.New{Email: email, Name: name, CustomFields: map[string]any{"upn": upn, "department": department}})
	require.NoError(t, err)
	d, err := tenancy.DomainFrom(ctx)
	require.NoError(t, err)
	return persons.Ref{DomainID: d.DomainID, RecipientID: r.ID}
}

func (m *matching) open(ctx context.Context, t *testing.T) []persons.Suggestion {
	t.Helper()
	page, err := m.persons.Suggestions(ctx, persons.SuggestionQuery{PageSize: 500})
	require.NoError(t, err)
	return page.Items
}

// fill writes generated recipients past the store, and returns what they are.
func (m *matching) fill(t *testing.T, domains []context.Context, of []made) []persons.Ref {
	t.Helper()
	set, err := m.fields.Set(domains[0])
	require.NoError(t, err)
	upn, department := set.Field("upn").Slot, set.Field("department").Slot
	refs := make([]persons.Ref, len(of))
	for d, ctx := range domains {
		tenant, err := tenancy.DomainFrom(ctx)
		require.NoError(t, err)
		var ids []recipients.ID
		var emails, names []string
		var fields [][]byte
		flush := func() {
			require.NoError(t, m.DB.InTx(ctx, func(tx *tenancy.Tx) error {
				_, err := tx.Exec(ctx, tx.SQL(`INSERT INTO strata.recipients (domain_id, id, company_id, workspace_id, email, email_norm, name, custom_fields)
					SELECT $1, n.id, $2, $3, n.email, n.email, n.name, n.fields FROM unnest($4::uuid[], $5::text[], $6::text[], $7::jsonb[]) AS n (id, email, name, fields)`),
					tenant.DomainID, tenant.CompanyID, tenant.WorkspaceID, ids, emails, names, fields)
				require.NoError(t, err)
				return m.Audit.RecordTx(ctx, tx, audit.Entry{Action: "recipients.made"})
			}))
			ids, emails, names, fields = nil, nil, nil, nil
		}
		for i, r := range of {
			if r.domain != d {
				continue
			}
			id := tenancy.NewID[recipients.Recipient]()
			refs[i] = persons.Ref{DomainID: tenant.DomainID, RecipientID: id}
			values := map[string]string{department: r.department}
			if r.upn != "" {
				values[upn] = r.upn
			}
			raw, err := json.Marshal(values)
			require.NoError(t, err)
			ids, emails, names, fields = append(ids, id), append(emails, r.email), append(names, r.name), append(fields, raw)
			if len(ids) == 10_000 {
				flush()
			}
		}
		flush()
	}
	return refs
}

// pairs reads pairs of recipients as indexes into refs, the lesser one first.
func (m *matching) pairs(t *testing.T, refs []persons.Ref, q string, args ...any) map[[2]int]bool {
	t.Helper()
	at := map[persons.Ref]int{}
	for i, r := range refs {
		at[r] = i
	}
	out := map[[2]int]bool{}
	require.NoError(t, m.DB.ReadTrusted(t.Context(), q, args, func(rows pgx.Rows) error {
		var a, b persons.Ref
		_, err := pgx.ForEachRow(rows, []any{&a.DomainID, &a.RecipientID, &b.DomainID, &b.RecipientID}, func() error {
			i, j := at[a], at[b]
			out[[2]int{min(i, j), max(i, j)}] = true
			return nil
		})
		return err
	}))
	return out
}

// quality is how well a matching did.
type quality struct {
	precision, recall float64 // of what was linked; of what was linked or suggested
	linked, suggested int
	took              time.Duration
	heap              uint64
}

func (m *matching) quality(t *testing.T, n int) quality {
	t.Helper()
	domains := []context.Context{m.A.Ctx}
	for i := range 5 {
		domains = append(domains, m.Domain(t, m.A, fmt.Sprintf("d%d.example", i)))
	}
	all := generate(n, 7)
	refs := m.fill(t, domains, all)
	real := truth(all)
	began := time.Now()
	run := m.match(m.A.WorkspaceCtx, t)
	q := quality{took: time.Since(began)}
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	q.heap = mem.HeapSys
	require.EqualValues(t, n, run.Processed)
	require.EqualValues(t, n, run.Counters.Keyed)
	t.Logf("%d recipients, %d true pairs: %+v in %s", n, len(real), run.Counters, q.took.Round(time.Millisecond))

	linked := m.pairs(t, refs, `SELECT a.domain_id, a.recipient_id, b.domain_id, b.recipient_id FROM strata.person_links a JOIN strata.person_links b
		ON b.company_id = a.company_id AND b.alias_id = a.alias_id AND (a.domain_id, a.recipient_id) < (b.domain_id, b.recipient_id) WHERE a.company_id = $1`, m.A.CompanyID)
	suggested := m.pairs(t, refs, `SELECT a_domain_id, a_recipient_id, b_domain_id, b_recipient_id FROM strata.person_suggestions WHERE company_id = $1 AND state = 'open'`, m.A.CompanyID)
	right, found := 0, 0
	for p := range linked {
		if real[p] {
			right++
		}
	}
	for p := range real {
		if linked[p] || suggested[p] {
			found++
		} else if n < 10_000 {
			t.Logf("missed: %+v and %+v", all[p[0]], all[p[1]])
		}
	}
	q.precision, q.recall = float64(right)/float64(len(linked)), float64(found)/float64(len(real))
	q.linked, q.suggested = len(linked), len(suggested)
	m.requireSound(t)
	return q
}

// Matching holds against a generated truth: what it links is right, and what is one human it
// links or suggests.
func TestTruth(t *testing.T) {
	t.Parallel()
	q := setupStarted(t).quality(t, 5_000)
	t.Logf("precision %.4f of %d linked pairs, recall %.4f with %d suggested", q.precision, q.linked, q.recall, q.suggested)
	require.GreaterOrEqual(t, q.precision, 0.99)
	require.GreaterOrEqual(t, q.recall, 0.95)
}

func setupStarted(t *testing.T) *matching {
	t.Helper()
	m := setupMatching(t, nil)
	m.start(t)
	return m
}

func TestTruthAtSize(t *testing.T) { //nolint:paralleltest // it measures
	size, err := strconv.Atoi(os.Getenv(measureVariable))
	if err != nil {
		t.Skip("set " + measureVariable + " to a number of recipients, such as 200000")
	}
	for _, n := range []int{size / 4, size / 2, size} {
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			m := setupStarted(t)
			q := m.quality(t, n)
			again := time.Now()
			m.match(m.A.WorkspaceCtx, t)
			t.Logf("%d recipients: precision %.4f of %d linked pairs, recall %.4f with %d suggested, %s (%.0f recipients/s), again without changes %s, heap %d MB",
				n, q.precision, q.linked, q.recall, q.suggested, q.took.Round(time.Millisecond), float64(n)/q.took.Seconds(), time.Since(again).Round(time.Millisecond), q.heap>>20)
			require.GreaterOrEqual(t, q.precision, 0.99)
			require.GreaterOrEqual(t, q.recall, 0.95)
		})
	}
}

func TestMatchByPriority(t *testing.T) {
	t.Parallel()
	m := setupStarted(t)
	ctx, one, two := m.A.WorkspaceCtx, m.A.Ctx, m.Domain(t, m.A, "two.example")
	a := m.person(one, t, "ada@one.example", "Ada Lovelace", "UID1", "R&D")
	b := m.person(two, t, "lovelace@two.example", "LOVELACE, Ada", "uid1 ", "")
	c := m.person(two, t, "ada@two.example", "Ada Lovelace", "", "")
	d := m.person(two, t, "a.l@two.example", "Dr. Ada M. Lovelace", "", "r & d")
	namesake := m.person(two, t, "namesake@two.example", "Ada Lovelace", "UID2", "R&D")
	role := m.person(two, t, "no-reply@two.example", "Ada Lovelace", "UID1", "R&D")
	differ := []persons.Ref{m.person(one, t, "x@one.example", "Bo Berg", "UID3", ""), m.person(two, t, "y@two.example", "Cy Cole", "UID3", "")}
	same := []persons.Ref{m.person(two, t, "v@two.example", "Di Dorn", "UID4", ""), m.person(two, t, "w@two.example", "Di Dorn", "UID4", "")}
	run := m.match(ctx, t)

	p, err := m.persons.PersonOf(ctx, a)
	require.NoError(t, err)
	require.ElementsMatch(t, []persons.Ref{a, b}, of(p))
	require.Equal(t, persons.ByUPN, p.Links[0].Method)
	require.NotContains(t, fmt.Sprint(p.Links[0].Evidence), "uid1", "the evidence copies nothing")
	type found struct {
		method persons.Method
		doubt  string
	}
	suggested := map[[2]persons.Ref]found{}
	for _, s := range m.open(ctx, t) {
		suggested[[2]persons.Ref{s.Recipients[0].Ref, s.Recipients[1].Ref}] = found{s.Method, s.Evidence.Doubt}
		suggested[[2]persons.Ref{s.Recipients[1].Ref, s.Recipients[0].Ref}] = found{s.Method, s.Evidence.Doubt}
	}
	require.Equal(t, found{persons.ByEmailName, ""}, suggested[[2]persons.Ref{a, c}])
	require.Equal(t, found{persons.ByNameDepartment, ""}, suggested[[2]persons.Ref{a, d}])
	require.Equal(t, found{persons.ByUPN, "names_differ"}, suggested[[2]persons.Ref{differ[0], differ[1]}])
	require.Equal(t, found{persons.ByUPN, "same_domain"}, suggested[[2]persons.Ref{same[0], same[1]}])
	require.NotContains(t, suggested, [2]persons.Ref{a, namesake}, "another user principal name")
	require.NotContains(t, suggested, [2]persons.Ref{a, role})
	require.Equal(t, persons.Counters{Keyed: 10, RoleAddresses: 1, Linked: 2, Suggested: int64(len(suggested)) / 2, Doubted: 2}, run.Counters)
	m.requireSound(t)

	again := m.match(ctx, t)
	require.Equal(t, persons.Counters{Doubted: 2}, again.Counters, "nothing changed")
}

// What a user decided holds for every later matching.
func TestDecisionsHold(t *testing.T) {
	t.Parallel()
	m := setupStarted(t)
	ctx, one, two, three := m.A.WorkspaceCtx, m.A.Ctx, m.Domain(t, m.A, "two.example"), m.Domain(t, m.A, "three.example")
	a, b := m.person(one, t, "ada@one.example", "Ada Lovelace", "UID1", ""), m.person(two, t, "l@two.example", "Ada Lovelace", "UID1", "")
	m.person(one, t, "bo@one.example", "Bo Berg", "", "")
	m.person(two, t, "bo@two.example", "Bo Berg", "", "")
	m.match(ctx, t)
	open := m.open(ctx, t)
	require.Len(t, open, 1)
	require.NoError(t, m.persons.Reject(ctx, open[0].ID))
	require.ErrorIs(t, m.persons.Reject(ctx, open[0].ID), persons.ErrDecided)
	_, err := m.persons.Accept(ctx, open[0].ID)
	require.ErrorIs(t, err, persons.ErrDecided)
	require.NoError(t, m.persons.Unlink(ctx, b))

	c := m.person(three, t, "ada@three.example", "Ada Lovelace", "UID1", "") // would bring the two together
	m.match(ctx, t)
	require.Zero(t, m.pointer(t, a))
	open = m.open(ctx, t)
	require.Len(t, open, 2, "the third may be either of them")
	accepted, err := m.persons.Accept(ctx, open[0].ID)
	require.NoError(t, err)
	p, err := m.persons.Get(ctx, accepted)
	require.NoError(t, err)
	require.Contains(t, of(p), c)
	require.Equal(t, open[0].ID.String(), p.Links[0].Evidence.SuggestionID)
	m.match(ctx, t)
	p, err = m.persons.Get(ctx, accepted)
	require.NoError(t, err)
	require.Len(t, p.Links, 2)
	m.requireSound(t)
}

// The closure of links brings no two user principal names together.
func TestClosureHeedsStrongIdentifiers(t *testing.T) {
	t.Parallel()
	m := setupStarted(t)
	ctx, one, two, three := m.A.WorkspaceCtx, m.A.Ctx, m.Domain(t, m.A, "two.example"), m.Domain(t, m.A, "three.example")
	a, x := m.person(one, t, "ada@one.example", "Ada Lovelace", "UID1", ""), m.person(two, t, "ada@two.example", "Ada Lovelace", "", "")
	b, c := m.person(three, t, "b@three.example", "Ada Lovelace", "UID2", ""), m.person(two, t, "c@two.example", "Ada Lovelace", "UID2", "")
	m.match(ctx, t)
	require.Equal(t, m.pointer(t, b), m.pointer(t, c))
	_, err := m.persons.Link(ctx, []persons.Ref{b, x}) // a user says so
	require.NoError(t, err)
	for _, s := range m.open(ctx, t) {
		if s.Recipients[0].Ref == a || s.Recipients[1].Ref == a {
			_, err := m.persons.Accept(ctx, s.ID)
			require.ErrorIs(t, err, persons.ErrConflict)
		}
	}
	four := m.Domain(t, m.A, "four.example")
	d := m.person(four, t, "d@four.example", "Ada Lovelace", "UID1", "")
	_, err = m.persons.Link(ctx, []persons.Ref{a, b}) // a user may
	require.NoError(t, err)
	m.match(ctx, t)
	require.Zero(t, m.pointer(t, d), "no matching adds to a person with two")
	m.requireSound(t)
}

func TestSharedIdentifiersAreReported(t *testing.T) {
	t.Parallel()
	m := setupMatching(t, &persons.MatcherConfig{MaxShared: 3, BatchGroups: 2, BatchRows: 3})
	m.start(t)
	var refs []persons.Ref
	for i := range 4 {
		ctx := m.Domain(t, m.A, fmt.Sprintf("d%d.example", i))
		refs = append(refs, m.person(ctx, t, fmt.Sprintf("r%d@example.com", i), "Ada Lovelace", "see HR", "Sales"))
		for j := range 3 { // small batches have an end of each kind
			m.person(ctx, t, fmt.Sprintf("s%d@example.com", j), "", fmt.Sprintf("UID%d", i/2*3+j), "")
		}
	}
	run := m.match(m.A.WorkspaceCtx, t)
	require.EqualValues(t, 2, run.Counters.Shared)
	require.Len(t, run.Shared, 2)
	require.Equal(t, persons.ByUPN, run.Shared[0].Method)
	require.Equal(t, 4, run.Shared[0].Recipients)
	require.Contains(t, refs, run.Shared[0].Example)
	require.Equal(t, persons.ByNameDepartment, run.Shared[1].Method)
	require.EqualValues(t, 12, run.Counters.Linked)
	require.EqualValues(t, 16, run.Processed)
	require.EqualValues(t, 16, run.Total)
	m.requireSound(t)
}

// The run of a matching is not there for the users of the domain that it is worked on in: they
// neither see it nor stop it. Its own level does.
func TestMatchingIsOfItsLevel(t *testing.T) {
	t.Parallel()
	m := setupMatching(t, nil)
	elsewhere, _ := m.workspace(t, m.A, "elsewhere")
	inside, err := m.matcher.Match(m.A.WorkspaceCtx)
	require.NoError(t, err)
	across, err := m.matcher.Match(m.A.CompanyCtx)
	require.NoError(t, err)
	for _, id := range []bulk.RunID{inside.ID, across.ID} {
		require.Len(t, look[string](t, m.bundle, `SELECT level FROM strata.runs WHERE domain_id = $1 AND id = $2`, m.A.DomainID, id), 1, "it is worked on there")
		_, err = m.runner.Get(m.A.Ctx, id)
		require.ErrorIs(t, err, bulk.ErrNotFound)
		_, err = m.runner.Cancel(m.A.Ctx, id)
		require.ErrorIs(t, err, bulk.ErrNotFound)
	}
	jobs, err := m.runner.List(m.A.Ctx, bulk.ListQuery{})
	require.NoError(t, err)
	require.Zero(t, jobs.Total)
	for _, c := range []struct {
		ctx context.Context
		id  bulk.RunID
	}{{m.A.WorkspaceCtx, across.ID}, {elsewhere, across.ID}, {elsewhere, inside.ID}, {m.B.CompanyCtx, across.ID}, {m.B.WorkspaceCtx, inside.ID}} {
		_, err = m.matcher.Cancel(c.ctx, c.id)
		require.ErrorIs(t, err, persons.ErrNotFound)
	}
	trail, err := m.Audit.List(m.A.WorkspaceCtx, audit.Query{ResourceType: "run"})
	require.NoError(t, err)
	require.Len(t, trail.Items, 1, "of the company's run the workspace's trail has nothing")
	require.Equal(t, inside.ID.String(), trail.Items[0].ResourceID)

	for _, id := range []bulk.RunID{inside.ID, across.ID} {
		ended, err := m.matcher.Cancel(m.A.CompanyCtx, id)
		require.NoError(t, err)
		require.Equal(t, "cancelled", ended.State)
	}
	m.start(t)
	done := m.match(m.A.CompanyCtx, t)
	require.Equal(t, "completed", done.State)
	_, err = m.matcher.Cancel(m.A.CompanyCtx, done.ID)
	require.ErrorIs(t, err, bulk.ErrState)
}
