package tenancy_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/tenancy"
)

// Of two states of a domain the later one must have the larger version, or the caches
// take one for the other: whoever commits later has drawn its version later.
func TestVersionsGrowInTheOrderOfCommits(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	ctx := e.A.CompanyCtx
	proof, err := e.Store.DomainProof(ctx, e.A.DomainID)
	require.NoError(t, err)
	verifying, err := tenancy.NewStore(e.DB, e.Audit, &tenancy.StoreConfig{Proof: tenancy.ProofConfig{Prover: says{proof.Record.Value}}})
	require.NoError(t, err)
	changes := []struct {
		name string
		do   func() error
	}{
		{"rename the company", func() error { _, err := e.Store.RenameCompany(ctx, "New name"); return err }},
		{"suspend the company", func() error { _, err := e.Store.SetCompanySuspended(ctx, true); return err }},
		{"change the subscription", func() error { return e.Limits.ChangePlan(ctx, "enterprise", e.Store) }},
		{"create a workspace", func() error { _, err := e.Store.CreateWorkspace(ctx, tenancy.NewWorkspace{Name: "Two"}); return err }},
		{"create a domain", func() error {
			_, err := e.Store.CreateDomain(ctx, e.A.WorkspaceID, tenancy.NewDomain{DomainName: "two.example"})
			return err
		}},
		{"rename a workspace", func() error { _, err := e.Store.RenameWorkspace(ctx, e.A.WorkspaceID, "New name"); return err }},
		{"suspend a workspace", func() error { _, err := e.Store.SetWorkspaceSuspended(ctx, e.A.WorkspaceID, true); return err }},
		{"suspend a domain", func() error { _, err := e.Store.SetDomainSuspended(ctx, e.A.DomainID, true); return err }},
		{"verify a domain", func() error { _, err := verifying.VerifyDomain(ctx, e.A.DomainID); return err }},
		{"delete a domain", func() error { return e.Store.DeleteDomain(ctx, e.A.DomainID) }},
		{"delete a workspace", func() error { return e.Store.DeleteWorkspace(ctx, e.A.WorkspaceID) }},
		{"delete the company", func() error { return e.Store.DeleteCompany(ctx) }},
	}
	for _, change := range changes {
		done := make(chan error, 1)
		var first int64
		require.NoError(t, e.DB.InTx(ctx, func(tx *tenancy.Tx) error {
			if _, err := tx.Exec(ctx, `SELECT 1 FROM strata.companies WHERE id = $1 FOR NO KEY UPDATE`, e.A.CompanyID); err != nil {
				return err
			}
			go func() { done <- change.do() }()
			require.Eventually(t, func() bool { return waiting(t, e) || len(done) == 1 }, eventually, tick)
			require.Empty(t, done, "%s did not wait for a change of the same company", change.name)
			err := tx.QueryRow(ctx, `UPDATE strata.domains SET version = nextval('strata.context_versions')
				WHERE company_id = $1 AND id = $2 RETURNING version`, e.A.CompanyID, e.A.DomainID).Scan(&first)
			return errors.Join(err, e.Audit.RecordChange(ctx, tx, tenancy.Change{Action: "domain.changed"}))
		}), change.name)
		require.NoError(t, <-done, change.name)
		var largest int64
		require.NoError(t, e.Pool.QueryRow(context.Background(), `SELECT last_value FROM strata.context_versions`).Scan(&largest))
		require.Greater(t, largest, first, "%s drew its version before it waited", change.name)
		require.Equal(t, largest, newestVersion(t, e), change.name)
	}
}

// says is what DNS says of every name.
type says []string

func (s says) TXT(context.Context, string) ([]string, error) { return s, nil }

// waiting reports whether a statement in e's database waits for a lock.
func waiting(t *testing.T, e *tenancytest.Env) bool {
	var n int
	require.NoError(t, e.Pool.QueryRow(context.Background(),
		`SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&n))
	return n > 0
}

// newestVersion is the largest version of a row of company A, deleted or not.
func newestVersion(t *testing.T, e *tenancytest.Env) (v int64) {
	require.NoError(t, e.DB.InTx(e.A.CompanyCtx, func(tx *tenancy.Tx) error {
		return tx.QueryRow(e.A.CompanyCtx, `SELECT max(version) FROM (SELECT version FROM strata.companies
			UNION ALL SELECT version FROM strata.workspaces UNION ALL SELECT version FROM strata.domains) rows`).Scan(&v)
	}))
	return v
}
