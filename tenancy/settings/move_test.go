package settings_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/settings"
)

// mover does to the hierarchy what a move does, as far as settings are concerned.
type mover struct {
	*tenancytest.Env
	s *settings.Store
}

// move moves a domain and returns what settings say of it; without keep it is undone.
func (m *mover) move(t *testing.T, from, to tenancy.Tenant, scope tenancy.Tenant) []settings.Difference {
	t.Helper()
	ctx := tenancy.WithActor(tenancy.WithTenant(t.Context(), scope), tenancy.Actor{ID: "mover", Type: tenancy.ActorAdmin})
	preview, err := m.s.Preview(ctx, from, to)
	require.NoError(t, err)
	var moved []settings.Difference
	require.NoError(t, m.DB.InTx(ctx, func(tx *tenancy.Tx) error {
		moved, err = m.s.Moved(ctx, tx, from, to)
		if err == nil {
			var company string
			require.NoError(t, tx.QueryRow(ctx, `SELECT current_setting('strata.company_id')`).Scan(&company))
			require.Equal(t, scope.CompanyID.String(), company, "the transaction is in its own scope again")
		}
		return err
	}))
	require.Equal(t, preview, moved, "the preview is what happens")
	// As the owner of the tables: what the mover itself does is not the matter here.
	_, err = m.Pool.Exec(t.Context(), `BEGIN; SET LOCAL dbtest.guard = 'off'; COMMIT`)
	require.NoError(t, err)
	m.hierarchy(t, from, to)
	return moved
}

func short(all []settings.Difference) map[string]string {
	out := map[string]string{}
	for _, d := range all {
		out[d.Key] = string(d.Before) + " " + string(d.After)
		if d.Kept {
			out[d.Key] += " kept"
		}
	}
	return out
}
