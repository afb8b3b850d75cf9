-- The definitions of a workspace's custom fields. Every change also bumps the version of
-- the workspace's set, in the same transaction: caches and long work compare it.
CREATE TABLE strata.custom_field_sets (
	workspace_id uuid PRIMARY KEY,
	company_id   uuid   NOT NULL,
	version      bigint NOT NULL DEFAULT 1
);

CREATE TABLE strata.custom_fields (
	workspace_id uuid        NOT NULL,
	id           uuid        NOT NULL,
	company_id   uuid        NOT NULL,
	key          text        NOT NULL CHECK (key ~ '^[a-z][a-z0-9_]{0,62}$'),
	label        text        NOT NULL,
	type         text        NOT NULL CHECK (type IN ('text', 'number', 'date', 'select', 'multi_select', 'boolean', 'url', 'email')),
	options      text[]      NOT NULL DEFAULT '{}',
	required     boolean     NOT NULL DEFAULT false,
	filterable   boolean     NOT NULL DEFAULT true,
	position     integer     NOT NULL DEFAULT 0,
	created_at   timestamptz NOT NULL DEFAULT now(),
	updated_at   timestamptz NOT NULL DEFAULT now(),
	archived_at  timestamptz,
	PRIMARY KEY (workspace_id, id)
);
-- Archived or not: a key that comes back would find the old values.
CREATE UNIQUE INDEX custom_fields_key ON strata.custom_fields (workspace_id, key);

ALTER TABLE strata.custom_field_sets ENABLE ROW LEVEL SECURITY;
ALTER TABLE strata.custom_field_sets FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON strata.custom_field_sets TO strata_app
	USING (workspace_id = (SELECT nullif(current_setting('strata.workspace_id', true), '')::uuid))
	WITH CHECK (workspace_id = (SELECT nullif(current_setting('strata.workspace_id', true), '')::uuid));
CREATE POLICY trusted ON strata.custom_field_sets FOR SELECT TO strata_query USING (true);

ALTER TABLE strata.custom_fields ENABLE ROW LEVEL SECURITY;
ALTER TABLE strata.custom_fields FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON strata.custom_fields TO strata_app
	USING (workspace_id = (SELECT nullif(current_setting('strata.workspace_id', true), '')::uuid))
	WITH CHECK (workspace_id = (SELECT nullif(current_setting('strata.workspace_id', true), '')::uuid));
CREATE POLICY trusted ON strata.custom_fields FOR SELECT TO strata_query USING (true);

GRANT SELECT, INSERT, UPDATE, DELETE ON strata.custom_field_sets, strata.custom_fields TO strata_app;
GRANT SELECT ON strata.custom_field_sets, strata.custom_fields TO strata_query;
