-- What recipients have completed, as a product says: one row for each thing of the product's.
-- It is kept whether or not the recipient has a person, for those that it is linked to later.
CREATE TABLE strata.person_completions (
	domain_id    uuid        NOT NULL,
	id           uuid        NOT NULL,
	company_id   uuid        NOT NULL,
	workspace_id uuid        NOT NULL,
	recipient_id uuid        NOT NULL,
	product      text        COLLATE "C" NOT NULL CHECK (length(product) BETWEEN 1 AND 63),
	key          text        COLLATE "C" NOT NULL CHECK (length(key) BETWEEN 1 AND 200),
	occurred_at  timestamptz NOT NULL,
	details      jsonb       NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(details) = 'object'),
	across       boolean     NOT NULL DEFAULT false, -- the company recorded it: it counts in all its workspaces
	recorded_by  text        NOT NULL DEFAULT '',
	recorded_at  timestamptz NOT NULL DEFAULT now(),
	withdrawn_by text        NOT NULL DEFAULT '',
	withdrawn_at timestamptz,
	PRIMARY KEY (domain_id, id),
	FOREIGN KEY (domain_id, recipient_id) REFERENCES strata.recipients (domain_id, id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX person_completions_key ON strata.person_completions (domain_id, recipient_id, product, key);
CREATE INDEX person_completions_id ON strata.person_completions (id);

-- What recipients are credited with because another recipient of their person completed it.
-- A row says nothing of that recipient: completion_id names a row that only the domain of the
-- completion can read. Rows are revoked and never deleted. change grows with each row that is
-- made or revoked, under the lock of the company, so that whoever reads on from the last one
-- misses none.
CREATE TABLE strata.person_credits (
	domain_id      uuid        NOT NULL,
	id             uuid        NOT NULL,
	company_id     uuid        NOT NULL,
	workspace_id   uuid        NOT NULL,
	recipient_id   uuid        NOT NULL,
	completion_id  uuid        NOT NULL, -- no foreign key: it is of another domain, and a purge there leaves the credit
	product        text        COLLATE "C" NOT NULL CHECK (length(product) BETWEEN 1 AND 63),
	key            text        COLLATE "C" NOT NULL CHECK (length(key) BETWEEN 1 AND 200),
	occurred_at    timestamptz NOT NULL,
	details        jsonb       NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(details) = 'object'),
	given_at       timestamptz NOT NULL DEFAULT now(),
	revoked_at     timestamptz,
	revoked_reason text        NOT NULL DEFAULT '' CHECK (revoked_reason IN ('', 'withdrawn', 'unlinked', 'moved', 'completed')),
	change         bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
	PRIMARY KEY (domain_id, id),
	CHECK ((revoked_at IS NULL) = (revoked_reason = '')),
	FOREIGN KEY (domain_id, recipient_id) REFERENCES strata.recipients (domain_id, id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX person_credits_key ON strata.person_credits (domain_id, recipient_id, product, key) WHERE revoked_at IS NULL;
CREATE INDEX person_credits_recipient ON strata.person_credits (domain_id, recipient_id, id);
CREATE INDEX person_credits_completion ON strata.person_credits (completion_id) WHERE revoked_at IS NULL;
CREATE INDEX person_credits_change ON strata.person_credits (domain_id, change);

ALTER TABLE strata.person_completions ENABLE ROW LEVEL SECURITY;
ALTER TABLE strata.person_completions FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON strata.person_completions TO strata_app
	USING (domain_id = (SELECT nullif(current_setting('strata.domain_id', true), '')::uuid))
	WITH CHECK (domain_id = (SELECT nullif(current_setting('strata.domain_id', true), '')::uuid));
CREATE POLICY trusted ON strata.person_completions FOR SELECT TO strata_query USING (true);

ALTER TABLE strata.person_credits ENABLE ROW LEVEL SECURITY;
ALTER TABLE strata.person_credits FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON strata.person_credits TO strata_app
	USING (domain_id = (SELECT nullif(current_setting('strata.domain_id', true), '')::uuid))
	WITH CHECK (domain_id = (SELECT nullif(current_setting('strata.domain_id', true), '')::uuid));
CREATE POLICY trusted ON strata.person_credits FOR SELECT TO strata_query USING (true);

GRANT SELECT, INSERT, UPDATE, DELETE ON strata.person_completions, strata.person_credits TO strata_app;
GRANT SELECT ON strata.person_completions, strata.person_credits TO strata_query;
