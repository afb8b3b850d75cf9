-- What the columns of files were mapped to, by workspace and header: what is suggested for the
-- next file with the same columns.
CREATE TABLE strata.import_mappings (
	workspace_id uuid        NOT NULL,
	id           uuid        NOT NULL,
	company_id   uuid        NOT NULL,
	fingerprint  bytea       NOT NULL, -- SHA-256 of the names of the columns, whatever their order and case
	columns      text[]      NOT NULL,
	decided      jsonb       NOT NULL, -- mapping, join, split, formats
	used         bigint      NOT NULL DEFAULT 1,
	created_at   timestamptz NOT NULL DEFAULT now(),
	used_at      timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (workspace_id, id),
	CONSTRAINT import_mappings_fingerprint UNIQUE (workspace_id, fingerprint)
);

ALTER TABLE strata.import_mappings ENABLE ROW LEVEL SECURITY;
ALTER TABLE strata.import_mappings FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON strata.import_mappings TO strata_app
	USING (workspace_id = (SELECT nullif(current_setting('strata.workspace_id', true), '')::uuid))
	WITH CHECK (workspace_id = (SELECT nullif(current_setting('strata.workspace_id', true), '')::uuid));
CREATE POLICY trusted ON strata.import_mappings FOR SELECT TO strata_query USING (true);

GRANT SELECT, INSERT, UPDATE, DELETE ON strata.import_mappings TO strata_app;
GRANT SELECT ON strata.import_mappings TO strata_query;
