package indexes_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/customfields/indexes"
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

// within is how long a test waits for what must happen.
const within = time.Minute

// eager is an advisor that builds at once what anybody asks for.
func eager() indexes.Config {
	return indexes.Config{
		MinUses: 1, MinRows: 1, Slow: time.Nanosecond, Refresh: time.Nanosecond,
		LockTimeout: 20 * time.Second, Log: slog.New(slog.DiscardHandler),
	}
}

// world is two companies with the same fields, and an advisor.
type world struct {
	*tenancytest.Env

	advisor    *indexes.Advisor
	fields     *customfields.Registry
	recipients *recipients.Store
	direct     *pgxpool.Pool // past the pooler, if there is one
}

func open(t *testing.T, cfg indexes.Config) *world {
	t.Helper()
	w := &world{Env: tenancytest.Open(t)}
	var err error
	w.direct, err = pgxpool.New(t.Context(), dbtest.DirectURL(t, w.Pool))
	require.NoError(t, err)
	t.Cleanup(w.direct.Close)
	w.advisor = w.another(t, cfg)
	w.fields, err = customfields.NewRegistry(w.DB, nil, w.Limits, w.Audit, nil)
	require.NoError(t, err)
	w.recipients, err = recipients.NewStore(w.DB, w.fields, w.Limits, w.Audit, &recipients.Config{Indexes: w.advisor.Recipients()})
	require.NoError(t, err)
	for _, c := range []*tenancytest.Company{w.A, w.B} {
		for _, f := range []customfields.Field{
			{Key: "seats", Type: customfields.Number, Filterable: true},
			{Key: "city", Type: customfields.Text, Filterable: true},
			{Key: "since", Type: customfields.Date, Filterable: true},
			{Key: "vip", Type: customfields.Boolean, Filterable: true},
			{Key: "tags", Type: customfields.MultiSelect, Options: []string{"a", "b"}, Filterable: true},
			{Key: "hidden", Type: customfields.Text},
		} {
			_, err := w.fields.Create(c.WorkspaceCtx, f)
			require.NoError(t, err)
		}
	}
	return w
}

// another is one more advisor, as another process has it.
func (w *world) another(t *testing.T, cfg indexes.Config) *indexes.Advisor {
	t.Helper()
	if cfg.Owner == nil {
		cfg.Owner = w.direct
	}
	a, err := indexes.New(w.DB, &cfg)
	require.NoError(t, err)
	return a
}

// fill makes n recipients of a company; every fifth has no custom fields.
func (w *world) fill(t *testing.T, c *tenancytest.Company, n int) {
	t.Helper()
	require.NoError(t, w.DB.InTx(c.Ctx, func(tx *tenancy.Tx) error {
		_, err := tx.Exec(t.Context(), `INSERT INTO strata.recipients (domain_id, id, company_id, workspace_id, email, email_norm, custom_fields)
			SELECT $1, gen_random_uuid(), $2, $3, 'r' || i || '@example.com', 'r' || i || '@example.com',
				CASE WHEN i % 5 = 0 THEN '{}' ELSE jsonb_build_object('seats', i % 1000, 'city', 'City ' || md5(i::text), 'vip', i % 2 = 0,
					'since', to_char(timestamptz '2020-01-01' + i * interval '1 hour', 'YYYY-MM-DD"T"HH24:MI:SS.000000"Z"')) END
			FROM generate_series(1, $4::int) i`, c.DomainID, c.CompanyID, c.WorkspaceID, n)
		if err != nil {
			return err
		}
		return w.Audit.RecordTx(c.Ctx, tx, audit.Entry{Action: "recipients.made", ResourceType: "recipient"})
	}))
	w.exec(t, `ANALYZE strata.recipients`)
}

func (w *world) exec(t *testing.T, q string, args ...any) {
	t.Helper()
	_, err := w.direct.Exec(t.Context(), q, args...)
	require.NoError(t, err)
}

func (w *world) filter(t *testing.T, c *tenancytest.Company, expr string) {
	t.Helper()
	_, err := w.recipients.List(c.Ctx, recipients.Query{Filter: expr})
	require.NoError(t, err)
}

func (w *world) step(t *testing.T, a *indexes.Advisor) int {
	t.Helper()
	done, err := a.Step(t.Context())
	require.NoError(t, err)
	return done
}

// list is what there is, in short: "seats number ready".
func (w *world) list(t *testing.T) []string {
	t.Helper()
	all, err := w.advisor.List(t.Context())
	require.NoError(t, err)
	out := []string{}
	for _, x := range all {
		out = append(out, fmt.Sprintf("%s %s %s", x.Slot, x.Form, x.State))
	}
	return out
}

// catalog is what PostgreSQL has of indexes over fields, in short: "seats valid".
func (w *world) catalog(t *testing.T) []string {
	t.Helper()
	rows, err := w.direct.Query(t.Context(), `SELECT split_part(split_part(c.relname, '_cf_', 2), '_', 1) || CASE WHEN i.indisvalid THEN ' valid' ELSE ' invalid' END
		FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE c.relname LIKE '%\_cf\_%' ORDER BY 1`)
	require.NoError(t, err)
	out, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	if out == nil {
		out = []string{}
	}
	return out
}

// explain returns the plan of a statement, as lists run it.
func (w *world) explain(t *testing.T, q string, args ...any) string {
	t.Helper()
	var lines []string
	require.NoError(t, w.DB.ReadTrusted(context.Background(), `EXPLAIN `+q, args, func(rows pgx.Rows) (err error) {
		lines, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	}))
	return strings.Join(lines, "\n")
}
