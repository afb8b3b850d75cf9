package push_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/recipients/push"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/move"
)

// A move of a domain takes the rows of both tables along, and what they say of devices.
func TestMovesTakeDevicesAlong(t *testing.T) {
	t.Parallel()
	env := tenancytest.Open(t)
	ctx := env.A.Ctx
	r := recipients.NewRegistry()
	devices, err := push.Register(r, nil)
	require.NoError(t, err)
	require.NoError(t, r.Migrate(t.Context(), env.Direct(t)))
	s, err := strata.New(t.Context(), env.Pool, nil, &strata.Config{Extensions: r})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Stop(context.WithoutCancel(t.Context()))) })
	ada, err := s.Recipients.Create(ctx, recipients.New{Email: "ada@example.com"})
	require.NoError(t, err)
	require.NoError(t, devices.Enroll(ctx, ada.ID, &push.Push{}))
	for _, token := range []string{"a", "b"} {
		_, err = devices.AddDevice(ctx, ada.ID, push.Device{Token: token, Platform: push.IOS, LastSeenAt: noon})
		require.NoError(t, err)
	}
	to, err := s.Tenancy.CreateWorkspace(env.A.CompanyCtx, tenancy.NewWorkspace{Name: "Other"})
	require.NoError(t, err)
	require.NoError(t, s.Start(t.Context()))
	_, err = s.Mover.Start(ctx, to.ID)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		m, err := s.Mover.Get(ctx)
		return err == nil && m.State == move.Done
	}, time.Minute, 20*time.Millisecond)

	for _, table := range []string{"recipient_push", "recipient_push_devices"} {
		var workspaces []tenancy.WorkspaceID
		require.NoError(t, s.DB.ReadTrusted(t.Context(), `SELECT DISTINCT workspace_id FROM strata.`+table, nil, func(rows pgx.Rows) (err error) {
			workspaces, err = pgx.CollectRows(rows, pgx.RowTo[tenancy.WorkspaceID])
			return err
		}))
		require.Equal(t, []tenancy.WorkspaceID{to.ID}, workspaces, table)
	}
	tenant, err := s.Resolver.ResolveDomain(t.Context(), env.A.DomainID)
	require.NoError(t, err)
	row, err := devices.Get(tenancy.WithTenant(ctx, tenant), ada.ID)
	require.NoError(t, err)
	require.EqualValues(t, 2, row.Devices)
	require.Equal(t, noon, *row.LastSeenAt)
}
