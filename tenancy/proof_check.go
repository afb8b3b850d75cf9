package tenancy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	missesToLapse = 3
	retryCheck    = time.Hour        // after a check that learnt nothing
	claimSlack    = 20 * time.Second // beyond the look-up itself: for what is written before and after it
	settling      = 10 * time.Second // what a check found is written down, also when its caller has gone
)

// VerifyDomain looks in DNS for the record that proves the name of a domain of the company
// of ctx's tenant. When it is there, the name is verified from now on, by this domain and
// no other of the installation. When it is not, DomainProof.Problem says what was found
// instead; a name that was verified stays so for ProofConfig.Grace.
//
// When another domain has proven the name before, its own record decides: while that is
// there, the answer is ErrDomainTaken; when it is gone, that proof lapses here and now.
// Both are audited, each in its own company. Only who controls the name in DNS learns of
// the other one at all.
//
// DNS is asked outside of any transaction, for ProofConfig.Timeout at most. A process that
// dies meanwhile changes nothing. Errors: ErrNotFound, ErrCheckRunning, ErrDomainTaken,
// ErrNoProver.
func (s *Store) VerifyDomain(ctx context.Context, id DomainID) (DomainProof, error) {
	c, err := s.claimCheck(ctx, id, false)
	if err != nil {
		return DomainProof{}, err
	}
	return c.run(ctx)
}

// check is the right to look for the record of a name and to write down what was found.
type check struct {
	s       *Store
	name    provenName
	id      ID[check]
	routine bool      // of RecheckDomains: it keeps a proof, or lets it lapse, and begins none
	since   time.Time // before DNS is asked, by PostgreSQL's clock
}

// claimCheck claims the check of a name. Until it is settled, or its time is over because
// the process died, there is no other.
func (s *Store) claimCheck(ctx context.Context, id DomainID, routine bool) (*check, error) {
	if s.cfg.Proof.Prover == nil {
		return nil, ErrNoProver
	}
	c := &check{s: s, id: NewID[check](), routine: routine}
	err := s.db.InTx(ctx, func(tx *Tx) error {
		company := tx.Tenant().CompanyID
		rows, err := tx.Query(ctx, tx.SQL(nameSQL), company, id)
		if c.name, err = collectOne(rows, err, scanName); err != nil {
			return err
		}
		err = tx.QueryRow(ctx, tx.SQL(`INSERT INTO strata.domain_checks AS k (company_id, domain_id, claim, claimed_until)
			SELECT $1, $2, $3, now() + $4::interval WHERE NOT $5::boolean
				OR EXISTS (SELECT FROM strata.domain_checks WHERE company_id = $1 AND domain_id = $2)
			ON CONFLICT (company_id, domain_id) DO UPDATE SET claim = excluded.claim, claimed_until = excluded.claimed_until
			WHERE (k.claim IS NULL OR k.claimed_until <= now()) AND (NOT $5 OR k.due_at <= now()) RETURNING now()`),
			company, id, c.id, s.cfg.Proof.Timeout+claimSlack, routine).Scan(&c.since)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			return ErrCheckRunning
		case err != nil:
			return fmt.Errorf("tenancy: claim the check of a domain name: %w", err)
		}
		return nil
	})
	return c, err
}

func (c *check) run(ctx context.Context) (DomainProof, error) {
	record := c.s.record(c.name)
	look, cancel := context.WithTimeout(ctx, c.s.cfg.Proof.Timeout)
	texts, err := c.s.cfg.Proof.Prover.TXT(look, record.Name)
	cancel()
	gone := ctx.Err()
	ctx, cancel = context.WithTimeout(context.WithoutCancel(inDomain(ctx, c.name.Domain)), settling)
	defer cancel()
	var problem string
	switch {
	case err != nil:
		problem, err = err.Error(), c.settle(ctx, c.nothingLearnt)
	case record.proves(texts):
		err = c.found(ctx, texts)
	default:
		problem, err = record.missing(texts), c.settle(ctx, c.recordMissing)
	}
	if err == nil {
		err = gone
	}
	proof := c.s.proofOf(c.name)
	proof.Problem = problem
	return proof, err
}

// settle ends the claim and runs do in the same transaction, with the name as it is now.
// A check that took so long that another one took its place writes nothing.
func (c *check) settle(ctx context.Context, do func(ctx context.Context, tx *Tx) error) error {
	return c.s.db.InTx(ctx, func(tx *Tx) error {
		if err := lockCompany(ctx, tx); err != nil {
			return err
		}
		company := tx.Tenant().CompanyID
		rows, err := tx.Query(ctx, tx.SQL(nameSQL), company, c.name.ID)
		if c.name, err = collectOne(rows, err, scanName); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, tx.SQL(`UPDATE strata.domain_checks SET claim = NULL, claimed_until = NULL
			WHERE company_id = $1 AND domain_id = $2 AND claim = $3`), company, c.name.ID, c.id)
		switch {
		case err != nil:
			return fmt.Errorf("tenancy: settle the check of a domain name: %w", err)
		case tag.RowsAffected() == 0:
			return ErrCheckRunning
		}
		return do(ctx, tx)
	})
}

// noteCheck changes what is known of the checks of a name. Its arguments begin at $3.
func noteCheck(ctx context.Context, tx *Tx, d Domain, set string, args ...any) error {
	_, err := tx.Exec(ctx, tx.SQL(`UPDATE strata.domain_checks SET `+set+` WHERE company_id = $1 AND domain_id = $2`),
		append([]any{tx.Tenant().CompanyID, d.ID}, args...)...)
	if err != nil {
		return fmt.Errorf("tenancy: note the check of a domain name: %w", err)
	}
	return nil
}

// nothingLearnt puts off the next check of RecheckDomains, and only that: who may ask for
// checks, and break them off, could otherwise keep a proof from being looked at for ever.
func (c *check) nothingLearnt(ctx context.Context, tx *Tx) error {
	if !c.routine {
		return nil
	}
	return noteCheck(ctx, tx, c.name.Domain, `due_at = CASE WHEN due_at IS NOT NULL THEN greatest(due_at, now() + $3::interval) END`, retryCheck)
}

func (c *check) recordMissing(ctx context.Context, tx *Tx) error {
	if c.name.VerifiedAt == nil {
		return nil
	}
	grace := c.s.cfg.Proof.Grace
	if err := noteCheck(ctx, tx, c.name.Domain, `missing = missing + 1, missing_since = coalesce(missing_since, now()), due_at = now() + $3::interval`, grace/missesToLapse); err != nil {
		return err
	}
	var over bool
	err := tx.QueryRow(ctx, tx.SQL(`SELECT missing >= $3 AND missing_since <= now() - $4::interval FROM strata.domain_checks
		WHERE company_id = $1 AND domain_id = $2`), tx.Tenant().CompanyID, c.name.ID, missesToLapse, grace).Scan(&over)
	if err != nil || !over {
		return err
	}
	c.name.VerifiedAt = nil
	return c.s.lapseTx(ctx, tx, c.name.Domain, "record_missing")
}

// found writes down that the record is there, among texts. When another domain has the
// name, it goes on once that has lost it.
func (c *check) found(ctx context.Context, texts []string) error {
	for range 3 { // the name can change hands meanwhile, but not again and again
		err := c.settle(ctx, c.recordFound)
		if !held(err) {
			return err
		}
		lapsed, err := c.s.lapseOther(ctx, c.name, texts, c.since)
		if err != nil {
			return err
		}
		if !lapsed {
			break
		}
	}
	return errors.Join(ErrDomainTaken, c.settle(ctx, func(context.Context, *Tx) error { return nil }))
}

func (c *check) recordFound(ctx context.Context, tx *Tx) error {
	if c.name.VerifiedAt == nil && c.routine { // it lapsed meanwhile: to ask for it again is up to the company
		return nil
	}
	if err := noteCheck(ctx, tx, c.name.Domain, `missing = 0, missing_since = NULL, due_at = now() + $3::interval`, c.s.cfg.Proof.RecheckAfter); err != nil {
		return err
	}
	if c.name.VerifiedAt != nil {
		return nil
	}
	d, err := c.s.changeDomainTx(ctx, tx, c.name.ID, Change{
		Action: "domain.verified", ResourceType: "domain", Metadata: map[string]any{"domainName": c.name.DomainName},
	}, `verified_at = now()`)
	if err == nil {
		c.name.Domain = d
	}
	return err
}

// held reports whether err says that another domain has proven the name.
func held(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "23505" && pg.ConstraintName == "domains_verified_name"
}

// lapseOther lets the proof of the domain that has n's name lapse, unless its record is
// among texts, which are all that the name had when they were read, after since: they say
// nothing of a proof that is younger. It acts as the system: who made it happen
// is not of that company, whose trail must not tell.
func (s *Store) lapseOther(ctx context.Context, n provenName, texts []string, since time.Time) (lapsed bool, err error) {
	var others []provenName
	err = s.db.ReadTrusted(ctx, `SELECT `+domainColumns+`, verification_token FROM strata.domains
		WHERE domain_name = $1 AND verified_at IS NOT NULL AND deleted_at IS NULL AND id <> $2`, []any{n.DomainName, n.ID}, func(rows pgx.Rows) (err error) {
		others, err = pgx.CollectRows(rows, scanName)
		return err
	})
	if err != nil || len(others) == 0 { // none any more
		return err == nil, err
	}
	other := others[0]
	if s.record(other).proves(texts) || !other.VerifiedAt.Before(since) {
		return false, nil
	}
	ctx = WithActor(inDomain(ctx, other.Domain), Actor{Type: ActorSystem})
	return true, s.db.InTx(ctx, func(tx *Tx) error {
		if err := lockCompany(ctx, tx); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, tx.SQL(nameSQL), other.CompanyID, other.ID)
		now, err := collectOne(rows, err, scanName)
		switch {
		case errors.Is(err, ErrNotFound): // deleted meanwhile
			return nil
		case err != nil:
			return err
		case now.VerifiedAt == nil || !now.VerifiedAt.Equal(*other.VerifiedAt): // it lapsed meanwhile
			return nil
		}
		return s.lapseTx(ctx, tx, now.Domain, "proven_by_another")
	})
}

// lapseTx ends the proof of a name.
func (s *Store) lapseTx(ctx context.Context, tx *Tx, d Domain, reason string) error {
	if err := noteCheck(ctx, tx, d, `missing = 0, missing_since = NULL, due_at = NULL`); err != nil {
		return err
	}
	_, err := s.changeDomainTx(ctx, tx, d.ID, Change{
		Action: "domain.verification_lapsed", ResourceType: "domain", Metadata: map[string]any{"domainName": d.DomainName, "reason": reason},
	}, `verified_at = NULL`)
	return err
}
