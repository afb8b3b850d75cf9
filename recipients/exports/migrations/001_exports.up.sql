-- The files of exports, each the work of the run of the same id. Objects of the bucket whose
-- names begin with object_prefix are of this export and of no other: the file, once there is
-- one, and what processes have left that died over it.
CREATE TABLE strata.recipient_exports (
	domain_id     uuid        NOT NULL,
	id            uuid        NOT NULL,
	company_id    uuid        NOT NULL,
	workspace_id  uuid        NOT NULL,
	format        text        NOT NULL CHECK (format IN ('csv', 'xlsx', 'jsonl')),
	file_name     text        NOT NULL,
	object_prefix text        NOT NULL CHECK (object_prefix <> ''),
	object_key    text        NOT NULL DEFAULT '', -- of the file: empty before there is one, and when it is deleted
	size          bigint      NOT NULL DEFAULT 0, -- bytes
	rows          bigint      NOT NULL DEFAULT 0,
	sha256        text        NOT NULL DEFAULT '',
	requested_by  text        NOT NULL DEFAULT '',
	created_at    timestamptz NOT NULL DEFAULT now(),
	expires_at    timestamptz NOT NULL, -- when everything below the prefix is deleted
	tidied        boolean     NOT NULL DEFAULT false, -- what others have left beside the file is deleted
	deleted_at    timestamptz, -- everything is
	PRIMARY KEY (domain_id, id),
	CHECK (object_key = '' OR starts_with(object_key, object_prefix)),
	CHECK (object_key = '' OR deleted_at IS NULL)
);
CREATE INDEX recipient_exports_due ON strata.recipient_exports (expires_at) WHERE deleted_at IS NULL;

ALTER TABLE strata.recipient_exports ENABLE ROW LEVEL SECURITY;
ALTER TABLE strata.recipient_exports FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON strata.recipient_exports TO strata_app
	USING (domain_id = (SELECT nullif(current_setting('strata.domain_id', true), '')::uuid))
	WITH CHECK (domain_id = (SELECT nullif(current_setting('strata.domain_id', true), '')::uuid));
CREATE POLICY trusted ON strata.recipient_exports FOR SELECT TO strata_query USING (true);

GRANT SELECT, INSERT, UPDATE, DELETE ON strata.recipient_exports TO strata_app;
GRANT SELECT ON strata.recipient_exports TO strata_query;
