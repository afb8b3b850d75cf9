package library_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/internal/dbtest"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/library"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// template is what the tests keep in the library.
type template struct {
	Subject string `json:"subject"`
	Lines   int    `json:"lines,omitempty"`
}

func (t template) check() error {
	if t.Subject == "" {
		return errors.New("needs a subject")
	}
	return nil
}

// world is two companies, the first of which has a second workspace.
type world struct {
	*tenancytest.Env
	store     *library.Store
	templates *library.Type[template]
	a2        tenancy.WorkspaceID

	platform, a1Ctx, a2Ctx context.Context
}

func setup(t *testing.T) *world {
	t.Helper()
	w := &world{Env: tenancytest.Open(t)}
	var err error
	w.store, err = library.NewStore(w.DB, w.Audit, nil)
	require.NoError(t, err)
	w.templates, err = library.NewType(w.store, "template", library.Spec[template]{Validate: template.check})
	require.NoError(t, err)
	second, err := w.Store.CreateWorkspace(w.A.CompanyCtx, tenancy.NewWorkspace{Name: "Second"})
	require.NoError(t, err)
	w.a2, w.a1Ctx = second.ID, w.A.WorkspaceCtx
	w.a2Ctx = tenancy.WithTenant(w.a1Ctx, tenancy.Tenant{CompanyID: w.A.CompanyID, WorkspaceID: second.ID})
	w.platform = library.Platform(tenancy.WithActor(t.Context(), tenancy.Actor{ID: "root", Type: tenancy.ActorAdmin}))
	return w
}

func (w *world) create(t *testing.T, ctx context.Context, name string) library.Item[template] {
	t.Helper()
	item, err := w.templates.Create(ctx, library.New[template]{Name: name, Body: template{Subject: name}})
	require.NoError(t, err)
	return item
}

// column reads one column of one statement in the scope of ctx.
func column[T any](t *testing.T, ctx context.Context, w *world, q string, args ...any) []T {
	t.Helper()
	var out []T
	require.NoError(t, w.DB.InTx(ctx, func(tx *tenancy.Tx) error {
		var err error
		out, err = collect[T](ctx, tx, q, args...)
		return err
	}))
	return out
}
