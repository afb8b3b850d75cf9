-- What companies and workspaces have set, and what a domain kept when it moved. The owner
-- is the deepest of the three ids: a row without a workspace is a company's.
CREATE TABLE strata.settings (
	company_id   uuid        NOT NULL,
	workspace_id uuid,
	domain_id    uuid,
	owner_id     uuid        NOT NULL GENERATED ALWAYS AS (coalesce(domain_id, workspace_id, company_id)) STORED,
	key          text        NOT NULL CHECK (key <> '' AND length(key) <= 100),
	value        jsonb       NOT NULL, -- null is a value
	locked       boolean     NOT NULL DEFAULT false, -- the company's workspaces cannot override it
	reason       text        NOT NULL DEFAULT '' CHECK (reason IN ('', 'move')),
	set_by       text        NOT NULL,
	set_at       timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (company_id, owner_id, key),
	CHECK (domain_id IS NULL OR workspace_id IS NOT NULL),
	CHECK (NOT locked OR workspace_id IS NULL)
);

-- A workspace inherits what its company has set, so the company is the second wall. Which
-- workspace is a condition of every statement.
ALTER TABLE strata.settings ENABLE ROW LEVEL SECURITY;
ALTER TABLE strata.settings FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON strata.settings TO strata_app
	USING (company_id = (SELECT nullif(current_setting('strata.company_id', true), '')::uuid))
	WITH CHECK (company_id = (SELECT nullif(current_setting('strata.company_id', true), '')::uuid));
CREATE POLICY trusted ON strata.settings FOR SELECT TO strata_query USING (true);

GRANT SELECT, INSERT, UPDATE, DELETE ON strata.settings TO strata_app;
GRANT SELECT ON strata.settings TO strata_query;
