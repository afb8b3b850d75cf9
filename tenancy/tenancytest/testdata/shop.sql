-- The tables of a product as they should be.
CREATE SCHEMA shop;
GRANT USAGE ON SCHEMA shop TO strata_app, strata_query;

CREATE TYPE shop.order_status AS ENUM ('draft', 'placed', 'shipped');
CREATE DOMAIN shop.currency AS text CHECK (VALUE ~ '^[A-Z]{3}$');

-- Rows of no tenant.
CREATE TABLE shop.countries (code char(2) PRIMARY KEY, name text NOT NULL);
INSERT INTO shop.countries VALUES ('DE', 'Germany');
GRANT SELECT ON shop.countries TO strata_app;
CREATE TABLE shop.carriers (id uuid PRIMARY KEY, name text NOT NULL UNIQUE);
GRANT SELECT ON shop.carriers TO strata_app;

-- A company's.
CREATE TABLE shop.contracts (
	company_id uuid NOT NULL,
	id         uuid NOT NULL,
	starts_on  date NOT NULL,
	PRIMARY KEY (company_id, id),
	FOREIGN KEY (company_id) REFERENCES strata.companies (id)
);

-- A workspace's.
CREATE TABLE shop.templates (
	workspace_id uuid  NOT NULL,
	company_id   uuid  NOT NULL,
	id           uuid  NOT NULL,
	name         text  NOT NULL CHECK (name <> '' AND length(name) <= 50),
	body         jsonb NOT NULL CHECK (jsonb_typeof(body) = 'array'),
	PRIMARY KEY (workspace_id, id),
	UNIQUE (workspace_id, name)
);

-- A domain's.
CREATE TABLE shop.orders (
	domain_id    uuid              NOT NULL,
	id           uuid              NOT NULL,
	company_id   uuid              NOT NULL,
	workspace_id uuid              NOT NULL,
	number       bigint            GENERATED ALWAYS AS IDENTITY,
	email        varchar(40)       NOT NULL,
	status       shop.order_status NOT NULL DEFAULT 'draft',
	priority     shop.order_status NOT NULL,
	currency     shop.currency     NOT NULL,
	total        numeric(10, 2)    NOT NULL CHECK (total BETWEEN 5 AND 1000),
	tags         text[]            NOT NULL DEFAULT '{}',
	country      char(2)           NOT NULL REFERENCES shop.countries (code),
	carrier_id   uuid              NOT NULL REFERENCES shop.carriers (id),
	contract_id  uuid              NOT NULL,
	replaces     uuid,
	email_hash   text              GENERATED ALWAYS AS (md5(email)) STORED,
	placed_at    timestamptz       NOT NULL DEFAULT now(),
	PRIMARY KEY (domain_id, id),
	UNIQUE (domain_id, email),
	UNIQUE (id),
	CHECK ((status = 'shipped') = (priority = 'shipped')),
	FOREIGN KEY (company_id, workspace_id) REFERENCES strata.workspaces (company_id, id),
	FOREIGN KEY (company_id, contract_id) REFERENCES shop.contracts (company_id, id),
	FOREIGN KEY (domain_id, replaces) REFERENCES shop.orders (domain_id, id)
);
CREATE TABLE shop.order_lines (
	domain_id    uuid    NOT NULL,
	order_id     uuid    NOT NULL,
	line_no      integer NOT NULL CHECK (line_no > 0),
	company_id   uuid    NOT NULL,
	workspace_id uuid    NOT NULL,
	sku          text    NOT NULL CHECK (sku ~ '^[a-z][a-z0-9_]*$'),
	quantity     integer NOT NULL DEFAULT 1 CHECK (quantity > 0),
	PRIMARY KEY (domain_id, order_id, line_no),
	FOREIGN KEY (domain_id, order_id) REFERENCES shop.orders (domain_id, id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED
);
-- Events are never changed, and have no key.
CREATE TABLE shop.events (domain_id uuid NOT NULL, at timestamptz NOT NULL, what text NOT NULL CHECK (what IN ('opened', 'closed'))) PARTITION BY RANGE (at);
CREATE TABLE shop.events_all PARTITION OF shop.events DEFAULT;

DO $$
DECLARE
	t regclass;
	c text;
BEGIN
	FOR t, c IN VALUES ('shop.contracts'::regclass, 'company_id'), ('shop.templates', 'workspace_id'),
		('shop.orders', 'domain_id'), ('shop.order_lines', 'domain_id'), ('shop.events', 'domain_id') LOOP
		EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', t);
		EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', t);
		EXECUTE format('CREATE POLICY tenant ON %s TO strata_app USING (%I = (SELECT nullif(current_setting(%L, true), '''')::uuid))
			WITH CHECK (%2$I = (SELECT nullif(current_setting(%3$L, true), '''')::uuid))', t, c, 'strata.' || c);
	END LOOP;
END $$;
CREATE POLICY trusted ON shop.orders FOR SELECT TO strata_query USING (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON shop.contracts, shop.templates, shop.orders, shop.order_lines TO strata_app;
GRANT SELECT, INSERT ON shop.events TO strata_app;
GRANT SELECT ON shop.orders TO strata_query;

CREATE VIEW shop.placed WITH (security_invoker = true) AS SELECT o.domain_id, o.id, count(l.*) AS lines
	FROM shop.orders o LEFT JOIN shop.order_lines l ON l.domain_id = o.domain_id AND l.order_id = o.id GROUP BY o.domain_id, o.id;
GRANT SELECT ON shop.placed TO strata_app;
