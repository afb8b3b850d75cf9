-- An import and its staging. The CHECK at the end is the promise of the package: an
-- import cannot be done unless every row of the file is accounted for.
CREATE TABLE strata.imports (
	domain_id      uuid        NOT NULL,
	id             uuid        NOT NULL,
	company_id     uuid        NOT NULL,
	workspace_id   uuid        NOT NULL,
	status         text        NOT NULL DEFAULT 'pending'
		CHECK (status IN ('pending', 'validating', 'preview', 'processing', 'done', 'failed', 'cancelled')),
	file_name      text        NOT NULL,
	object_key     text        NOT NULL,
	content_type   text        NOT NULL,
	size           bigint      NOT NULL,
	etag           text        NOT NULL DEFAULT '', -- of the object, pinned when processing starts
	plan           jsonb       NOT NULL DEFAULT '{}', -- delimiter, columns, conflict policy
	fields_version bigint      NOT NULL DEFAULT 0, -- of the custom field definitions the rows were checked against
	total          bigint      NOT NULL DEFAULT 0,
	new            bigint      NOT NULL DEFAULT 0,
	changed        bigint      NOT NULL DEFAULT 0,
	unchanged      bigint      NOT NULL DEFAULT 0,
	duplicate      bigint      NOT NULL DEFAULT 0,
	invalid        bigint      NOT NULL DEFAULT 0,
	inserted       bigint      NOT NULL DEFAULT 0,
	updated        bigint      NOT NULL DEFAULT 0,
	skipped        bigint      NOT NULL DEFAULT 0,
	reservation_id uuid,
	error          text        NOT NULL DEFAULT '',
	created_by     text        NOT NULL DEFAULT '',
	created_at     timestamptz NOT NULL DEFAULT now(),
	updated_at     timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (domain_id, id),
	CONSTRAINT imports_preview_adds_up CHECK (status NOT IN ('preview', 'processing', 'done') OR total = new + changed + unchanged + duplicate + invalid),
	CONSTRAINT imports_done_adds_up CHECK (status <> 'done' OR total = inserted + updated + unchanged + duplicate + invalid + skipped)
);

-- The rows of a file as they were read and judged. Logged: an unlogged table is empty
-- after a crash of the server. errors and raw, the original cells, are there for what
-- will be reported.
CREATE TABLE strata.import_rows (
	domain_id     uuid    NOT NULL,
	import_id     uuid    NOT NULL,
	row_no        integer NOT NULL,
	company_id    uuid    NOT NULL,
	workspace_id  uuid    NOT NULL,
	recipient_id  uuid, -- that had the address when the row was judged
	email         text,
	email_norm    text COLLATE "C",
	name          text,
	status        text,
	custom_fields jsonb,
	verdict       text    NOT NULL CHECK (verdict IN ('new', 'update', 'unchanged', 'duplicate', 'invalid')),
	duplicate_of  integer,
	errors        jsonb,
	raw           text[],
	PRIMARY KEY (domain_id, import_id, row_no)
);
-- What the commit reads, in the order in which it writes: a batch is a range of it.
CREATE INDEX import_rows_commit ON strata.import_rows (domain_id, import_id, email_norm) WHERE verdict IN ('new', 'update');
-- What the error report reads.
CREATE INDEX import_rows_errors ON strata.import_rows (domain_id, import_id, row_no) WHERE errors IS NOT NULL;

ALTER TABLE strata.imports ENABLE ROW LEVEL SECURITY;
ALTER TABLE strata.imports FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON strata.imports TO strata_app
	USING (domain_id = (SELECT nullif(current_setting('strata.domain_id', true), '')::uuid))
	WITH CHECK (domain_id = (SELECT nullif(current_setting('strata.domain_id', true), '')::uuid));
CREATE POLICY trusted ON strata.imports FOR SELECT TO strata_query USING (true);

ALTER TABLE strata.import_rows ENABLE ROW LEVEL SECURITY;
ALTER TABLE strata.import_rows FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON strata.import_rows TO strata_app
	USING (domain_id = (SELECT nullif(current_setting('strata.domain_id', true), '')::uuid))
	WITH CHECK (domain_id = (SELECT nullif(current_setting('strata.domain_id', true), '')::uuid));
CREATE POLICY trusted ON strata.import_rows FOR SELECT TO strata_query USING (true);

GRANT SELECT, INSERT, UPDATE, DELETE ON strata.imports, strata.import_rows TO strata_app;
GRANT SELECT ON strata.imports, strata.import_rows TO strata_query;
