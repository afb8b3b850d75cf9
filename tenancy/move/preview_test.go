package move_test

import (
	"bytes"
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/billing"
	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/imports"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/move"
)

// blocks returns the kinds and subjects of what blocks a move, and holds Start to it.
func (w *world) blocks(t *testing.T, to tenancy.WorkspaceID) (kinds []string) {
	t.Helper()
	p, err := w.Mover.Preview(platform(w.A.Ctx), to)
	require.NoError(t, err)
	for _, f := range p.Findings {
		require.NotEmpty(t, f.Message)
		if f.Severity == move.Block {
			kinds = append(kinds, f.Kind+" "+f.Subject)
		}
	}
	require.Equal(t, len(kinds) > 0, p.Blocked)
	if p.Blocked {
		_, err = w.Mover.Start(platform(w.A.Ctx), to)
		require.Error(t, err)
		require.True(t, errors.Is(err, move.ErrBlocked) || errors.Is(err, billing.ErrLimit), err)
		_, _, err = w.Recipients.Upsert(w.A.Ctx, recipients.New{Email: "still@example.com"})
		require.NoError(t, err, "nothing has begun")
	}
	return kinds
}

func TestWhatBlocksAMove(t *testing.T) {
	t.Parallel()
	w := open(t)
	require.Empty(t, w.blocks(t, w.second))

	_, err := w.Mover.Start(w.A.Ctx, w.A.WorkspaceID)
	var invalid *tenancy.ValidationError
	require.ErrorAs(t, err, &invalid)
	require.Equal(t, "same_workspace", invalid.Fields[0].Code)
	_, err = w.Mover.Start(platform(w.A.Ctx), tenancy.NewID[tenancy.Workspace]())
	require.ErrorIs(t, err, tenancy.ErrNotFound)
	_, err = w.Mover.Get(w.A.Ctx)
	require.ErrorIs(t, err, move.ErrNotFound)

	// A table of a product that nobody has registered, and one that is registered and unfit.
	w.academy(t, 3)
	w.exec(t, `CREATE TABLE academy.badges (domain_id uuid NOT NULL, workspace_id uuid NOT NULL, PRIMARY KEY (domain_id)); GRANT SELECT ON academy.badges TO strata_app;
		CREATE TABLE academy.internal (domain_id uuid, company_id uuid); REVOKE UPDATE ON academy.progress FROM strata_app`)
	require.Equal(t, []string{"table_unfit academy.progress", "table_unregistered academy.badges"}, w.blocks(t, w.second))
	w.exec(t, `DROP TABLE academy.badges; DROP TABLE academy.progress`)
	require.Equal(t, []string{"table_unfit academy.progress"}, w.blocks(t, w.second), "it is not forgotten without a word")
	w.exec(t, `DELETE FROM strata.tenant_tables WHERE schema_name = 'academy'`)

	// Its name.
	_, err = w.Store.CreateDomain(w.A.CompanyCtx, w.second, tenancy.NewDomain{DomainName: "company-1.example"})
	require.NoError(t, err)
	require.Equal(t, []string{"domain_name_taken company-1.example"}, w.blocks(t, w.second))

	// Fields that mean something else there.
	third, err := w.Store.CreateWorkspace(w.A.CompanyCtx, tenancy.NewWorkspace{Name: "Third"})
	require.NoError(t, err)
	there := tenancy.WithTenant(w.A.Ctx, tenancy.Tenant{CompanyID: w.A.CompanyID, WorkspaceID: third.ID})
	for key, kind := range map[string]customfields.Type{"born": customfields.Date, "gone": customfields.Text} {
		_, err = w.Fields.Create(w.A.WorkspaceCtx, customfields.Field{Key: key, Type: kind})
		require.NoError(t, err)
		_, err = w.Fields.Create(there, customfields.Field{Key: key, Type: customfields.Text})
		require.NoError(t, err)
	}
	require.NoError(t, w.Fields.Archive(there, "gone"))
	require.ElementsMatch(t, []string{"custom_field_type born", "custom_field_archived gone"}, w.blocks(t, third.ID))
	require.NoError(t, w.Fields.Archive(w.A.WorkspaceCtx, "gone"))
	require.Equal(t, []string{"custom_field_type born"}, w.blocks(t, third.ID))
}

// While a field is being changed its values are in two places, and where they stand
// elsewhere than in the other workspace nobody would find them.
func TestChangedFieldsBlockAMove(t *testing.T) {
	t.Parallel()
	w := open(t)
	_, err := w.Fields.Create(w.A.WorkspaceCtx, customfields.Field{Key: "size", Type: customfields.Text})
	require.NoError(t, err)
	run, err := w.FieldChanges.Convert(w.A.WorkspaceCtx, "size", customfields.Number, nil)
	require.NoError(t, err)
	require.Equal(t, []string{"custom_field_changing size"}, w.blocks(t, w.second))
	_, err = w.FieldChanges.Cancel(w.A.WorkspaceCtx, run.ID)
	require.NoError(t, err)
	require.Equal(t, []string{"custom_field_changing size"}, w.blocks(t, w.second), "it is being undone")

	_, err = w.Fields.Create(w.A.WorkspaceCtx, customfields.Field{Key: "city", Type: customfields.Text})
	require.NoError(t, err)
	_, err = w.FieldChanges.Rename(w.A.WorkspaceCtx, "city", "town")
	require.NoError(t, err)
	there := tenancy.WithTenant(w.A.Ctx, tenancy.Tenant{CompanyID: w.A.CompanyID, WorkspaceID: w.second})
	for _, key := range []string{"city", "town"} {
		_, err = w.Fields.Create(there, customfields.Field{Key: key, Type: customfields.Text})
		require.NoError(t, err)
	}
	require.ElementsMatch(t, []string{"custom_field_changing size", "custom_field_slot town", "custom_field_slot town"}, w.blocks(t, w.second))

	// The other way round: nothing is changed while a domain moves.
	_, err = w.Mover.Start(w.B.Ctx, w.another(t))
	require.NoError(t, err)
	_, err = w.Fields.Create(w.B.WorkspaceCtx, customfields.Field{Key: "size", Type: customfields.Text})
	require.NoError(t, err)
	_, err = w.FieldChanges.Convert(w.B.WorkspaceCtx, "size", customfields.Number, nil)
	require.ErrorIs(t, err, tenancy.ErrMoving)
}

// another is one more workspace of company B.
func (w *world) another(t *testing.T) tenancy.WorkspaceID {
	t.Helper()
	made, err := w.Store.CreateWorkspace(w.B.CompanyCtx, tenancy.NewWorkspace{Name: "Another"})
	require.NoError(t, err)
	return made.ID
}

func TestUnfinishedWorkBlocksAMove(t *testing.T) {
	t.Parallel()
	w := open(t)
	var run bulk.Run
	require.NoError(t, w.DB.InTx(w.A.Ctx, func(tx *tenancy.Tx) (err error) {
		run, err = w.Runner.SubmitTx(w.A.Ctx, tx, bulk.Submission{Kind: "x"})
		return err
	}))
	require.Equal(t, []string{"job_active " + run.ID.String()}, w.blocks(t, w.second))
	_, err := w.Runner.Pause(w.A.Ctx, run.ID)
	require.NoError(t, err)
	require.Equal(t, []string{"job_active " + run.ID.String()}, w.blocks(t, w.second))
}

// An import that has not ended was checked against the fields of its workspace.
func TestUnfinishedImportsBlockAMove(t *testing.T) {
	t.Parallel()
	w := open(t)
	local, err := imports.OpenLocal(t.TempDir(), &url.URL{Scheme: "http", Host: "files.example", Path: "/uploads"}, bytes.Repeat([]byte("s"), 32))
	require.NoError(t, err)
	t.Cleanup(func() { _ = local.Bucket.Close() })
	im, err := imports.NewImporter(w.DB, w.Runner, w.Strata.Recipients, w.Fields, w.Strata.Limits, w.Strata.Audit, local.Bucket, nil)
	require.NoError(t, err)
	imp, err := im.CreateFromReader(w.A.Ctx, "people.csv", strings.NewReader("email\nx@example.com\n"))
	require.NoError(t, err)
	m := move.Move{DomainID: w.A.DomainID, From: move.Place{CompanyID: w.A.CompanyID, WorkspaceID: w.A.WorkspaceID}, To: move.Place{CompanyID: w.A.CompanyID, WorkspaceID: w.second}}
	found, err := im.PreviewMove(w.A.Ctx, m)
	require.NoError(t, err)
	require.Len(t, found, 1)
	require.Equal(t, []any{"import_unfinished", move.Block, imp.ID.String()}, []any{found[0].Kind, found[0].Severity, found[0].Subject})
	_, err = im.Cancel(w.A.Ctx, imp.ID)
	require.NoError(t, err)
	found, err = im.PreviewMove(w.A.Ctx, m)
	require.NoError(t, err)
	require.Empty(t, found)
}

// To another company goes only what its plan has room for.
func TestPlansBlockAMove(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.fill(t, 1100)
	_, err := w.Fields.Create(w.A.WorkspaceCtx, customfields.Field{Key: "tier", Type: customfields.Text})
	require.NoError(t, err)
	free := w.Company(t, "free") // has its one domain
	require.Equal(t, []string{"limit_exceeded domains", "limit_exceeded recipients"}, w.blocks(t, free.WorkspaceID))
	pro := w.Company(t, "pro")
	require.Empty(t, w.blocks(t, pro.WorkspaceID))
	full := func(c *tenancytest.Company, resource string) {
		t.Helper()
		require.NoError(t, w.DB.InTx(c.CompanyCtx, func(tx *tenancy.Tx) error {
			_, err := tx.Exec(t.Context(), `UPDATE strata.usage SET limit_value = used WHERE company_id = $1 AND resource = $2`, c.CompanyID, resource)
			return errors.Join(err, w.Env.Audit.RecordChange(c.CompanyCtx, tx, tenancy.Change{Action: "limit.set"}))
		}))
	}
	full(pro, "custom_fields")
	_, err = w.Mover.Start(platform(w.A.Ctx), pro.WorkspaceID)
	var refused *billing.LimitError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, []any{"custom_fields", int64(1), int64(0)}, []any{refused.Resource, refused.Incoming, refused.Limit})
}
