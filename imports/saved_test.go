package imports_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/imports"
	"github.com/stratakit/strata/tenancy"
)

func TestMappingsAreRemembered(t *testing.T) {
	t.Parallel()
	b := setup(t, nil).start(t)
	ctx := b.A.Ctx
	b.define(ctx, t, customfields.Field{Key: "born", Type: customfields.Date}, customfields.Field{Key: "town", Type: customfields.Text}, customfields.Field{Key: "a", Type: customfields.Text}, customfields.Field{Key: "b", Type: customfields.Text},
		customfields.Field{Key: "source", Type: customfields.Text})
	// The columns are called so that nobody would guess them.
	file := "K1,K2,K3,Wann,Town,Two\na@example.com,A,B,03/04/26,Oslo,x y\n"
	o := imports.ProcessOptions{
		Mapping: map[string]*string{"K1": to("email"), "Wann": to("fields.born"), "Town": nil},
		Join:    map[string][]string{"name": {"K3", "K2"}}, Split: map[string][]string{"Two": {"fields.a", "fields.b"}},
		Formats: map[string]string{"Wann": "MM/DD/YY"}, Constants: map[string]string{"fields.source": "fair"},
	}
	imp := b.process(ctx, t, file, o)
	none, err := b.importer.Mappings(ctx)
	require.NoError(t, err)
	require.Empty(t, none, "nothing is remembered of what is not committed")
	b.commit(ctx, t, imp.ID)

	// Another domain of the workspace, and the columns in another order and case.
	sibling := b.Domain(t, b.A, "sibling.example")
	next := "TOWN,k1,K2,K3,Wann,Two\nOslo,b@example.com,A,B,05/06/26,x y\n"
	got := b.process(sibling, t, next, imports.ProcessOptions{})
	require.Equal(t, map[string]*string{"TOWN": nil, "k1": to("email"), "K2": to("name"), "K3": to("name"), "Wann": to("fields.born"), "Two": nil}, got.Mapping)
	require.Equal(t, []any{map[string][]string{"name": {"K3", "K2"}}, o.Split, o.Formats}, []any{got.Join, got.Split, got.Formats})
	require.Empty(t, got.Constants, "what one file was about")
	require.Equal(t, []string{"columns_ignored"}, warned(got.Warnings), "how the column was written decides")
	for _, s := range got.Suggestions {
		require.Equal(t, []any{imports.Sure, "the last file with these columns had it so"}, []any{s.Confidence, s.Why}, s.Column)
	}
	p, err := b.importer.Preview(sibling, got.ID)
	require.NoError(t, err)
	require.Equal(t, "B A", p.SampleData[0].Data["name"])
	require.Equal(t, map[string]any{"born": "2026-05-06T00:00:00.000000Z", "a": "x", "b": "y"}, firstFields(p))
	b.commit(sibling, t, got.ID)

	// What decides by itself is not overruled, and what is not there any more is not missed.
	require.NoError(t, b.fields.Archive(ctx, "a"))
	got = b.process(ctx, t, "K1,K2,K3,Wann,Town,Two\nc@example.com,A,B,25/12/26,Oslo,x y\n", imports.ProcessOptions{})
	require.Equal(t, map[string]string{"Wann": "DD/MM/YY"}, got.Formats)
	require.Nil(t, got.Split["Two"])
	require.Nil(t, got.Mapping["Town"], "it was ignored, though it is called as a field is")

	saved, err := b.importer.Mappings(ctx)
	require.NoError(t, err)
	require.Len(t, saved, 1)
	require.EqualValues(t, 2, saved[0].Used)
	require.Equal(t, []string{"TOWN", "k1", "K2", "K3", "Wann", "Two"}, saved[0].Columns)
	require.NoError(t, b.importer.DeleteMapping(ctx, saved[0].ID))
	require.ErrorIs(t, b.importer.DeleteMapping(ctx, saved[0].ID), imports.ErrMappingNotFound)
	got = b.process(ctx, t, "K1,K2,K3,Wann,Town,Two\nc@example.com,A,B,25/12/26,Oslo,x y\n", imports.ProcessOptions{})
	require.Equal(t, to("fields.town"), got.Mapping["Town"])
}

func TestSavedMappingsNeverCrossTenants(t *testing.T) {
	t.Parallel()
	b := setup(t, nil).start(t)
	const file = "Kontakt 1,Kontakt 2\na@example.com,b@example.com\n" // either could be the address
	b.run(b.A.Ctx, t, file, imports.ProcessOptions{Mapping: map[string]*string{"Kontakt 2": to("email")}})
	saved, err := b.importer.Mappings(b.A.Ctx)
	require.NoError(t, err)
	require.Len(t, saved, 1)

	ws, err := b.Store.CreateWorkspace(b.A.CompanyCtx, tenancy.NewWorkspace{Name: "Other"})
	require.NoError(t, err)
	other := *b.A
	tenant, err := tenancy.TenantFrom(b.A.Ctx)
	require.NoError(t, err)
	tenant.WorkspaceID, tenant.DomainID = ws.ID, tenancy.DomainID{}
	other.WorkspaceID, other.WorkspaceCtx, other.Ctx = ws.ID, tenancy.WithTenant(b.A.Ctx, tenant), tenancy.WithTenant(b.A.Ctx, tenant)
	for name, ctx := range map[string]context.Context{"another company": b.B.Ctx, "another workspace": b.Domain(t, &other, "third.example")} {
		found, err := b.importer.Mappings(ctx)
		require.NoError(t, err)
		require.Empty(t, found, name)
		require.ErrorIs(t, b.importer.DeleteMapping(ctx, saved[0].ID), imports.ErrMappingNotFound, name)
		require.Equal(t, int64(0), one[int64](ctx, t, b, `SELECT count(*) FROM strata.import_mappings`), name)
		imp, err := b.importer.CreateFromReader(ctx, "x.csv", strings.NewReader(file))
		require.NoError(t, err)
		_, err = b.importer.Process(ctx, imp.ID, imports.ProcessOptions{})
		require.ErrorContains(t, err, "several columns could be the email address", name)
	}
	got := b.process(b.A.Ctx, t, file, imports.ProcessOptions{})
	require.Equal(t, to("email"), got.Mapping["Kontakt 2"])
}

// A workspace keeps the mappings that it used last.
func TestOldMappingsAreForgotten(t *testing.T) {
	t.Parallel()
	b := setup(t, nil).start(t)
	long := time.Now().Add(-24 * time.Hour)
	require.NoError(t, b.DB.InTx(b.A.Ctx, func(tx *tenancy.Tx) error {
		_, err := tx.Exec(b.A.Ctx, tx.SQL(`INSERT INTO strata.import_mappings (workspace_id, id, company_id, fingerprint, columns, decided, used_at)
			SELECT $1, gen_random_uuid(), $2, n::text::bytea, '{}', '{}', $3 FROM generate_series(1, 500) n`), b.A.WorkspaceID, b.A.CompanyID, long)
		return errors.Join(err, b.Audit.RecordTx(b.A.Ctx, tx, audit.Entry{Action: "test.prepared"}))
	}))
	b.run(b.A.Ctx, t, "email\na@example.com\n", imports.ProcessOptions{})
	saved, err := b.importer.Mappings(b.A.Ctx)
	require.NoError(t, err)
	require.Len(t, saved, 500)
	require.Equal(t, []string{"email"}, saved[0].Columns)
}
