package strata_test

import (
	"context"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata"
	"github.com/stratakit/strata/internal/dnstest"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/domainproof"
)

// A name is proven by what DNS says, and the housekeeping of a started process notices when
// DNS does not say it any more.
func TestDomainNamesAreProvenAndCheckedAgain(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	internet := dnstest.New(t)
	zone := internet.Zone("company-1.example")
	verifier, err := domainproof.NewVerifier(&domainproof.Config{
		Resolvers: []string{dnstest.Resolver}, Dial: internet.Dial, Allow: func(netip.Addr) bool { return true },
	})
	require.NoError(t, err)
	s, err := strata.New(t.Context(), e.Pool, nil, &strata.Config{
		Log: slog.New(slog.DiscardHandler), Proof: tenancy.ProofConfig{Prover: verifier, Label: "_acme-product-challenge"},
	})
	require.NoError(t, err)
	proof, err := s.Tenancy.DomainProof(e.A.CompanyCtx, e.A.DomainID)
	require.NoError(t, err)
	require.Equal(t, "_acme-product-challenge.company-1.example", proof.Record.Name)
	zone.Set(proof.Record.Name, proof.Record.Value)
	proof, err = s.Tenancy.VerifyDomain(e.A.CompanyCtx, e.A.DomainID)
	require.NoError(t, err)
	require.True(t, proof.Verified)

	zone.Set(proof.Record.Name)
	require.NoError(t, e.DB.InTx(e.A.CompanyCtx, func(tx *tenancy.Tx) error { // missed twice, long ago
		_, err := tx.Exec(e.A.CompanyCtx, `UPDATE strata.domain_checks SET missing = 2, missing_since = now() - interval '4 days', due_at = now()
			WHERE company_id = $1 AND domain_id = $2`, e.A.CompanyID, e.A.DomainID)
		return err
	}))
	require.NoError(t, s.Start(t.Context()))
	defer func() { require.NoError(t, s.Stop(context.Background())) }()
	require.Eventually(t, func() bool {
		d, err := s.Tenancy.Domain(e.A.CompanyCtx, e.A.DomainID)
		return err == nil && d.VerifiedAt == nil
	}, 30*time.Second, 10*time.Millisecond)
}
