-- What a company has subscribed to, and one row per counted resource that holds what is
-- used, what is reserved and what is allowed. Because all three stand in one row, a
-- plan change that races an import is serialised with it too. NULL is unlimited and
-- still counted. period is '' for what goes up and down, 'yyyymm' for monthly counters.
CREATE TABLE strata.subscriptions (
	company_id  uuid PRIMARY KEY,
	plan        text        NOT NULL,
	status      text        NOT NULL DEFAULT 'active' CHECK (status IN ('trialing', 'active', 'past_due', 'cancelled', 'unpaid', 'paused')),
	grace_until timestamptz,
	period_end  timestamptz,
	created_at  timestamptz NOT NULL DEFAULT now(),
	updated_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE strata.usage (
	company_id  uuid   NOT NULL,
	resource    text   NOT NULL CHECK (resource <> ''),
	period      text   NOT NULL DEFAULT '',
	used        bigint NOT NULL DEFAULT 0 CHECK (used >= 0),
	reserved    bigint NOT NULL DEFAULT 0 CHECK (reserved >= 0),
	limit_value bigint CHECK (limit_value >= 0),
	PRIMARY KEY (company_id, resource, period)
) WITH (fillfactor = 50); -- a hot row is updated in place

-- A reservation holds room for long work whose result is not known yet.
CREATE TABLE strata.reservations (
	company_id uuid        NOT NULL,
	id         uuid        NOT NULL,
	resource   text        NOT NULL,
	amount     bigint      NOT NULL CHECK (amount >= 0),
	remaining  bigint      NOT NULL CHECK (remaining BETWEEN 0 AND amount),
	expires_at timestamptz NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now(),
	closed_at  timestamptz,
	PRIMARY KEY (company_id, id),
	CHECK (closed_at IS NULL OR remaining = 0)
);
CREATE INDEX reservations_open ON strata.reservations (expires_at) WHERE closed_at IS NULL;

ALTER TABLE strata.subscriptions ENABLE ROW LEVEL SECURITY;
ALTER TABLE strata.subscriptions FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON strata.subscriptions TO strata_app
	USING (company_id = (SELECT nullif(current_setting('strata.company_id', true), '')::uuid))
	WITH CHECK (company_id = (SELECT nullif(current_setting('strata.company_id', true), '')::uuid));
CREATE POLICY trusted ON strata.subscriptions FOR SELECT TO strata_query USING (true);

ALTER TABLE strata.usage ENABLE ROW LEVEL SECURITY;
ALTER TABLE strata.usage FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON strata.usage TO strata_app
	USING (company_id = (SELECT nullif(current_setting('strata.company_id', true), '')::uuid))
	WITH CHECK (company_id = (SELECT nullif(current_setting('strata.company_id', true), '')::uuid));
CREATE POLICY trusted ON strata.usage FOR SELECT TO strata_query USING (true);

ALTER TABLE strata.reservations ENABLE ROW LEVEL SECURITY;
ALTER TABLE strata.reservations FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON strata.reservations TO strata_app
	USING (company_id = (SELECT nullif(current_setting('strata.company_id', true), '')::uuid))
	WITH CHECK (company_id = (SELECT nullif(current_setting('strata.company_id', true), '')::uuid));
CREATE POLICY trusted ON strata.reservations FOR SELECT TO strata_query USING (true);

GRANT SELECT, INSERT, UPDATE, DELETE ON strata.subscriptions, strata.usage, strata.reservations TO strata_app;
GRANT SELECT ON strata.subscriptions, strata.usage, strata.reservations TO strata_query;
