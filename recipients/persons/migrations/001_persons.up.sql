-- Who is one human. The rows are the company's: the one exception from keys that begin with
-- the domain. A person without a workspace has recipients of several; the others are inside
-- one. A merged person stays as it is below the one that it was merged into, so that the merge
-- can be undone.
CREATE TABLE strata.persons (
	company_id   uuid        NOT NULL REFERENCES strata.companies (id),
	id           uuid        NOT NULL,
	workspace_id uuid,
	merged_into  uuid,
	created_by   text        NOT NULL DEFAULT '',
	created_at   timestamptz NOT NULL DEFAULT now(),
	dissolved_at timestamptz, -- it has no recipients any more
	PRIMARY KEY (company_id, id),
	CHECK (merged_into <> id),
	CHECK (merged_into IS NULL OR dissolved_at IS NULL),
	FOREIGN KEY (company_id, workspace_id) REFERENCES strata.workspaces (company_id, id),
	FOREIGN KEY (company_id, merged_into) REFERENCES strata.persons (company_id, id)
);
CREATE INDEX persons_merged ON strata.persons (company_id, merged_into) WHERE merged_into IS NOT NULL;

-- Recipients of a person, as edges that are closed and never rewritten. alias_id is what
-- recipients.person_id says: the person at the top of the merges.
CREATE TABLE strata.person_links (
	company_id      uuid        NOT NULL,
	id              uuid        NOT NULL,
	person_id       uuid        NOT NULL,
	alias_id        uuid        NOT NULL,
	domain_id       uuid        NOT NULL,
	recipient_id    uuid        NOT NULL,
	workspace_id    uuid        NOT NULL, -- of the recipient
	method          text        NOT NULL CHECK (method IN ('upn', 'email_name', 'name_department', 'manual')),
	confidence      real        NOT NULL CHECK (confidence BETWEEN 0 AND 1),
	evidence        jsonb       NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(evidence) = 'object'), -- hashes and ids, no personal data
	state           text        NOT NULL DEFAULT 'linked' CHECK (state IN ('linked', 'unlinked')),
	linked_by       text        NOT NULL DEFAULT '',
	linked_at       timestamptz NOT NULL DEFAULT now(),
	unlinked_by     text        NOT NULL DEFAULT '',
	unlinked_at     timestamptz,
	unlinked_reason text        NOT NULL DEFAULT '' CHECK (unlinked_reason IN ('', 'asked', 'alone', 'moved')),
	PRIMARY KEY (company_id, id),
	CHECK ((state = 'unlinked') = (unlinked_at IS NOT NULL)),
	FOREIGN KEY (company_id, person_id) REFERENCES strata.persons (company_id, id),
	FOREIGN KEY (company_id, alias_id) REFERENCES strata.persons (company_id, id),
	-- These two together keep a person inside its company: whoever hands a domain to another
	-- one has to cut its links first.
	FOREIGN KEY (company_id, domain_id) REFERENCES strata.domains (company_id, id),
	FOREIGN KEY (domain_id, recipient_id) REFERENCES strata.recipients (domain_id, id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX person_links_recipient ON strata.person_links (company_id, domain_id, recipient_id) WHERE state = 'linked';
CREATE INDEX person_links_cascade ON strata.person_links (domain_id, recipient_id);
CREATE INDEX person_links_person ON strata.person_links (company_id, person_id);
CREATE INDEX person_links_alias ON strata.person_links (company_id, alias_id);

-- Two recipients that may be one human, and what was decided. A rejected pair stays, so that
-- it is never suggested again. The lesser (domain, recipient) is a. A row is of two domains,
-- so that no foreign key to recipients has a domain of its own to go by: what a purge leaves is
-- swept.
CREATE TABLE strata.person_suggestions (
	company_id     uuid        NOT NULL,
	id             uuid        NOT NULL,
	workspace_id   uuid, -- of both; NULL when they are in two
	a_domain_id    uuid        NOT NULL,
	a_recipient_id uuid        NOT NULL,
	b_domain_id    uuid        NOT NULL,
	b_recipient_id uuid        NOT NULL,
	method         text        NOT NULL CHECK (method IN ('upn', 'email_name', 'name_department', 'manual')),
	confidence     real        NOT NULL CHECK (confidence BETWEEN 0 AND 1),
	evidence       jsonb       NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(evidence) = 'object'),
	state          text        NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'accepted', 'rejected')),
	created_at     timestamptz NOT NULL DEFAULT now(),
	decided_by     text        NOT NULL DEFAULT '',
	decided_at     timestamptz,
	PRIMARY KEY (company_id, id),
	CHECK ((a_domain_id, a_recipient_id) < (b_domain_id, b_recipient_id)),
	CHECK ((state = 'open') = (decided_at IS NULL)),
	FOREIGN KEY (company_id, workspace_id) REFERENCES strata.workspaces (company_id, id),
	FOREIGN KEY (company_id, a_domain_id) REFERENCES strata.domains (company_id, id),
	FOREIGN KEY (company_id, b_domain_id) REFERENCES strata.domains (company_id, id)
);
CREATE UNIQUE INDEX person_suggestions_pair ON strata.person_suggestions (company_id, a_domain_id, a_recipient_id, b_domain_id, b_recipient_id);
CREATE INDEX person_suggestions_a ON strata.person_suggestions (a_domain_id, a_recipient_id);
CREATE INDEX person_suggestions_b ON strata.person_suggestions (b_domain_id, b_recipient_id);
CREATE INDEX person_suggestions_state ON strata.person_suggestions (company_id, state, id);
CREATE INDEX person_suggestions_workspace ON strata.person_suggestions (company_id, workspace_id, state, id);

-- What recipients are matched by: hashes, so that no text stands here twice. A row is out of
-- date when the recipient has another version, or the workspace other settings.
CREATE TABLE strata.person_keys (
	domain_id       uuid   NOT NULL,
	recipient_id    uuid   NOT NULL,
	company_id      uuid   NOT NULL,
	workspace_id    uuid   NOT NULL,
	version         bigint NOT NULL,
	settings        uuid   NOT NULL, -- a hash of what the keys were made by
	upn             uuid,
	email_name      uuid,
	name_department uuid,
	PRIMARY KEY (domain_id, recipient_id),
	FOREIGN KEY (domain_id, recipient_id) REFERENCES strata.recipients (domain_id, id) ON DELETE CASCADE
);
CREATE INDEX person_keys_upn ON strata.person_keys (company_id, upn, workspace_id) WHERE upn IS NOT NULL;
CREATE INDEX person_keys_email_name ON strata.person_keys (company_id, email_name, workspace_id) WHERE email_name IS NOT NULL;
CREATE INDEX person_keys_name_department ON strata.person_keys (company_id, name_department, workspace_id) WHERE name_department IS NOT NULL;

-- What is known of a matching beside its run, which is forgotten when its domain moves.
CREATE TABLE strata.person_matches (
	company_id   uuid        NOT NULL,
	id           uuid        NOT NULL, -- of the run
	workspace_id uuid,                 -- NULL: of the whole company
	anchor_id    uuid        NOT NULL, -- the domain of the run
	state        text        NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'completed', 'failed', 'cancelled')),
	total        bigint      NOT NULL DEFAULT 0,
	processed    bigint      NOT NULL DEFAULT 0,
	counters     jsonb       NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(counters) = 'object'),
	shared       jsonb       NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(shared) = 'array'), -- identifiers of too many recipients
	error        text        NOT NULL DEFAULT '',
	error_code   text        NOT NULL DEFAULT '',
	requested_by text        NOT NULL DEFAULT '',
	created_at   timestamptz NOT NULL DEFAULT now(),
	finished_at  timestamptz,
	PRIMARY KEY (company_id, id),
	CHECK ((state = 'running') = (finished_at IS NULL)),
	FOREIGN KEY (company_id, workspace_id) REFERENCES strata.workspaces (company_id, id)
);
CREATE UNIQUE INDEX person_matches_active ON strata.person_matches (company_id, coalesce(workspace_id, company_id)) WHERE state = 'running';

-- A workspace sees and changes what is inside it, and of a person across workspaces its own
-- links. Only in the scope of the company, without a workspace, there is all of it.
ALTER TABLE strata.persons ENABLE ROW LEVEL SECURITY;
ALTER TABLE strata.persons FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON strata.persons TO strata_app
	USING (workspace_id = (SELECT nullif(current_setting('strata.workspace_id', true), '')::uuid))
	WITH CHECK (workspace_id = (SELECT nullif(current_setting('strata.workspace_id', true), '')::uuid));
CREATE POLICY company_scope ON strata.persons TO strata_app
	USING (company_id = (SELECT nullif(current_setting('strata.company_id', true), '')::uuid WHERE nullif(current_setting('strata.workspace_id', true), '') IS NULL))
	WITH CHECK (company_id = (SELECT nullif(current_setting('strata.company_id', true), '')::uuid WHERE nullif(current_setting('strata.workspace_id', true), '') IS NULL));
CREATE POLICY trusted ON strata.persons FOR SELECT TO strata_query USING (true);

ALTER TABLE strata.person_links ENABLE ROW LEVEL SECURITY;
ALTER TABLE strata.person_links FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON strata.person_links TO strata_app
	USING (workspace_id = (SELECT nullif(current_setting('strata.workspace_id', true), '')::uuid))
	WITH CHECK (workspace_id = (SELECT nullif(current_setting('strata.workspace_id', true), '')::uuid));
CREATE POLICY company_scope ON strata.person_links TO strata_app
	USING (company_id = (SELECT nullif(current_setting('strata.company_id', true), '')::uuid WHERE nullif(current_setting('strata.workspace_id', true), '') IS NULL))
	WITH CHECK (company_id = (SELECT nullif(current_setting('strata.company_id', true), '')::uuid WHERE nullif(current_setting('strata.workspace_id', true), '') IS NULL));
CREATE POLICY trusted ON strata.person_links FOR SELECT TO strata_query USING (true);

ALTER TABLE strata.person_suggestions ENABLE ROW LEVEL SECURITY;
ALTER TABLE strata.person_suggestions FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON strata.person_suggestions TO strata_app
	USING (workspace_id = (SELECT nullif(current_setting('strata.workspace_id', true), '')::uuid))
	WITH CHECK (workspace_id = (SELECT nullif(current_setting('strata.workspace_id', true), '')::uuid));
CREATE POLICY company_scope ON strata.person_suggestions TO strata_app
	USING (company_id = (SELECT nullif(current_setting('strata.company_id', true), '')::uuid WHERE nullif(current_setting('strata.workspace_id', true), '') IS NULL))
	WITH CHECK (company_id = (SELECT nullif(current_setting('strata.company_id', true), '')::uuid WHERE nullif(current_setting('strata.workspace_id', true), '') IS NULL));
CREATE POLICY trusted ON strata.person_suggestions FOR SELECT TO strata_query USING (true);

ALTER TABLE strata.person_matches ENABLE ROW LEVEL SECURITY;
ALTER TABLE strata.person_matches FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON strata.person_matches TO strata_app
	USING (workspace_id = (SELECT nullif(current_setting('strata.workspace_id', true), '')::uuid))
	WITH CHECK (workspace_id = (SELECT nullif(current_setting('strata.workspace_id', true), '')::uuid));
CREATE POLICY company_scope ON strata.person_matches TO strata_app
	USING (company_id = (SELECT nullif(current_setting('strata.company_id', true), '')::uuid WHERE nullif(current_setting('strata.workspace_id', true), '') IS NULL))
	WITH CHECK (company_id = (SELECT nullif(current_setting('strata.company_id', true), '')::uuid WHERE nullif(current_setting('strata.workspace_id', true), '') IS NULL));
CREATE POLICY trusted ON strata.person_matches FOR SELECT TO strata_query USING (true);

ALTER TABLE strata.person_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE strata.person_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON strata.person_keys TO strata_app
	USING (domain_id = (SELECT nullif(current_setting('strata.domain_id', true), '')::uuid))
	WITH CHECK (domain_id = (SELECT nullif(current_setting('strata.domain_id', true), '')::uuid));
CREATE POLICY trusted ON strata.person_keys FOR SELECT TO strata_query USING (true);

GRANT SELECT, INSERT, UPDATE, DELETE ON strata.persons, strata.person_links, strata.person_suggestions, strata.person_keys, strata.person_matches TO strata_app;
GRANT SELECT ON strata.persons, strata.person_links, strata.person_suggestions, strata.person_keys, strata.person_matches TO strata_query;
