-- What is defined once and used in many places: templates and the like, of every type that
-- a product registers. An item without a workspace is its company's. The platform's items,
-- which everybody sees, have the company ffffffff-ffff-ffff-ffff-ffffffffffff, which is no
-- company: so they are rows like all others, with keys and policies like all others.
CREATE TABLE strata.library_items (
	company_id     uuid        NOT NULL,
	workspace_id   uuid,
	owner_id       uuid        NOT NULL GENERATED ALWAYS AS (coalesce(workspace_id, company_id)) STORED,
	id             uuid        NOT NULL,
	type           text COLLATE "C" NOT NULL CHECK (type ~ '^[a-z][a-z0-9_]{0,62}$'),
	name           text        NOT NULL CHECK (name <> '' AND length(name) <= 200),
	name_norm      text COLLATE "C" NOT NULL CHECK (name_norm <> ''), -- made by the library: folded case, single spaces
	body           jsonb       NOT NULL,
	version        bigint      NOT NULL DEFAULT 1,
	body_version   bigint      NOT NULL DEFAULT 1, -- the version that last changed body: a new name is no news to clones
	source_id      uuid, -- of a clone; no foreign key: its company is that of the clone or the platform's
	source_version bigint, -- the source's version when its body was last taken
	created_by     text        NOT NULL DEFAULT '',
	created_at     timestamptz NOT NULL DEFAULT now(),
	updated_at     timestamptz NOT NULL DEFAULT now(),
	deleted_at     timestamptz,
	PRIMARY KEY (company_id, id),
	FOREIGN KEY (company_id, workspace_id) REFERENCES strata.workspaces (company_id, id),
	CHECK ((source_id IS NULL) = (source_version IS NULL))
);
CREATE UNIQUE INDEX library_items_name ON strata.library_items (company_id, owner_id, type, name_norm) WHERE deleted_at IS NULL;

-- The second wall is the rule itself, one policy for each of its lines. In the scope of a
-- workspace there is no company for company_scope to compare with, so that the other
-- workspaces' items are not there. Only what the scope owns can be written.
ALTER TABLE strata.library_items ENABLE ROW LEVEL SECURITY;
ALTER TABLE strata.library_items FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON strata.library_items TO strata_app
	USING (owner_id = (SELECT nullif(current_setting('strata.workspace_id', true), '')::uuid))
	WITH CHECK (owner_id = (SELECT nullif(current_setting('strata.workspace_id', true), '')::uuid));
CREATE POLICY company_scope ON strata.library_items TO strata_app
	USING (company_id = (SELECT nullif(current_setting('strata.company_id', true), '')::uuid WHERE nullif(current_setting('strata.workspace_id', true), '') IS NULL))
	WITH CHECK (company_id = (SELECT nullif(current_setting('strata.company_id', true), '')::uuid WHERE nullif(current_setting('strata.workspace_id', true), '') IS NULL));
CREATE POLICY of_company ON strata.library_items FOR SELECT TO strata_app
	USING (owner_id = (SELECT nullif(current_setting('strata.company_id', true), '')::uuid));
CREATE POLICY of_platform ON strata.library_items FOR SELECT TO strata_app
	USING (company_id = 'ffffffff-ffff-ffff-ffff-ffffffffffff');
CREATE POLICY trusted ON strata.library_items FOR SELECT TO strata_query USING (true);

GRANT SELECT, INSERT, UPDATE, DELETE ON strata.library_items TO strata_app;
GRANT SELECT ON strata.library_items TO strata_query;
