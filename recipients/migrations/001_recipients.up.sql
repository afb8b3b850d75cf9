-- One row a recipient; every product shares the table. email is what was typed,
-- email_norm what is compared: its equality and order are leakproof, so its indexes work
-- under row-level security. Custom fields hold normalised values and no nulls.
CREATE TABLE strata.recipients (
	domain_id     uuid        NOT NULL,
	id            uuid        NOT NULL,
	company_id    uuid        NOT NULL,
	workspace_id  uuid        NOT NULL,
	email         text        NOT NULL CHECK (length(email) <= 320),
	email_norm    text        COLLATE "C" NOT NULL CHECK (email_norm <> '' AND length(email_norm) <= 254),
	name          text        NOT NULL DEFAULT '' CHECK (length(name) <= 300),
	status        text        NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'inactive', 'bounced', 'complained', 'unsubscribed')),
	custom_fields jsonb       NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(custom_fields) = 'object'),
	person_id     uuid,
	version       bigint      NOT NULL DEFAULT 1,
	created_at    timestamptz NOT NULL DEFAULT now(),
	updated_at    timestamptz NOT NULL DEFAULT now(),
	deleted_at    timestamptz,
	PRIMARY KEY (domain_id, id)
);
-- A deleted recipient frees its address.
CREATE UNIQUE INDEX recipients_email ON strata.recipients (domain_id, email_norm) WHERE deleted_at IS NULL;

-- Filters on custom fields. With btree_gin, which PostgreSQL marks as trusted, the index
-- begins with the domain, so that a small domain beside a large one stays fast. Where the
-- login may not create it, the index is over the fields alone.
DO $$
BEGIN
	CREATE EXTENSION IF NOT EXISTS btree_gin;
	CREATE INDEX recipients_custom_fields ON strata.recipients USING gin (domain_id, custom_fields jsonb_path_ops);
EXCEPTION WHEN insufficient_privilege OR undefined_file OR feature_not_supported OR undefined_object THEN
	RAISE NOTICE 'btree_gin cannot be had (%): filters on custom fields use an index without the domain', SQLERRM;
	CREATE INDEX recipients_custom_fields ON strata.recipients USING gin (custom_fields jsonb_path_ops);
END $$;

ALTER TABLE strata.recipients ENABLE ROW LEVEL SECURITY;
ALTER TABLE strata.recipients FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON strata.recipients TO strata_app
	USING (domain_id = (SELECT nullif(current_setting('strata.domain_id', true), '')::uuid))
	WITH CHECK (domain_id = (SELECT nullif(current_setting('strata.domain_id', true), '')::uuid));
CREATE POLICY trusted ON strata.recipients FOR SELECT TO strata_query USING (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON strata.recipients TO strata_app;
GRANT SELECT ON strata.recipients TO strata_query;
