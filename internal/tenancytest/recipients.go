package tenancytest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/recipients"
)

// Extended makes the tables of a registry of extensions, and returns a Store that has them.
func (e *Env) Extended(t testing.TB, registry *recipients.Registry) *recipients.Store {
	t.Helper()
	require.NoError(t, registry.Migrate(t.Context(), e.Direct(t)))
	require.NoError(t, registry.Verify(t.Context(), e.DB))
	fields, err := customfields.NewRegistry(e.DB, e.Redis, e.Limits, e.Audit, nil)
	require.NoError(t, err)
	store, err := recipients.NewStore(e.DB, fields, e.Limits, e.Audit, &recipients.Config{Extensions: registry})
	require.NoError(t, err)
	return store
}
