package indexes_test

import (
	"log/slog"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/customfields/filter"
	"github.com/stratakit/strata/customfields/indexes"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
)

func TestBuildsWhatFiltersAreSlowWith(t *testing.T) {
	t.Parallel()
	w := open(t, eager())
	w.fill(t, w.A, 20_000)
	w.fill(t, w.B, 50)
	require.Zero(t, w.step(t, w.advisor))

	w.filter(t, w.A, `fields.seats == 5 && "a" in fields.tags && has(fields.city)`)
	require.Zero(t, w.step(t, w.advisor), "for these there is an index already, or none helps")

	w.filter(t, w.A, `fields.seats > 5`)
	w.filter(t, w.A, `fields.city.startsWith("City ab")`)
	_, err := w.recipients.List(w.B.Ctx, recipients.Query{Sort: "-fields.since"})
	require.NoError(t, err)
	_, err = w.recipients.Count(w.B.Ctx, `!(fields.city.startsWith("x")) && fields.seats <= 3`)
	require.NoError(t, err)
	plan, err := w.advisor.Plan(t.Context())
	require.NoError(t, err)
	require.Len(t, plan, 3)
	for _, act := range plan {
		require.Equal(t, indexes.DoCreate, act.Do)
		require.Contains(t, act.SQL, "CONCURRENTLY")
		require.Contains(t, act.Why, "uses in ranges, prefixes and orders in a day")
	}
	require.Empty(t, w.list(t), "a plan changes nothing")
	ready := w.advisor.Recipients().Ready(t.Context())
	require.False(t, ready("seats", customfields.Number))

	require.Equal(t, 3, w.step(t, w.advisor))
	require.Equal(t, []string{"city text ready", "seats number ready", "since text ready"}, w.list(t))
	require.Equal(t, []string{"city valid", "seats valid", "since valid"}, w.catalog(t))
	require.Zero(t, w.step(t, w.advisor), "it is done")

	ready = w.advisor.Recipients().Ready(t.Context())
	require.True(t, ready("seats", customfields.Number))
	require.True(t, ready("city", customfields.URL), "all text has one form")
	require.False(t, ready("seats", customfields.Text), "a tenant whose seats are text has another index")
	require.False(t, ready("tags", customfields.MultiSelect))
	require.False(t, ready("vip", customfields.Boolean))
}

// What the renderer writes must be what the index is over.
func TestFiltersAndOrdersUseTheIndexes(t *testing.T) {
	t.Parallel()
	w := open(t, eager())
	w.fill(t, w.A, 20_000)
	for slot, kind := range map[string]customfields.Type{"seats": customfields.Number, "city": customfields.Text, "since": customfields.Date} {
		require.NoError(t, w.advisor.Create(t.Context(), "strata", "recipients", slot, kind))
	}
	set, err := w.fields.Set(w.A.Ctx)
	require.NoError(t, err)
	for expr, index := range map[string]string{
		`fields.seats > 995`:                                              "recipients_cf_seats_",
		`10 <= fields.seats && fields.seats < 12`:                         "recipients_cf_seats_",
		`!(fields.seats < 995)`:                                           "recipients_cf_seats_",
		`fields.seats <= -1e15 || fields.seats > 998`:                     "recipients_cf_seats_",
		`fields.city.startsWith("City ab")`:                               "recipients_cf_city_",
		`fields.city < "City 00f"`:                                        "recipients_cf_city_",
		`fields.since < timestamp("2020-01-03T00:00:00Z")`:                "recipients_cf_since_",
		`fields.since >= timestamp("2022-04-10T00:00:00Z") && fields.vip`: "recipients_cf_since_",
		`fields.seats == 5`:                                               "recipients_cf_seats_",
		`fields.seats in [1, 2, 3]`:                                       "recipients_cf_seats_",
		`fields.city == "City a"`:                                         "recipients_cf_city_",
		`fields.city in ["City a", "b"]`:                                  "recipients_cf_city_",
	} {
		f, err := filter.Compile(filter.Schema{Fields: set, Columns: recipients.Columns()}, expr)
		require.NoError(t, err)
		sql, args := f.SQL(filter.Options{First: 2, Ready: w.advisor.Recipients().Ready(t.Context())})
		plan := w.explain(t, `SELECT count(*) FROM strata.recipients r WHERE r.domain_id = $1 AND r.deleted_at IS NULL AND `+sql, append([]any{w.A.DomainID}, args...)...)
		require.Contains(t, plan, index, "%s\n%s", expr, sql)
	}
	for _, slot := range []string{"seats", "city"} {
		by, ok := filter.OrderBy(set.Field(slot))
		require.True(t, ok)
		plan := w.explain(t, `SELECT id FROM strata.recipients r WHERE r.domain_id = $1 AND `+by.Set+` ORDER BY `+by.SQL+` DESC, id DESC LIMIT 50`, w.A.DomainID)
		require.Contains(t, plan, "recipients_cf_"+slot)
		require.NotContains(t, plan, "Sort", "the index has the order")
	}
}

func TestNotWhatIsQuickRareOrSmall(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*indexes.Config){
		"quick":  func(c *indexes.Config) { c.Slow = time.Hour },
		"rare":   func(c *indexes.Config) { c.MinUses = 3 },
		"small":  func(c *indexes.Config) { c.MinRows = 1000 },
		"manual": func(c *indexes.Config) { c.Manual = true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := eager()
			change(&cfg)
			w := open(t, cfg)
			w.fill(t, w.A, 100)
			for range 2 {
				w.filter(t, w.A, `fields.seats > 5`)
			}
			require.Zero(t, w.step(t, w.advisor))
			require.NoError(t, w.advisor.Create(t.Context(), "strata", "recipients", "seats", customfields.Number))
			require.Equal(t, []string{"seats number ready"}, w.list(t))
		})
	}
}

func TestNoMoreThanTheCap(t *testing.T) {
	t.Parallel()
	cfg := eager()
	cfg.MaxPerTable = 2
	w := open(t, cfg)
	for _, slot := range []string{"a", "b", "c"} {
		w.advisor.Recipients().Ran(t.Context(), []filter.Use{{Slot: slot, Type: customfields.Number, Form: filter.UseRange}}, time.Second)
	}
	w.fill(t, w.A, 10)
	require.Equal(t, 2, w.step(t, w.advisor))
	require.Equal(t, []string{"a number ready", "b number ready"}, w.list(t))
	require.ErrorIs(t, w.advisor.Create(t.Context(), "strata", "recipients", "c", customfields.Number), indexes.ErrTooMany)
	require.NoError(t, w.advisor.Create(t.Context(), "strata", "recipients", "a", customfields.Number), "it is there")
	require.NoError(t, w.advisor.Drop(t.Context(), "strata", "recipients", "b", customfields.Number))
	require.Equal(t, []string{"a valid"}, w.catalog(t))
	require.NoError(t, w.advisor.Create(t.Context(), "strata", "recipients", "c", customfields.Number))
}

func TestDropsWhatNobodyUses(t *testing.T) {
	t.Parallel()
	w := open(t, eager())
	w.fill(t, w.A, 10)
	w.filter(t, w.A, `fields.seats > 5 && fields.since > timestamp("2020-01-01T00:00:00Z")`)
	require.Equal(t, 2, w.step(t, w.advisor))
	require.NoError(t, w.advisor.Create(t.Context(), "strata", "recipients", "city", customfields.Text))

	ago := func(days int) {
		w.exec(t, `UPDATE strata.field_indexes SET used_at = now() - make_interval(days => $1); `, days)
		w.exec(t, `DELETE FROM strata.field_uses`)
	}
	ago(29)
	require.Zero(t, w.step(t, w.advisor))
	ago(31)
	w.filter(t, w.A, `fields.since > timestamp("2020-01-01T00:00:00Z")`)
	require.Equal(t, 1, w.step(t, w.advisor), "one is in use, and one was made by hand")
	require.Equal(t, []string{"city text ready", "since text ready"}, w.list(t))
	require.Equal(t, []string{"city valid", "since valid"}, w.catalog(t))
	var statistics int
	require.NoError(t, w.direct.QueryRow(t.Context(), `SELECT count(*) FROM pg_statistic_ext`).Scan(&statistics))
	require.Equal(t, 2, statistics)

	ago(2)
	require.NoError(t, w.fields.Archive(w.A.WorkspaceCtx, "since"))
	require.Zero(t, w.step(t, w.advisor), "the other company has the field still")
	require.NoError(t, w.fields.Archive(w.B.WorkspaceCtx, "since"))
	require.Equal(t, 1, w.step(t, w.advisor))
	require.Equal(t, []string{"city text ready"}, w.list(t))
	w.advisor.Recipients().Ran(t.Context(), []filter.Use{{Slot: "since", Type: customfields.Date, Form: filter.UseRange}}, time.Second)
	require.Zero(t, w.step(t, w.advisor), "nor is it built again")
}

func TestWhatIsWrongWithARequest(t *testing.T) {
	t.Parallel()
	w := open(t, eager())
	require.ErrorIs(t, w.advisor.Create(t.Context(), "strata", "companies", "seats", customfields.Number), indexes.ErrUnknownTable)
	require.ErrorIs(t, w.advisor.Create(t.Context(), "strata", "recipients", "tags", customfields.MultiSelect), indexes.ErrInvalidField)
	require.ErrorIs(t, w.advisor.Create(t.Context(), "strata", "recipients", "x'); DROP TABLE strata.recipients; --", customfields.Text), indexes.ErrInvalidField)
	require.ErrorIs(t, w.advisor.Drop(t.Context(), "strata", "recipients", "seats", customfields.Number), indexes.ErrNotFound)
	_, err := w.advisor.Of("strata", "companies")
	require.ErrorIs(t, err, indexes.ErrUnknownTable)
	_, err = indexes.New(w.DB, &indexes.Config{Tables: []indexes.Table{{Name: "x"}}})
	require.ErrorContains(t, err, "needs a schema and a name")
	_, err = indexes.New(w.DB, &indexes.Config{Tables: []indexes.Table{{Schema: "strata", Name: "recipients"}}})
	require.ErrorContains(t, err, "is there twice")
	_, err = indexes.New(nil, nil)
	require.Error(t, err)
}

// A product's own table is looked after like recipients.
func TestTablesOfAProduct(t *testing.T) {
	t.Parallel()
	cfg := eager()
	cfg.Tables = []indexes.Table{{Schema: "shop", Name: "orders", ID: "number"}}
	w := open(t, cfg)
	w.exec(t, `CREATE SCHEMA shop; CREATE TABLE shop.orders (domain_id uuid, number bigint, custom_fields jsonb, PRIMARY KEY (domain_id, number));
		INSERT INTO shop.orders SELECT gen_random_uuid(), i, jsonb_build_object('total', i) FROM generate_series(1, 100) i; ANALYZE shop.orders`)
	orders, err := w.advisor.Of("shop", "orders")
	require.NoError(t, err)
	orders.Ran(t.Context(), []filter.Use{{Slot: "total~2", Type: customfields.Number, Form: filter.UseSort}}, time.Second)
	require.Equal(t, 1, w.step(t, w.advisor))
	require.True(t, orders.Ready(t.Context())("total~2", customfields.Number))
	require.False(t, w.advisor.Recipients().Ready(t.Context())("total~2", customfields.Number))

	other := w.another(t, eager()) // a product that does not have the table
	w.exec(t, `UPDATE strata.field_indexes SET used_at = now() - interval '1 year'; `)
	w.exec(t, `DELETE FROM strata.field_uses`)
	require.Zero(t, w.step(t, other))
	require.Equal(t, 1, w.step(t, w.advisor))

	require.NoError(t, w.advisor.Create(t.Context(), "shop", "orders", "total", customfields.Number))
	w.exec(t, `DROP TABLE shop.orders`)
	require.Zero(t, w.step(t, w.advisor), "what went with its table is not built again")
	require.ErrorContains(t, w.advisor.Create(t.Context(), "shop", "orders", "total", customfields.Number), "does not exist")
}

// Many fields must not fill the memory of a process.
func TestKeepsNoMoreThanItMay(t *testing.T) {
	t.Parallel()
	cfg := eager()
	cfg.Refresh = time.Hour
	cfg.Log = slog.New(slog.DiscardHandler)
	w := open(t, cfg)
	w.advisor.Recipients().Ready(t.Context())
	for i := range 10_010 {
		w.advisor.Recipients().Ran(t.Context(), []filter.Use{{Slot: "f" + strconv.Itoa(i), Type: customfields.Number, Form: filter.UseSort}}, 0)
	}
	require.Zero(t, w.step(t, w.advisor))
	var noted int
	require.NoError(t, w.direct.QueryRow(t.Context(), `SELECT count(*) FROM strata.field_uses`).Scan(&noted))
	require.Equal(t, 10_000, noted)
	w.exec(t, `UPDATE strata.field_uses SET noted_at = now() - interval '3 days'`)
	require.Zero(t, w.step(t, w.advisor))
	require.NoError(t, w.direct.QueryRow(t.Context(), `SELECT count(*) FROM strata.field_uses`).Scan(&noted))
	require.Zero(t, noted, "what is old is forgotten")
}

func TestANilAdvisorIsLegal(t *testing.T) {
	t.Parallel()
	var none *indexes.TableIndexes
	none.Ran(t.Context(), []filter.Use{{Slot: "x", Type: customfields.Number, Form: filter.UseSort}}, 0)
	require.False(t, none.Ready(t.Context())("x", customfields.Number))
}

// Whatever indexes there are, a filter has the same answer, also over what was stored by hand.
func TestAnIndexChangesNoAnswer(t *testing.T) {
	t.Parallel()
	w := open(t, eager())
	w.fill(t, w.A, 300)
	stored := []string{`{"seats": "5", "city": 5, "since": true}`, `{"seats": 1e400, "city": ["a"]}`, `{"seats": null, "city": null, "since": null}`, `{"seats": {"a": 1}, "vip": 1}`}
	require.NoError(t, w.DB.InTx(w.A.Ctx, func(tx *tenancy.Tx) error {
		for i, s := range stored {
			_, err := tx.Exec(t.Context(), `UPDATE strata.recipients SET custom_fields = $3::text::jsonb WHERE domain_id = $1 AND email_norm = 'r' || $2::int || '@example.com'`, w.A.DomainID, i+1, s)
			if err != nil {
				return err
			}
		}
		return w.Audit.RecordTx(w.A.Ctx, tx, audit.Entry{Action: "recipients.changed", ResourceType: "recipient"})
	}))
	set, err := w.fields.Set(w.A.Ctx)
	require.NoError(t, err)
	exprs := []string{
		`fields.seats == 6`, `fields.seats != 6`, `fields.seats in [6, 7, 8]`, `!(fields.seats in [6, 7])`, `fields.seats in []`,
		`fields.seats == 6 && fields.vip`, `fields.seats == 6 || fields.seats > 290`, `!(fields.seats == 6 && fields.vip)`,
		`fields.city == "City 1679091c5a880faf6fb5e6087eb1b2dc"`, `fields.city in ["City 1679091c5a880faf6fb5e6087eb1b2dc", "x"]`,
		`fields.city != "City 1679091c5a880faf6fb5e6087eb1b2dc"`, `fields.city == null`, `fields.since == timestamp("2020-01-01T06:00:00Z")`,
		`fields.since in [timestamp("2020-01-01T06:00:00Z"), timestamp("2020-01-01T07:00:00Z")]`, `fields.since != timestamp("2020-01-01T06:00:00Z")`,
		`fields.city.startsWith("City 1") && fields.seats in [1, 6, 44]`, `(fields.seats == 6) == fields.vip`,
	}
	for _, expr := range exprs {
		f, err := filter.Compile(filter.Schema{Fields: set, Columns: recipients.Columns()}, expr)
		require.NoError(t, err, expr)
		var answers [2][]string
		for i, ready := range []bool{false, true} {
			sql, args := f.SQL(filter.Options{First: 2, Ready: func(string, customfields.Type) bool { return ready }})
			err := w.DB.ReadTrusted(t.Context(), `SELECT r.email_norm FROM strata.recipients r WHERE r.domain_id = $1 AND `+sql+` ORDER BY 1`, append([]any{w.A.DomainID}, args...), func(rows pgx.Rows) (err error) {
				answers[i], err = pgx.CollectRows(rows, pgx.RowTo[string])
				return err
			})
			require.NoError(t, err, "%s\n%s", expr, sql)
		}
		require.Equal(t, answers[0], answers[1], expr)
	}
}
