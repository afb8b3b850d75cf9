package library_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/library"
)

func collect[T any](ctx context.Context, tx *tenancy.Tx, q string, args ...any) ([]T, error) {
	rows, err := tx.Query(ctx, q, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[T])
}

// view is a context, and of the six owners those whose items it may change and those that
// it only sees.
type view struct {
	name          string
	ctx           context.Context
	changes, sees []string
}

// owners are the six owners, each with a context in which it creates what it owns.
func (w *world) owners() map[string]context.Context {
	return map[string]context.Context{
		"global": w.platform, "A": w.A.CompanyCtx, "A1": w.a1Ctx, "A2": w.a2Ctx, "B": w.B.CompanyCtx, "B1": w.B.WorkspaceCtx,
	}
}

func (w *world) views() []view {
	return []view{
		{name: "the platform", ctx: w.platform, changes: []string{"global"}},
		{name: "company A", ctx: w.A.CompanyCtx, changes: []string{"A", "A1", "A2"}, sees: []string{"global"}},
		{name: "workspace A1", ctx: w.a1Ctx, changes: []string{"A1"}, sees: []string{"global", "A"}},
		{name: "a domain of A1", ctx: w.A.Ctx, changes: []string{"A1"}, sees: []string{"global", "A"}},
		{name: "workspace A2", ctx: w.a2Ctx, changes: []string{"A2"}, sees: []string{"global", "A"}},
		{name: "company B", ctx: w.B.CompanyCtx, changes: []string{"B", "B1"}, sees: []string{"global"}},
		{name: "workspace B1", ctx: w.B.WorkspaceCtx, changes: []string{"B1"}, sees: []string{"global", "B"}},
	}
}

func TestWhoSeesWhat(t *testing.T) {
	t.Parallel()
	w := setup(t)
	items := map[string]library.Item[template]{}
	for owner, ctx := range w.owners() {
		items[owner] = w.create(t, ctx, owner)
	}
	undo := errors.New("undo")
	for _, v := range w.views() {
		visible := slices.Sorted(slices.Values(append(slices.Clone(v.changes), v.sees...)))
		page, err := w.templates.List(v.ctx, library.Query{})
		require.NoError(t, err)
		var listed []string
		for _, item := range page.Items {
			listed = append(listed, item.Name)
		}
		slices.Sort(listed)
		require.Equal(t, visible, listed, v.name)
		require.EqualValues(t, len(visible), page.Total, v.name)

		for owner, item := range items {
			wants := error(nil)
			switch {
			case !slices.Contains(visible, owner):
				wants = library.ErrNotFound
			case !slices.Contains(v.changes, owner):
				wants = library.ErrNotOwner
			}
			what := v.name + ", an item of " + owner
			got, err := w.templates.Get(v.ctx, item.ID)
			if errors.Is(wants, library.ErrNotFound) {
				require.Equal(t, library.ErrNotFound, err, what) // nothing around it: it tells nothing
				_, err = w.templates.Source(v.ctx, item.ID)
				require.Equal(t, library.ErrNotFound, err, what)
				_, err = w.templates.Clone(v.ctx, item.ID, library.CloneTo{Name: "stolen"})
				require.Equal(t, library.ErrNotFound, err, what)
			} else {
				require.NoError(t, err, what)
				require.Equal(t, item.Owner, got.Owner, what)
			}
			err = w.DB.InTx(v.ctx, func(tx *tenancy.Tx) error {
				_, err := w.templates.UpdateTx(v.ctx, tx, item.ID, library.Change[template]{Version: item.Version, Body: &template{Subject: "changed"}})
				require.Equal(t, wants, err, what)
				_, err = w.templates.PullTx(v.ctx, tx, item.ID, item.Version)
				if wants == nil {
					err = nil // it is no clone
				}
				require.Equal(t, wants, err, what)
				require.Equal(t, wants, w.templates.DeleteTx(v.ctx, tx, item.ID), what)
				return undo
			})
			require.ErrorIs(t, err, undo)
		}

		// The second wall alone says the same: statements without any condition.
		err = w.DB.InTx(v.ctx, func(tx *tenancy.Tx) error {
			seen, err := collect[string](v.ctx, tx, `SELECT name FROM strata.library_items ORDER BY name COLLATE "C"`)
			require.NoError(t, err)
			require.Equal(t, visible, seen, v.name)
			changed, err := collect[string](v.ctx, tx, `UPDATE strata.library_items SET created_by = 'x' RETURNING name`)
			require.NoError(t, err)
			require.ElementsMatch(t, v.changes, changed, v.name)
			deleted, err := collect[string](v.ctx, tx, `DELETE FROM strata.library_items RETURNING name`)
			require.NoError(t, err)
			require.ElementsMatch(t, v.changes, deleted, v.name)
			return undo
		})
		require.ErrorIs(t, err, undo)
	}
	require.Equal(t, library.Owner{Level: library.Global}, items["global"].Owner)
	require.Equal(t, library.Owner{Level: library.Company, CompanyID: w.A.CompanyID}, items["A"].Owner)
	require.Equal(t, library.Owner{Level: library.Workspace, CompanyID: w.A.CompanyID, WorkspaceID: w.a2}, items["A2"].Owner)
}

// Row-level security lets nobody write for somebody else either.
func TestNobodyWritesForOthers(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for name, to := range map[string]struct{ company, workspace any }{
		"the platform":          {"ffffffff-ffff-ffff-ffff-ffffffffffff", nil},
		"the company":           {w.A.CompanyID, nil},
		"another workspace":     {w.A.CompanyID, w.a2},
		"another company":       {w.B.CompanyID, nil},
		"a workspace elsewhere": {w.B.CompanyID, w.B.WorkspaceID},
		"a mixture":             {w.B.CompanyID, w.A.WorkspaceID},
	} {
		err := w.DB.InTx(w.a1Ctx, func(tx *tenancy.Tx) error {
			_, err := tx.Exec(w.a1Ctx, `INSERT INTO strata.library_items (company_id, workspace_id, id, type, name, name_norm, body)
				VALUES ($1, $2, gen_random_uuid(), 'template', 'x', 'x', '{}')`, to.company, to.workspace)
			return err
		})
		require.Error(t, err, name)
		require.NotContains(t, err.Error(), "audit entry", name) // it is stopped before
	}
}

func TestPlatformIsForThePlatform(t *testing.T) {
	t.Parallel()
	w := setup(t)
	asUser := library.Platform(w.A.CompanyCtx) // the actor is still the company's owner
	_, err := w.templates.Create(asUser, library.New[template]{Name: "x", Body: template{Subject: "x"}})
	require.ErrorIs(t, err, library.ErrNotPlatform)
	_, err = w.templates.List(asUser, library.Query{})
	require.ErrorIs(t, err, library.ErrNotPlatform)

	// Without a tenant nothing is the platform's by accident.
	_, err = w.templates.Create(t.Context(), library.New[template]{Name: "x", Body: template{Subject: "x"}})
	require.ErrorIs(t, err, tenancy.ErrNoTenant)
	_, err = w.templates.Get(t.Context(), tenancy.NewID[library.Envelope]())
	require.ErrorIs(t, err, tenancy.ErrNoTenant)
}

func TestDeletedWorkspaceHidesItsItems(t *testing.T) {
	t.Parallel()
	w := setup(t)
	of2, of1 := w.create(t, w.a2Ctx, "of A2"), w.create(t, w.a1Ctx, "of A1")
	require.NoError(t, w.Store.DeleteWorkspace(w.A.CompanyCtx, w.a2))

	_, err := w.templates.Get(w.A.CompanyCtx, of2.ID)
	require.Equal(t, library.ErrNotFound, err)
	page, err := w.templates.List(w.A.CompanyCtx, library.Query{})
	require.NoError(t, err)
	require.Len(t, page.Items, 1)
	require.Equal(t, of1.ID, page.Items[0].ID)
	require.Equal(t, library.ErrNotFound, w.templates.Delete(w.A.CompanyCtx, of2.ID))
	// A context that is older than the deletion writes nothing.
	_, err = w.templates.Create(w.a2Ctx, library.New[template]{Name: "late", Body: template{Subject: "late"}})
	require.Equal(t, library.ErrNotFound, err)
	_, err = w.templates.Update(w.a2Ctx, of2.ID, library.Change[template]{Version: 1, Body: &template{Subject: "late"}})
	require.Equal(t, library.ErrNotFound, err)
}

// snippet is a row of a product's own table.
type snippet struct {
	bun.BaseModel `bun:"table:snippets,alias:s"`
	CompanyID     tenancy.CompanyID
	WorkspaceID   tenancy.WorkspaceID
	Text          string
}

const snippets = `CREATE TABLE snippets (
	company_id   uuid NOT NULL,
	workspace_id uuid,
	owner_id     uuid NOT NULL GENERATED ALWAYS AS (coalesce(workspace_id, company_id)) STORED,
	text         text NOT NULL
);
CREATE INDEX ON snippets (company_id, owner_id);
GRANT SELECT, INSERT ON snippets TO strata_app`

// The table has no row-level security here: what is tested is the rule.
func TestRuleOnATableOfYourOwn(t *testing.T) {
	t.Parallel()
	w := setup(t)
	_, err := w.Pool.Exec(t.Context(), snippets)
	require.NoError(t, err)
	for owner, ctx := range w.owners() {
		require.NoError(t, w.DB.InTx(ctx, func(tx *tenancy.Tx) error {
			at := tx.Tenant()
			_, err := tx.Bun().NewInsert().Model(&snippet{CompanyID: at.CompanyID, WorkspaceID: at.WorkspaceID, Text: owner}).Exec(ctx)
			return err
		}))
	}
	for _, v := range w.views() {
		visible := append(slices.Clone(v.changes), v.sees...)
		require.NoError(t, w.DB.InTx(v.ctx, func(tx *tenancy.Tx) error {
			rule, err := w.store.Visible(v.ctx, "s")
			require.NoError(t, err)
			where, args := rule.SQL(2)
			texts, err := collect[string](v.ctx, tx, `SELECT s.text FROM snippets s WHERE s.text <> $1 AND `+where, append([]any{"none"}, args...)...)
			require.NoError(t, err)
			require.ElementsMatch(t, visible, texts, v.name)

			var rows []snippet
			n, err := tx.Bun().NewSelect().Model(&rows).Where("s.text = 'none'").WhereOr("s.text <> 'none'").Apply(rule.Apply).ScanAndCount(v.ctx)
			require.NoError(t, err)
			texts = nil
			for _, r := range rows {
				texts = append(texts, r.Text)
			}
			require.ElementsMatch(t, visible, texts, v.name)
			require.EqualValues(t, len(visible), n, v.name)
			return nil
		}))
	}
	for _, alias := range []string{"", `s"`, "s.t", "S", "s; --", strings.Repeat("s", 64)} {
		_, err := w.store.Visible(w.a1Ctx, alias)
		require.ErrorContains(t, err, "alias", alias)
	}
	_, err = w.store.Visible(t.Context(), "s")
	require.ErrorIs(t, err, tenancy.ErrNoTenant)
}

// 100,000 items of 200 companies: what a workspace and a company see comes from an index,
// also under the policies that the documentation tells a product to take.
func TestRuleUsesTheIndex(t *testing.T) {
	t.Parallel()
	w := setup(t)
	migration, err := os.ReadFile("migrations/001_items.up.sql")
	require.NoError(t, err)
	_, walls, found := strings.Cut(string(migration), "policy for each of its lines")
	require.True(t, found)
	_, walls, _ = strings.Cut(walls, "ALTER TABLE")
	_, err = w.Pool.Exec(t.Context(), snippets+`;
		INSERT INTO snippets (company_id, workspace_id, text)
			SELECT md5((n % 200)::text)::uuid, CASE WHEN n % 3 = 0 THEN NULL ELSE md5((n % 2000)::text || 'w')::uuid END, 'text ' || n FROM generate_series(1, 100000) n;
		ANALYZE snippets; ALTER TABLE `+strings.ReplaceAll(walls, "strata.library_items", "snippets"))
	require.NoError(t, err)
	at := tenancy.Tenant{}
	require.NoError(t, w.Pool.QueryRow(t.Context(), `SELECT md5('1')::uuid, md5('1w')::uuid`).Scan(&at.CompanyID, &at.WorkspaceID))
	for _, tenant := range []tenancy.Tenant{at, {CompanyID: at.CompanyID}} {
		ctx := tenancy.WithTenant(t.Context(), tenant)
		rule, err := w.store.Visible(ctx, "s")
		require.NoError(t, err)
		where, args := rule.SQL(1)
		for _, from := range []string{`snippets s WHERE ` + where, `snippets s JOIN (SELECT) AS strata_visible ON ` + where} {
			require.NotEmpty(t, column[string](t, ctx, w, `SELECT text FROM `+from, args...))
			plan := strings.Join(column[string](t, ctx, w, `EXPLAIN (COSTS OFF) SELECT * FROM `+from, args...), "\n")
			require.Contains(t, plan, "snippets_company_id_owner_id_idx", plan)
			require.NotContains(t, plan, "Seq Scan on snippets", plan)
		}
	}
}

// The names of the schema stand in the rule, which bun does not rewrite.
func TestRuleKnowsTheSchema(t *testing.T) {
	t.Parallel()
	w := setup(t)
	db, err := tenancy.NewDB(w.Pool, &tenancy.DBConfig{Schema: "acme"})
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	store, err := library.NewStore(db, w.Audit, nil)
	require.NoError(t, err)
	rule, err := store.Visible(w.A.CompanyCtx, "s")
	require.NoError(t, err)
	where, args := rule.SQL(4)
	require.Equal(t, `(s.company_id IN ($4, $5) AND s.owner_id NOT IN (SELECT w.id FROM acme.workspaces w WHERE w.company_id = $6 AND w.deleted_at IS NOT NULL))`, where)
	require.Equal(t, []any{w.A.CompanyID, w.A.CompanyID}, args[1:], fmt.Sprint(args))
}
