-- What products add to recipients: a table with at most one row for each. It is stored so that
-- a process of any product can join, filter, export and purge what others know of a recipient.
-- Rows here belong to no tenant, and no runtime role may change them. columns is a list of
-- {"name", "type", "filter", "options"}, and only grows while two versions of a product run
-- beside each other.
CREATE TABLE strata.recipient_extensions (
	name          text        PRIMARY KEY CHECK (name ~ '^[a-z][a-z0-9_]{0,39}$'),
	product       text        NOT NULL CHECK (product <> '' AND length(product) <= 100),
	schema_name   text        NOT NULL,
	table_name    text        NOT NULL,
	columns       jsonb       NOT NULL CHECK (jsonb_typeof(columns) = 'array'),
	version       bigint      NOT NULL DEFAULT 1,
	registered_at timestamptz NOT NULL DEFAULT now(),
	updated_at    timestamptz NOT NULL DEFAULT now(),
	UNIQUE (schema_name, table_name)
);
COMMENT ON TABLE strata.recipient_extensions IS 'global: names of tables and columns, the same for every tenant';
GRANT SELECT ON strata.recipient_extensions TO strata_app, strata_query;
