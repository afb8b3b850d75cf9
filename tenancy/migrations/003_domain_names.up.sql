-- Whose a domain name is. verification_token is what the company puts into DNS to prove
-- that the name is its own; verified_at is since when that is proven, and one row of a name
-- has it at most, whichever company it is of. The default gives every row a token of 244
-- random bits, also those that an older version of the library creates; being volatile it
-- rewrites the table, which has one row for each domain.
ALTER TABLE strata.domains
	ADD COLUMN verification_token text NOT NULL DEFAULT replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''),
	ADD COLUMN verified_at timestamptz;
CREATE UNIQUE INDEX domains_verified_name ON strata.domains (domain_name) WHERE verified_at IS NOT NULL AND deleted_at IS NULL;
COMMENT ON INDEX strata.domains_verified_name IS 'global: a name in the DNS has one owner in the world, and who has proven a name may know that another has';

-- What is known of the checks of a name: who checks now, and when what was found. A row is
-- no mutation that a user asked for; what follows from it is one of strata.domains.
CREATE TABLE strata.domain_checks (
	company_id    uuid        NOT NULL,
	domain_id     uuid        NOT NULL,
	claim         uuid, -- drawn anew by each check; NULL while none runs
	claimed_until timestamptz,
	due_at        timestamptz, -- when to check again; NULL while the name is not verified
	missing       integer     NOT NULL DEFAULT 0 CHECK (missing >= 0), -- checks since missing_since that did not find the record
	missing_since timestamptz,
	PRIMARY KEY (company_id, domain_id),
	FOREIGN KEY (company_id, domain_id) REFERENCES strata.domains (company_id, id) ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE INDEX domain_checks_due_at ON strata.domain_checks (due_at) WHERE due_at IS NOT NULL;

ALTER TABLE strata.domain_checks ENABLE ROW LEVEL SECURITY;
ALTER TABLE strata.domain_checks FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON strata.domain_checks TO strata_app
	USING (company_id = (SELECT nullif(current_setting('strata.company_id', true), '')::uuid))
	WITH CHECK (company_id = (SELECT nullif(current_setting('strata.company_id', true), '')::uuid));
CREATE POLICY trusted ON strata.domain_checks FOR SELECT TO strata_query USING (true);

GRANT SELECT, INSERT, UPDATE, DELETE ON strata.domain_checks TO strata_app;
GRANT SELECT ON strata.domain_checks TO strata_query;
