package customfieldshttp_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/tenancy"
)

func TestReadOnlySubscriptionMayCheckFilters(t *testing.T) {
	t.Parallel()
	w := open(t)
	require.NoError(t, w.DB.InTx(w.A.CompanyCtx, func(tx *tenancy.Tx) error {
		return w.Store.SetSubscriptionTx(w.A.CompanyCtx, tx, "enterprise", tenancy.AccessReadOnly)
	}))
	tenancytest.RequireError(t, w.Do(t, "a", "POST", w.fields, tier), 403, "subscription_read_only")
	require.Equal(t, 200, w.Do(t, "a", "POST", w.check, `{"filter":"name == \"Ada\""}`).Code)
}
