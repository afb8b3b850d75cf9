package strata_test

import (
	"testing"

	"github.com/stratakit/strata/internal/dbtest"
	"github.com/stratakit/strata/internal/tenancytest"
	public "github.com/stratakit/strata/tenancy/tenancytest"
)

// Every shared table keeps tenants apart, whatever the statement.
func TestSharedTablesKeepTenantsApart(t *testing.T) {
	t.Parallel()
	public.Prove(t, dbtest.Database(t, tenancytest.Template()), &public.Config{Schemas: []string{"strata"}})
}
