-- The indexes over single custom fields. They are of the installation and not of a tenant:
-- all tenants whose fields have the same slot and form share one. Only who owns the tables
-- makes them and writes here.
CREATE TABLE strata.field_indexes (
	table_schema text        NOT NULL,
	table_name   text        NOT NULL,
	slot         text        NOT NULL,
	form         text        NOT NULL CHECK (form IN ('number', 'text')),
	index_name   text        NOT NULL,
	state        text        NOT NULL CHECK (state IN ('building', 'ready', 'failed', 'dropping')),
	automatic    boolean     NOT NULL,
	reason       text        NOT NULL DEFAULT '',
	attempts     integer     NOT NULL DEFAULT 0,
	error        text        NOT NULL DEFAULT '',
	retry_at     timestamptz,
	scans        bigint      NOT NULL DEFAULT 0,
	size_bytes   bigint      NOT NULL DEFAULT 0,
	used_at      timestamptz NOT NULL DEFAULT now(),
	created_at   timestamptz NOT NULL DEFAULT now(),
	changed_at   timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (table_schema, table_name, slot, form)
);

-- What filters did in the last days, a few rows a minute from every process. A process may
-- add to it and clear what is old; the names of fields, which are those of other tenants
-- too, it cannot read in the scope of a tenant.
CREATE TABLE strata.field_uses (
	table_schema text        NOT NULL,
	table_name   text        NOT NULL,
	slot         text        NOT NULL,
	form         text        NOT NULL,
	purpose      text        NOT NULL,
	uses         bigint      NOT NULL,
	slow         bigint      NOT NULL,
	noted_at     timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX field_uses_noted ON strata.field_uses (noted_at);

GRANT SELECT ON strata.field_indexes, strata.field_uses TO strata_query;
GRANT INSERT, DELETE, SELECT (noted_at) ON strata.field_uses TO strata_app;
