package tenancyhttp_test

import (
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/tenancyhttp"
)

const keyExpired = `UPDATE strata.idempotency_keys SET expires_at = now() - interval '1 s'`

func TestKeysExpire(t *testing.T) {
	t.Parallel()
	w := open(t, tenancyhttp.Config{})
	ask := func(who, key string, c *tenancytest.Company) *httptest.ResponseRecorder {
		return w.keyed(t, who, key, path(newWorkspaces, c), `{"name":"`+key+`"}`)
	}
	require.Equal(t, 201, ask("a", "old", w.A).Code)
	require.EqualValues(t, 1, w.change(t, w.A.CompanyID, keyExpired))
	requireError(t, ask("a", "old", w.A), 409, "already_exists") // done anew: the workspace's own uniqueness answers
	require.EqualValues(t, 1, w.change(t, w.A.CompanyID, keyExpired))

	require.Equal(t, 201, ask("b", "old", w.B).Code)
	w.change(t, w.B.CompanyID, keyExpired)
	live := ask("a", "live", w.A)
	require.Equal(t, 201, w.keyed(t, "admin", "old", "/companies", `{"name":"Acme"}`).Code)
	platform, err := tenancy.ParseID[tenancy.Company]("ffffffff-ffff-ffff-ffff-ffffffffffff")
	require.NoError(t, err)
	require.EqualValues(t, 1, w.change(t, platform, keyExpired))
	w.change(t, w.B.CompanyID, `INSERT INTO strata.idempotency_keys (company_id, scope, fingerprint, claim, leased_until, expires_at)
		SELECT current_setting('strata.company_id')::uuid, sha256(n::text::bytea), sha256(''), gen_random_uuid(), now(), now() - interval '1 s' FROM generate_series(1, 1500) n`)

	n, err := tenancyhttp.SweepIdempotencyKeys(t.Context(), w.DB)
	require.NoError(t, err)
	require.EqualValues(t, 1503, n)
	n, err = tenancyhttp.SweepIdempotencyKeys(t.Context(), w.DB)
	require.NoError(t, err)
	require.Zero(t, n)
	requireReplayed(t, live, ask("a", "live", w.A))
	requireError(t, ask("a", "old", w.A), 409, "already_exists")
}
