package tenancy

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// Prover reads the DNS records that prove whose a domain name is. domainproof.Verifier is
// one. It must be safe for concurrent use.
type Prover interface {
	// TXT returns the texts of the TXT records of name as they are now. No record, or no
	// such name, is no error: an error says that this could not be learnt, and its text is
	// told to whoever asked for the check.
	TXT(ctx context.Context, name string) ([]string, error)
}

// ProofConfig configures how names of domains are proven. The zero value is legal.
type ProofConfig struct {
	// Prover reads the records. Nil: VerifyDomain returns ErrNoProver.
	Prover Prover
	// Label is the first label of the record's name, by which its owner knows what it is
	// for: an underscore, then lower-case letters, digits and hyphens. A product of
	// another name has one of its own; changing it makes everybody set the record anew.
	// Default "_strata-challenge".
	Label string
	// Timeout is how long a check may take. Default 10 s.
	Timeout time.Duration
	// RecheckAfter is how long after a check that found the record RecheckDomains looks
	// for it again. Default 7 days.
	RecheckAfter time.Duration
	// Grace is how long a record has to be missing, at three checks at least, until the
	// proof lapses. Default 72 h.
	Grace time.Duration
}

var labelForm = regexp.MustCompile(`^_[a-z0-9]([a-z0-9-]{0,60}[a-z0-9])?$`)

func (c *ProofConfig) setDefaults() error {
	setDefault(&c.Label, "_strata-challenge")
	setDefault(&c.Timeout, 10*time.Second)
	setDefault(&c.RecheckAfter, 7*24*time.Hour)
	setDefault(&c.Grace, 72*time.Hour)
	if !labelForm.MatchString(c.Label) {
		return fmt.Errorf("tenancy: StoreConfig.Proof.Label %q: want an underscore, then letters, digits and hyphens, such as _acme-product-challenge", c.Label)
	}
	if c.Timeout < 0 || c.RecheckAfter < 0 || c.Grace < 0 {
		return errors.New("tenancy: the times of StoreConfig.Proof must not be negative")
	}
	return nil
}

// DomainProof is what is known of whose the name of a domain is.
type DomainProof struct {
	DomainName string `json:"domainName"`
	Verified   bool   `json:"verified"`
	// VerifiedAt is since when; nil while it is not.
	VerifiedAt *time.Time `json:"verifiedAt,omitempty"`
	// Record proves it, for as long as it is there. Its value is the company's secret.
	Record DNSRecord `json:"record"`
	// Problem says what was found instead of the record, when it was looked for.
	Problem string `json:"problem,omitempty"`
}

// DNSRecord is a record to set in DNS, without the quotes and dots of a zone file.
type DNSRecord struct {
	Type  string `json:"type"`
	Name  string `json:"name"`
	Value string `json:"value"`
}

// DomainProof returns what is known of the name of a domain of the company of ctx's
// tenant, and which record proves it. It looks for nothing. ErrNotFound for a domain that
// is gone or another company's.
func (s *Store) DomainProof(ctx context.Context, id DomainID) (DomainProof, error) {
	t, err := TenantFrom(ctx)
	if err != nil {
		return DomainProof{}, err
	}
	n, err := readOne(ctx, s.db, nameSQL, scanName, t.CompanyID, id)
	if err != nil {
		return DomainProof{}, err
	}
	return s.proofOf(n), nil
}

// provenName is a domain with what proves its name.
type provenName struct {
	Domain
	token string
}

const nameSQL = `SELECT ` + domainColumns + `, verification_token FROM strata.domains WHERE company_id = $1 AND id = $2 AND deleted_at IS NULL
	AND EXISTS (SELECT FROM strata.companies WHERE id = $1 AND deleted_at IS NULL)`

func scanName(row pgx.CollectableRow) (n provenName, err error) {
	err = row.Scan(&n.ID, &n.WorkspaceID, &n.CompanyID, &n.DomainName, &n.CreatedAt, &n.UpdatedAt, &n.SuspendedAt, &n.VerifiedAt, &n.token)
	return n, err
}

// record is the one that proves n. Its value has the form of
// draft-ietf-dnsop-domain-verification-techniques, without an expiry: it has to stay.
func (s *Store) record(n provenName) DNSRecord {
	return DNSRecord{Type: "TXT", Name: s.cfg.Proof.Label + "." + n.DomainName, Value: "token=" + n.token}
}

func (s *Store) proofOf(n provenName) DomainProof {
	return DomainProof{DomainName: n.DomainName, Verified: n.VerifiedAt != nil, VerifiedAt: n.VerifiedAt, Record: s.record(n)}
}

// proves reports whether one of texts is the record's value.
func (r DNSRecord) proves(texts []string) bool {
	return slices.ContainsFunc(texts, func(text string) bool { return strings.TrimSpace(text) == r.Value })
}

// missing says what was found instead. It repeats nothing of it: what stands there may be
// another company's.
func (r DNSRecord) missing(texts []string) string {
	_, token, _ := strings.Cut(r.Value, "=")
	switch {
	case len(texts) == 0:
		return fmt.Sprintf("there is no TXT record at %s: it takes a while until all name servers of a provider have a new one", r.Name)
	case slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(text, token) }):
		return fmt.Sprintf("a TXT record at %s has the token and not the whole value: it must be %s alone, without quotes", r.Name, r.Value)
	case len(texts) == 1:
		return fmt.Sprintf("the TXT record at %s has another value", r.Name)
	}
	return fmt.Sprintf("none of the %d TXT records at %s has the value", len(texts), r.Name)
}
