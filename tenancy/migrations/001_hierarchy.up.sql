-- The hierarchy. Every id is a UUIDv7 made by the library. A row's version is drawn from
-- one sequence at every change, by a transaction that first locks the company's row (FOR
-- NO KEY UPDATE) in a statement of its own. So the versions of one company grow in the
-- order of their commits, and the largest version of the three rows of a domain grows
-- with every change of any of them.
CREATE SEQUENCE strata.context_versions AS bigint;

CREATE TABLE strata.companies (
	id           uuid PRIMARY KEY,
	name         text        NOT NULL CHECK (name <> '' AND length(name) <= 200),
	slug         text        NOT NULL CHECK (slug ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
	plan         text        NOT NULL DEFAULT 'free',
	access       text        NOT NULL DEFAULT 'full' CHECK (access IN ('full', 'read_only', 'blocked')),
	version      bigint      NOT NULL DEFAULT nextval('strata.context_versions'),
	created_at   timestamptz NOT NULL DEFAULT now(),
	updated_at   timestamptz NOT NULL DEFAULT now(),
	suspended_at timestamptz,
	deleted_at   timestamptz
);
CREATE UNIQUE INDEX companies_slug ON strata.companies (slug) WHERE deleted_at IS NULL;
CREATE INDEX companies_updated_at ON strata.companies (updated_at);

CREATE TABLE strata.workspaces (
	company_id   uuid        NOT NULL REFERENCES strata.companies (id),
	id           uuid        NOT NULL UNIQUE,
	name         text        NOT NULL CHECK (name <> '' AND length(name) <= 200),
	slug         text        NOT NULL CHECK (slug ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
	version      bigint      NOT NULL DEFAULT nextval('strata.context_versions'),
	created_at   timestamptz NOT NULL DEFAULT now(),
	updated_at   timestamptz NOT NULL DEFAULT now(),
	suspended_at timestamptz,
	deleted_at   timestamptz,
	PRIMARY KEY (company_id, id)
);
CREATE UNIQUE INDEX workspaces_slug ON strata.workspaces (company_id, slug) WHERE deleted_at IS NULL;
CREATE INDEX workspaces_updated_at ON strata.workspaces (updated_at);

CREATE TABLE strata.domains (
	company_id   uuid        NOT NULL,
	workspace_id uuid        NOT NULL,
	id           uuid        NOT NULL UNIQUE,
	domain_name  text        NOT NULL CHECK (domain_name <> '' AND length(domain_name) <= 253),
	version      bigint      NOT NULL DEFAULT nextval('strata.context_versions'),
	created_at   timestamptz NOT NULL DEFAULT now(),
	updated_at   timestamptz NOT NULL DEFAULT now(),
	suspended_at timestamptz,
	deleted_at   timestamptz,
	PRIMARY KEY (company_id, id),
	FOREIGN KEY (company_id, workspace_id) REFERENCES strata.workspaces (company_id, id)
);
CREATE UNIQUE INDEX domains_name ON strata.domains (company_id, workspace_id, domain_name) WHERE deleted_at IS NULL;
CREATE INDEX domains_updated_at ON strata.domains (updated_at);

-- Rows of the hierarchy belong to their company. What a workspace may see of it is the
-- statement's first condition; the company is the second wall.
ALTER TABLE strata.companies ENABLE ROW LEVEL SECURITY;
ALTER TABLE strata.companies FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON strata.companies TO strata_app
	USING (id = (SELECT nullif(current_setting('strata.company_id', true), '')::uuid))
	WITH CHECK (id = (SELECT nullif(current_setting('strata.company_id', true), '')::uuid));
CREATE POLICY trusted ON strata.companies FOR SELECT TO strata_query USING (true);

ALTER TABLE strata.workspaces ENABLE ROW LEVEL SECURITY;
ALTER TABLE strata.workspaces FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON strata.workspaces TO strata_app
	USING (company_id = (SELECT nullif(current_setting('strata.company_id', true), '')::uuid))
	WITH CHECK (company_id = (SELECT nullif(current_setting('strata.company_id', true), '')::uuid));
CREATE POLICY trusted ON strata.workspaces FOR SELECT TO strata_query USING (true);

ALTER TABLE strata.domains ENABLE ROW LEVEL SECURITY;
ALTER TABLE strata.domains FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON strata.domains TO strata_app
	USING (company_id = (SELECT nullif(current_setting('strata.company_id', true), '')::uuid))
	WITH CHECK (company_id = (SELECT nullif(current_setting('strata.company_id', true), '')::uuid));
CREATE POLICY trusted ON strata.domains FOR SELECT TO strata_query USING (true);

GRANT SELECT, INSERT, UPDATE, DELETE ON strata.companies, strata.workspaces, strata.domains TO strata_app;
GRANT SELECT ON strata.companies, strata.workspaces, strata.domains TO strata_query;
GRANT USAGE ON SEQUENCE strata.context_versions TO strata_app;
