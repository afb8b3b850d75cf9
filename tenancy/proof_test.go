package tenancy_test

import (
	"context"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/internal/dnstest"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/domainproof"
)

// proving is an Env whose Store asks a small internet with the zone acme.example.
type proving struct {
	*tenancytest.Env
	internet *dnstest.Internet
	zone     *dnstest.Zone
	store    *tenancy.Store
	resolver *tenancy.Resolver
}

const challenge = "_strata-challenge.acme.example"

func prove(t *testing.T) *proving {
	t.Helper()
	p := &proving{Env: tenancytest.Open(t), internet: dnstest.New(t)}
	p.zone = p.internet.Zone("acme.example")
	var err error
	p.resolver, err = tenancy.NewResolver(p.DB, p.Redis, nil)
	require.NoError(t, err)
	t.Cleanup(p.resolver.Close)
	p.store = p.newStore(t, p.verifier(t))
	return p
}

func (p *proving) verifier(t *testing.T) *domainproof.Verifier {
	t.Helper()
	v, err := domainproof.NewVerifier(&domainproof.Config{
		Resolvers: []string{dnstest.Resolver}, Dial: p.internet.Dial, Allow: func(netip.Addr) bool { return true },
		QueryTimeout: 200 * time.Millisecond,
	})
	require.NoError(t, err)
	return v
}

func (p *proving) newStore(t *testing.T, prover tenancy.Prover) *tenancy.Store {
	t.Helper()
	s, err := tenancy.NewStore(p.DB, p.Audit, &tenancy.StoreConfig{
		Limits: p.Limits, Resolver: p.resolver, Proof: tenancy.ProofConfig{Prover: prover},
	})
	require.NoError(t, err)
	return s
}

// domain creates acme.example in c and returns it with its record's value.
func (p *proving) domain(t *testing.T, c *tenancytest.Company) (tenancy.DomainID, string) {
	t.Helper()
	d, err := p.store.CreateDomain(c.CompanyCtx, c.WorkspaceID, tenancy.NewDomain{DomainName: "acme.example"})
	require.NoError(t, err)
	proof, err := p.store.DomainProof(c.CompanyCtx, d.ID)
	require.NoError(t, err)
	require.Equal(t, tenancy.DomainProof{
		DomainName: "acme.example", Record: tenancy.DNSRecord{Type: "TXT", Name: challenge, Value: proof.Record.Value},
	}, proof)
	require.Regexp(t, `^token=[0-9a-f]{64}$`, proof.Record.Value)
	return d.ID, proof.Record.Value
}

// verified asks the row.
func (p *proving) verified(t *testing.T, c *tenancytest.Company, id tenancy.DomainID) bool {
	t.Helper()
	d, err := p.store.Domain(c.CompanyCtx, id)
	require.NoError(t, err)
	proof, err := p.store.DomainProof(c.CompanyCtx, id)
	require.NoError(t, err)
	require.Equal(t, d.VerifiedAt, proof.VerifiedAt)
	return d.VerifiedAt != nil
}

// pass lets time pass for what is known of a name.
func (p *proving) pass(t *testing.T, c *tenancytest.Company, id tenancy.DomainID, d time.Duration) {
	t.Helper()
	require.NoError(t, p.DB.InTx(c.CompanyCtx, func(tx *tenancy.Tx) error {
		_, err := tx.Exec(c.CompanyCtx, `UPDATE strata.domain_checks SET claimed_until = claimed_until - $3::interval, due_at = due_at - $3::interval,
			missing_since = missing_since - $3::interval WHERE company_id = $1 AND domain_id = $2`, c.CompanyID, id, d)
		return err
	}))
}

// actions is what the trail of c's domain says of its name, newest first.
func (p *proving) actions(t *testing.T, c *tenancytest.Company, id tenancy.DomainID) (out []string) {
	t.Helper()
	ctx := tenancy.WithTenant(t.Context(), tenancy.Tenant{CompanyID: c.CompanyID, WorkspaceID: c.WorkspaceID, DomainID: id})
	trail, err := p.Audit.List(ctx, audit.Query{})
	require.NoError(t, err)
	for _, entry := range trail.Items {
		action := entry.Action
		if reason, ok := entry.Metadata["reason"]; ok {
			action += ": " + reason.(string)
		}
		out = append(out, action)
	}
	return out
}

func TestVerifyDomain(t *testing.T) {
	t.Parallel()
	p := prove(t)
	id, value := p.domain(t, p.A)
	verify := func() tenancy.DomainProof {
		t.Helper()
		proof, err := p.store.VerifyDomain(p.A.CompanyCtx, id)
		require.NoError(t, err)
		require.Equal(t, value, proof.Record.Value)
		require.Equal(t, proof.Verified, p.verified(t, p.A, id))
		return proof
	}
	require.Contains(t, verify().Problem, "no TXT record at "+challenge)
	p.zone.Set(challenge, "token=0123")
	require.Contains(t, verify().Problem, "another value")
	p.zone.Set(challenge, "a", "b")
	require.Contains(t, verify().Problem, "none of the 2 TXT records")
	p.zone.Set(challenge, value[len("token="):])
	require.Contains(t, verify().Problem, "not the whole value")
	for _, s := range p.zone.Servers {
		s.Every(func(m *dns.Msg) bool { m.Rcode = dns.RcodeServerFailure; return true })
	}
	require.Contains(t, verify().Problem, "SERVFAIL")
	for _, s := range p.zone.Servers {
		s.Every(nil)
	}
	require.Equal(t, []string{"domain.created"}, p.actions(t, p.A, id))

	p.zone.Set(challenge, "something else", " "+value[:10]+"|"+value[10:]+" ")
	proof := verify()
	require.True(t, proof.Verified)
	require.Empty(t, proof.Problem)
	require.Equal(t, proof.VerifiedAt, verify().VerifiedAt, "again changes nothing")
	require.Equal(t, []string{"domain.verified", "domain.created"}, p.actions(t, p.A, id))

	p.zone.Set(challenge)
	proof = verify()
	require.True(t, proof.Verified, "it stays for a while")
	require.Contains(t, proof.Problem, "no TXT record")
}

func TestVerifyDomainRefuses(t *testing.T) {
	t.Parallel()
	p := prove(t)
	id, value := p.domain(t, p.A)
	p.zone.Set(challenge, value)
	_, err := p.store.VerifyDomain(p.B.CompanyCtx, id)
	require.ErrorIs(t, err, tenancy.ErrNotFound)
	_, err = p.store.VerifyDomain(t.Context(), id)
	require.ErrorIs(t, err, tenancy.ErrNoTenant)
	_, err = p.Store.VerifyDomain(p.A.CompanyCtx, id)
	require.ErrorIs(t, err, tenancy.ErrNoProver)
	n, err := p.Store.RecheckDomains(t.Context())
	require.NoError(t, err)
	require.Zero(t, n)
	for _, label := range []string{"strata", "_", "_a.b", "_-a", "_A"} {
		_, err = tenancy.NewStore(p.DB, p.Audit, &tenancy.StoreConfig{Proof: tenancy.ProofConfig{Label: label}})
		require.ErrorContains(t, err, "Label", label)
	}
	_, err = tenancy.NewStore(p.DB, p.Audit, &tenancy.StoreConfig{Proof: tenancy.ProofConfig{Grace: -1}})
	require.Error(t, err)

	require.NoError(t, p.store.DeleteCompany(p.A.CompanyCtx))
	_, err = p.store.VerifyDomain(p.A.CompanyCtx, id)
	require.ErrorIs(t, err, tenancy.ErrNotFound, "a context can be older than that")
}

// held answers a check when the test says so.
type heldProver struct {
	tenancy.Prover
	asked, goOn chan struct{}
	looked      atomic.Int64
}

func hold(p tenancy.Prover) *heldProver {
	return &heldProver{Prover: p, asked: make(chan struct{}, 100), goOn: make(chan struct{})}
}

func (h *heldProver) TXT(ctx context.Context, name string) ([]string, error) {
	h.looked.Add(1)
	h.asked <- struct{}{}
	select {
	case <-h.goOn:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return h.Prover.TXT(ctx, name)
}

func TestOneCheckOfADomainAtATime(t *testing.T) {
	t.Parallel()
	p := prove(t)
	id, value := p.domain(t, p.A)
	p.zone.Set(challenge, value)
	held := hold(p.verifier(t))
	slow := p.newStore(t, held)
	first := make(chan error, 1)
	go func() { first <- second(slow.VerifyDomain(p.A.CompanyCtx, id)) }()
	<-held.asked
	_, err := p.store.VerifyDomain(p.A.CompanyCtx, id)
	require.ErrorIs(t, err, tenancy.ErrCheckRunning)

	p.pass(t, p.A, id, time.Minute) // as if the process of the first had died
	proof, err := p.store.VerifyDomain(p.A.CompanyCtx, id)
	require.NoError(t, err)
	require.True(t, proof.Verified)
	p.zone.Set(challenge)
	close(held.goOn)
	require.ErrorIs(t, <-first, tenancy.ErrCheckRunning, "what it found is not written down any more")
	require.Equal(t, []string{"domain.verified", "domain.created"}, p.actions(t, p.A, id))

	// Whoever gives up leaves nothing behind that keeps others out.
	gone, cancel := context.WithCancel(p.A.CompanyCtx)
	again := hold(p.verifier(t))
	slow = p.newStore(t, again)
	go func() { first <- second(slow.VerifyDomain(gone, id)) }()
	<-again.asked
	cancel()
	require.ErrorIs(t, <-first, context.Canceled)
	_, err = p.store.VerifyDomain(p.A.CompanyCtx, id)
	require.NoError(t, err)
}

// A domain that goes while it is checked is not verified any more.
func TestADomainThatIsDeletedWhileItIsChecked(t *testing.T) {
	t.Parallel()
	p := prove(t)
	id, value := p.domain(t, p.A)
	p.zone.Set(challenge, value)
	held := hold(p.verifier(t))
	slow := p.newStore(t, held)
	checked := make(chan error, 1)
	go func() { checked <- second(slow.VerifyDomain(p.A.CompanyCtx, id)) }()
	<-held.asked
	require.NoError(t, p.store.DeleteDomain(p.A.CompanyCtx, id))
	close(held.goOn)
	require.ErrorIs(t, <-checked, tenancy.ErrNotFound)
	require.Equal(t, []string{"domain.deleted", "domain.created"}, p.actions(t, p.A, id))
}

// Who has proven a name keeps it while the record is there, and no longer.
func TestANameHasOneOwner(t *testing.T) {
	t.Parallel()
	p := prove(t)
	a, valueA := p.domain(t, p.A)
	b, valueB := p.domain(t, p.B)
	require.NotEqual(t, valueA, valueB)
	p.zone.Set(challenge, valueA)
	_, err := p.store.VerifyDomain(p.A.CompanyCtx, a)
	require.NoError(t, err)

	proof, err := p.store.VerifyDomain(p.B.CompanyCtx, b)
	require.NoError(t, err)
	require.Contains(t, proof.Problem, "another value", "who has proven nothing learns nothing")
	require.NotContains(t, proof.Problem, valueA)

	p.zone.Set(challenge, valueA, valueB)
	for range 2 { // and nothing of it stays behind
		_, err = p.store.VerifyDomain(p.B.CompanyCtx, b)
		require.ErrorIs(t, err, tenancy.ErrDomainTaken)
		require.NotContains(t, err.Error(), valueA)
	}
	require.True(t, p.verified(t, p.A, a))

	before, err := p.resolver.ResolveDomain(t.Context(), a)
	require.NoError(t, err)
	p.zone.Set(challenge, valueB)
	proof, err = p.store.VerifyDomain(p.B.CompanyCtx, b)
	require.NoError(t, err)
	require.True(t, proof.Verified)
	require.False(t, p.verified(t, p.A, a))
	after, err := p.resolver.ResolveDomain(t.Context(), a)
	require.NoError(t, err)
	require.Greater(t, after.Version, before.Version, "every process has forgotten the domain")

	require.Equal(t, []string{"domain.verified", "domain.created"}, p.actions(t, p.B, b))
	require.Equal(t, []string{"domain.verification_lapsed: proven_by_another", "domain.verified", "domain.created"}, p.actions(t, p.A, a))
	trail, err := p.Audit.List(p.A.CompanyCtx, audit.Query{Action: "domain.verification_lapsed"})
	require.NoError(t, err)
	require.Len(t, trail.Items, 1)
	lapsed := trail.Items[0]
	require.Equal(t, []any{"", "system", "", ""}, []any{lapsed.ActorID, string(lapsed.ActorType), lapsed.ActorEmail, lapsed.IP}, "not who of the other company did it")

	p.zone.Set(challenge, valueA, valueB)
	_, err = p.store.VerifyDomain(p.A.CompanyCtx, a)
	require.ErrorIs(t, err, tenancy.ErrDomainTaken, "now it is the other way round")
	require.NoError(t, p.store.DeleteDomain(p.B.CompanyCtx, b))
	proof, err = p.store.VerifyDomain(p.A.CompanyCtx, a)
	require.NoError(t, err)
	require.True(t, proof.Verified, "what is deleted holds no name")
}

func TestWhatIsDeletedHoldsNoName(t *testing.T) {
	t.Parallel()
	p := prove(t)
	a, valueA := p.domain(t, p.A)
	b, valueB := p.domain(t, p.B)
	p.zone.Set(challenge, valueA, valueB)
	_, err := p.store.VerifyDomain(p.A.CompanyCtx, a)
	require.NoError(t, err)
	require.NoError(t, p.store.DeleteCompany(p.A.CompanyCtx))
	proof, err := p.store.VerifyDomain(p.B.CompanyCtx, b)
	require.NoError(t, err)
	require.True(t, proof.Verified)
	require.NoError(t, p.store.DeleteWorkspace(p.B.CompanyCtx, p.B.WorkspaceID))
	c := p.Company(t, "enterprise")
	third, valueC := p.domain(t, c)
	p.zone.Set(challenge, valueA, valueB, valueC)
	proof, err = p.store.VerifyDomain(c.CompanyCtx, third)
	require.NoError(t, err)
	require.True(t, proof.Verified)
	var left int
	require.NoError(t, p.DB.ReadTrusted(t.Context(), `SELECT count(*) FROM strata.domain_checks`, nil, func(rows pgx.Rows) (err error) {
		left, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[int])
		return err
	}))
	require.Equal(t, 1, left, "nor is it checked any more")
}

// Two companies that both prove a name at the same moment: one has it.
func TestTwoCompaniesRaceForAName(t *testing.T) {
	t.Parallel()
	p := prove(t)
	a, valueA := p.domain(t, p.A)
	b, valueB := p.domain(t, p.B)
	p.zone.Set(challenge, valueA, valueB)
	for range 5 {
		held := hold(p.verifier(t))
		s := p.newStore(t, held)
		errs := make(chan error, 2)
		go func() { errs <- second(s.VerifyDomain(p.A.CompanyCtx, a)) }()
		go func() { errs <- second(s.VerifyDomain(p.B.CompanyCtx, b)) }()
		<-held.asked
		<-held.asked
		close(held.goOn)
		one, other := <-errs, <-errs
		if one != nil {
			one, other = other, one
		}
		require.NoError(t, one)
		require.ErrorIs(t, other, tenancy.ErrDomainTaken)
		require.NotEqual(t, p.verified(t, p.A, a), p.verified(t, p.B, b))
	}
}

// lateProver tells what it has read when the test says so.
type lateProver struct {
	tenancy.Prover
	read, goOn chan struct{}
}

func (l *lateProver) TXT(ctx context.Context, name string) ([]string, error) {
	texts, err := l.Prover.TXT(ctx, name)
	l.read <- struct{}{}
	<-l.goOn
	return texts, err
}

// What was read before the other's proof says nothing against it.
func TestAProofYoungerThanTheLookStands(t *testing.T) {
	t.Parallel()
	p := prove(t)
	a, valueA := p.domain(t, p.A)
	b, valueB := p.domain(t, p.B)
	p.zone.Set(challenge, valueA)
	late := &lateProver{p.verifier(t), make(chan struct{}), make(chan struct{})}
	s := p.newStore(t, late)
	checked := make(chan error, 1)
	go func() { checked <- second(s.VerifyDomain(p.A.CompanyCtx, a)) }()
	<-late.read
	p.zone.Set(challenge, valueA, valueB)
	_, err := p.store.VerifyDomain(p.B.CompanyCtx, b)
	require.NoError(t, err)
	close(late.goOn)
	require.ErrorIs(t, <-checked, tenancy.ErrDomainTaken)
	require.True(t, p.verified(t, p.B, b), "its record is there")
}

func TestRecheckDomains(t *testing.T) {
	t.Parallel()
	p := prove(t)
	id, value := p.domain(t, p.A)
	_, _ = p.domain(t, p.B) // not verified: never checked again
	recheck := func() int {
		t.Helper()
		n, err := p.store.RecheckDomains(t.Context())
		require.NoError(t, err)
		return n
	}
	day := 24 * time.Hour
	p.zone.Set(challenge, value)
	_, err := p.store.VerifyDomain(p.A.CompanyCtx, id)
	require.NoError(t, err)
	require.Zero(t, recheck(), "not due")
	p.pass(t, p.A, id, 8*day)
	require.Equal(t, 1, recheck())
	require.Zero(t, recheck(), "not due again")

	// However often the servers fail, the proof stands.
	for _, s := range p.zone.Servers {
		s.Every(func(m *dns.Msg) bool { m.Rcode = dns.RcodeServerFailure; return true })
	}
	for range 5 {
		p.pass(t, p.A, id, 8*day)
		require.Equal(t, 1, recheck())
	}
	require.True(t, p.verified(t, p.A, id))
	for _, s := range p.zone.Servers {
		s.Every(nil)
	}

	// Missing twice, then there again: counting begins anew.
	p.zone.Set(challenge)
	for range 2 {
		p.pass(t, p.A, id, 8*day)
		require.Equal(t, 1, recheck())
	}
	p.zone.Set(challenge, value)
	p.pass(t, p.A, id, 8*day)
	require.Equal(t, 1, recheck())
	p.zone.Set(challenge)
	p.pass(t, p.A, id, 8*day)
	require.Equal(t, 1, recheck())
	for range 5 { // asking again and again does not make the grace shorter
		proof, err := p.store.VerifyDomain(p.A.CompanyCtx, id)
		require.NoError(t, err)
		require.True(t, proof.Verified)
	}
	p.pass(t, p.A, id, 2*day)
	require.Equal(t, 1, recheck())
	require.True(t, p.verified(t, p.A, id))
	p.pass(t, p.A, id, 2*day)
	require.Equal(t, 1, recheck())
	require.False(t, p.verified(t, p.A, id))
	p.pass(t, p.A, id, 30*day)
	require.Zero(t, recheck(), "what is not verified is not checked")
	require.Equal(t, []string{"domain.verification_lapsed: record_missing", "domain.verified", "domain.created"}, p.actions(t, p.A, id))

	p.zone.Set(challenge, value)
	proof, err := p.store.VerifyDomain(p.A.CompanyCtx, id)
	require.NoError(t, err)
	require.True(t, proof.Verified, "it can be proven again")
}

// Whoever has lost a name cannot keep its proof by asking for checks and breaking them off.
func TestChecksThatAreBrokenOffPutNothingOff(t *testing.T) {
	t.Parallel()
	p := prove(t)
	id := p.due(t, "one.acme.example")
	held := hold(p.verifier(t))
	slow := p.newStore(t, held)
	ctx, cancel := context.WithCancel(p.A.CompanyCtx)
	checked := make(chan error, 1)
	go func() { checked <- second(slow.VerifyDomain(ctx, id)) }()
	<-held.asked
	cancel()
	require.ErrorIs(t, <-checked, context.Canceled)
	n, err := p.store.RecheckDomains(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, n, "it is due as before")
}

// A proof that ends while the name is checked again is not begun anew by that check.
func TestAProofThatLapsesWhileItIsCheckedAgain(t *testing.T) {
	t.Parallel()
	p := prove(t)
	a, valueA := p.domain(t, p.A)
	b, valueB := p.domain(t, p.B)
	p.zone.Set(challenge, valueA)
	_, err := p.store.VerifyDomain(p.A.CompanyCtx, a)
	require.NoError(t, err)
	p.pass(t, p.A, a, 8*24*time.Hour)
	held := hold(p.verifier(t))
	checked := make(chan error, 1)
	s := p.newStore(t, held)
	go func() { checked <- second(s.RecheckDomains(t.Context())) }()
	<-held.asked
	p.zone.Set(challenge, valueB)
	_, err = p.store.VerifyDomain(p.B.CompanyCtx, b)
	require.NoError(t, err)
	p.zone.Set(challenge, valueA, valueB)
	close(held.goOn)
	require.NoError(t, <-checked)
	require.False(t, p.verified(t, p.A, a))
	require.True(t, p.verified(t, p.B, b))
}

// due creates a verified domain of A that is to be checked again.
func (p *proving) due(t *testing.T, name string) tenancy.DomainID {
	t.Helper()
	d, err := p.store.CreateDomain(p.A.CompanyCtx, p.A.WorkspaceID, tenancy.NewDomain{DomainName: name})
	require.NoError(t, err)
	proof, err := p.store.DomainProof(p.A.CompanyCtx, d.ID)
	require.NoError(t, err)
	p.zone.Set(proof.Record.Name, proof.Record.Value)
	_, err = p.store.VerifyDomain(p.A.CompanyCtx, d.ID)
	require.NoError(t, err)
	p.pass(t, p.A, d.ID, 8*24*time.Hour)
	return d.ID
}

// Two processes at once check each name once.
func TestProcessesShareTheChecks(t *testing.T) {
	t.Parallel()
	p := prove(t)
	var ids []tenancy.DomainID
	for _, name := range []string{"one.acme.example", "two.acme.example", "three.acme.example", "four.acme.example", "five.acme.example"} {
		ids = append(ids, p.due(t, name))
	}
	held := hold(p.verifier(t))
	var g errgroup.Group
	var checked atomic.Int64
	for range 2 {
		s := p.newStore(t, held)
		g.Go(func() error {
			n, err := s.RecheckDomains(t.Context())
			checked.Add(int64(n))
			return err
		})
	}
	for range ids {
		<-held.asked
	}
	n, err := p.store.RecheckDomains(t.Context())
	require.NoError(t, err)
	require.Zero(t, n, "all are being checked")
	close(held.goOn)
	require.NoError(t, g.Wait())
	require.EqualValues(t, len(ids), held.looked.Load())
	require.EqualValues(t, len(ids), checked.Load())
	for _, id := range ids {
		require.True(t, p.verified(t, p.A, id))
	}
}

func TestACheckIsTakenOverFromAProcessThatDied(t *testing.T) {
	t.Parallel()
	p := prove(t)
	id := p.due(t, "one.acme.example")
	held := hold(p.verifier(t))
	s := p.newStore(t, held)
	first := make(chan int, 1)
	go func() {
		n, err := s.RecheckDomains(t.Context())
		if err != nil {
			n = -1
		}
		first <- n
	}()
	<-held.asked
	p.pass(t, p.A, id, time.Minute)
	n, err := p.store.RecheckDomains(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, n)
	close(held.goOn)
	require.Zero(t, <-first, "it was only slow, and is told that another went on")
	require.True(t, p.verified(t, p.A, id))
}
