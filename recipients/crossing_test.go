package recipients_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/internal/dbtest"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
)

// crossingVariable makes TestNothingCrosses go on for a time, such as "60s".
const crossingVariable = "STRATA_TEST_CROSSING"

// Fifty domains of ten companies work at once over two connections, so that each connection
// goes from tenant to tenant all the time: with what ends well, in an error, in a panic or by
// a cancelled context. What a tenant has carries its id, and nobody ever sees another's.
func TestNothingCrosses(t *testing.T) {
	t.Parallel()
	const companies, domains, steps = 10, 5, 40
	wide := dbtest.Database(t, tenancytest.Template())
	cfg := wide.Config().Copy()
	cfg.MaxConns = 2
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	narrow := tenancytest.OpenOn(t, pool, dbtest.Redis(t))
	fields, err := customfields.NewRegistry(narrow.DB, narrow.Redis, narrow.Limits, narrow.Audit, nil)
	require.NoError(t, err)
	store, err := recipients.NewStore(narrow.DB, fields, narrow.Limits, narrow.Audit, nil)
	require.NoError(t, err)

	w := &crossing{db: narrow.DB, store: store}
	for c := range companies {
		company := narrow.A
		if c > 0 {
			company = narrow.Company(t, "enterprise")
		}
		w.tenants = append(w.tenants, company.Ctx)
		for d := 1; d < domains; d++ {
			w.tenants = append(w.tenants, narrow.Domain(t, company, fmt.Sprintf("d%d-%d.example", c, d)))
		}
	}
	require.Len(t, w.tenants, companies*domains)

	done := func(step int) bool { return step >= steps }
	if s := os.Getenv(crossingVariable); s != "" {
		d, err := time.ParseDuration(s)
		require.NoError(t, err)
		end := time.Now().Add(d)
		done = func(int) bool { return time.Now().After(end) }
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	var g errgroup.Group
	for i, ctx := range w.tenants {
		g.Go(func() error {
			m := &member{crossing: w, rand: rand.New(rand.NewPCG(seed, uint64(i))), mine: map[recipients.ID]bool{}} //nolint:gosec // a test's choices
			m.tenant, _ = tenancy.DomainFrom(ctx)
			m.name = m.tenant.DomainID.String()
			for step := 0; !done(step); step++ {
				if err := m.step(ctx); err != nil {
					return fmt.Errorf("domain %s, step %d: %w", m.name, step, err)
				}
			}
			w.did(len(m.mine))
			return nil
		})
	}
	require.NoError(t, g.Wait())
	t.Logf("%d recipients at the end", w.left)

	var unlike, all int
	require.NoError(t, narrow.DB.ReadTrusted(t.Context(), `SELECT count(*) FILTER (WHERE r.name <> r.domain_id::text
			OR (r.company_id, r.workspace_id) IS DISTINCT FROM (d.company_id, d.workspace_id)), count(*) FILTER (WHERE r.deleted_at IS NULL)
		FROM strata.recipients r LEFT JOIN strata.domains d ON d.id = r.domain_id`, nil, func(rows pgx.Rows) error {
		rows.Next()
		return rows.Scan(&unlike, &all)
	}))
	require.Zero(t, unlike, "rows that carry another's id")
	require.Equal(t, w.left, all, "what was committed is there, and nothing else")
}

// crossing is what the tenants share.
type crossing struct {
	db      *tenancy.DB
	store   *recipients.Store
	tenants []context.Context

	mu   sync.Mutex
	seen []recipients.ID // of anybody
	left int
}

func (w *crossing) did(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.left += n
}

// member is one tenant at work, and what it knows to have.
type member struct {
	*crossing
	rand   *rand.Rand
	tenant tenancy.Tenant
	name   string
	mine   map[recipients.ID]bool
	made   int
}

var errGiveUp = errors.New("given up")

func (m *member) step(ctx context.Context) error {
	switch m.rand.IntN(10) {
	case 0, 1:
		return m.create(ctx)
	case 2:
		return m.list(ctx)
	case 3:
		return m.count(ctx)
	case 4, 5:
		return m.reach(ctx)
	case 6:
		return m.everything(ctx)
	case 7:
		return m.giveUp(ctx)
	case 8:
		return m.cancelled(ctx)
	default:
		return m.unscoped()
	}
}

func (m *member) create(ctx context.Context) error {
	m.made++
	r, err := m.store.Create(ctx, recipients.New{Email: fmt.Sprintf("r%d@all.example", m.made), Name: m.name})
	if err != nil {
		return err
	}
	m.mine[r.ID] = true
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seen = append(m.seen, r.ID)
	return nil
}

func (m *member) list(ctx context.Context) error {
	page, err := m.store.List(ctx, recipients.Query{PageRequest: tenancy.PageRequest{PageSize: tenancy.MaxPageSize}})
	if err != nil {
		return err
	}
	if int(page.Total) != len(m.mine) {
		return fmt.Errorf("lists %d, has %d", page.Total, len(m.mine))
	}
	for _, r := range page.Items {
		if !m.mine[r.ID] || r.Name != m.name {
			return fmt.Errorf("lists recipient %s of %s", r.ID, r.Name)
		}
	}
	return nil
}

func (m *member) count(ctx context.Context) error {
	n, err := m.store.Count(ctx, `email.endsWith("@all.example")`)
	if err == nil && int(n) != len(m.mine) {
		err = fmt.Errorf("counts %d, has %d", n, len(m.mine))
	}
	return err
}

// reach takes anybody's recipient, and reads, changes or deletes it.
func (m *member) reach(ctx context.Context) error {
	m.mu.Lock()
	if len(m.seen) == 0 {
		m.mu.Unlock()
		return nil
	}
	id := m.seen[m.rand.IntN(len(m.seen))]
	m.mu.Unlock()
	var err error
	switch m.rand.IntN(3) {
	case 0:
		_, err = m.store.Get(ctx, id)
	case 1:
		_, err = m.store.Update(ctx, id, recipients.Change{Name: &m.name})
	case 2:
		if err = m.store.Delete(ctx, id); err == nil && m.mine[id] {
			delete(m.mine, id)
			return nil
		}
	}
	switch {
	case m.mine[id]:
		return err
	case !errors.Is(err, recipients.ErrNotFound):
		return fmt.Errorf("recipient %s, which it has not: %w", id, errors.Join(err, errors.New("want not found")))
	}
	return nil
}

// everything asks without naming a tenant at all: that is what the second wall is for.
func (m *member) everything(ctx context.Context) error {
	var others, own int
	err := m.db.Read(ctx, `SELECT count(*) FILTER (WHERE domain_id <> $1), count(*) FILTER (WHERE domain_id = $1 AND deleted_at IS NULL) FROM strata.recipients`,
		[]any{m.tenant.DomainID}, func(rows pgx.Rows) error {
			rows.Next()
			return rows.Scan(&others, &own)
		})
	if err == nil && (others != 0 || own != len(m.mine)) {
		err = fmt.Errorf("without a condition: %d rows of others, %d of its %d own", others, own, len(m.mine))
	}
	return err
}

// giveUp writes, and then fails or panics.
func (m *member) giveUp(ctx context.Context) (err error) {
	panics := m.rand.IntN(2) == 0
	defer func() {
		if p := recover(); p != nil && p != errGiveUp { //nolint:errorlint // the very value
			panic(p)
		}
		if errors.Is(err, errGiveUp) {
			err = nil
		}
	}()
	return m.db.InTx(ctx, func(tx *tenancy.Tx) error {
		if _, err := m.store.CreateTx(ctx, tx, recipients.New{Email: "never@all.example", Name: m.name}); err != nil {
			return err
		}
		if panics {
			panic(errGiveUp)
		}
		return errGiveUp
	})
}

// cancelled ends its context in the middle of a transaction.
func (m *member) cancelled(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	err := m.db.InTx(ctx, func(tx *tenancy.Tx) error {
		if _, err := m.store.CreateTx(ctx, tx, recipients.New{Email: "never@all.example", Name: m.name}); err != nil {
			return err
		}
		cancel()
		_, err := tx.Exec(ctx, `SELECT pg_sleep(10)`)
		return err
	})
	if !errors.Is(err, context.Canceled) {
		return fmt.Errorf("want the context's error: %w", err)
	}
	return nil
}

// unscoped looks at what a connection carries when it comes from the pool.
func (m *member) unscoped() error {
	var domain, company string
	var app bool
	err := m.db.Pool().QueryRow(context.Background(), `SELECT coalesce(current_setting('strata.domain_id', true), ''),
		coalesce(current_setting('strata.company_id', true), ''), current_user IN ('strata_app', 'strata_query')`).Scan(&domain, &company, &app)
	if err == nil && (domain+company != "" || app) {
		err = fmt.Errorf("a connection from the pool is still in the scope of domain %q, company %q", domain, company)
	}
	return err
}
