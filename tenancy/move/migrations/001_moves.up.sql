-- Moves of domains. The row is the truth about one: who works on it (the lease), how far it
-- got (tables, with a cursor each), what it found. It belongs to the company that the domain
-- came from, and stays there when the domain has gone to another.
CREATE TABLE strata.moves (
	company_id      uuid        NOT NULL,
	id              uuid        NOT NULL,
	domain_id       uuid        NOT NULL,
	workspace_id    uuid        NOT NULL,
	to_company_id   uuid        NOT NULL,
	to_workspace_id uuid        NOT NULL,
	queue           text        NOT NULL CHECK (queue <> ''), -- of the processes that work on it
	state           text        NOT NULL DEFAULT 'preparing'
		CHECK (state IN ('preparing', 'copying', 'flipping', 'done', 'cancelling', 'cancelled', 'failed')),
	tables          jsonb       NOT NULL DEFAULT '[]',
	findings        jsonb       NOT NULL DEFAULT '[]',
	lease           uuid,
	lease_until     timestamptz,
	failures        integer     NOT NULL DEFAULT 0, -- of attempts, since it was started or retried
	failed_in       text        NOT NULL DEFAULT '', -- the state in which it failed last
	next_attempt_at timestamptz NOT NULL DEFAULT now(),
	error           text        NOT NULL DEFAULT '',
	error_code      text        NOT NULL DEFAULT '',
	actor           jsonb       NOT NULL,
	created_at      timestamptz NOT NULL DEFAULT now(),
	updated_at      timestamptz NOT NULL DEFAULT now(),
	finished_at     timestamptz,
	PRIMARY KEY (company_id, id),
	CHECK ((lease IS NULL) = (lease_until IS NULL)),
	CHECK ((state IN ('done', 'cancelled')) = (finished_at IS NOT NULL))
) WITH (fillfactor = 50); -- a hot row is updated in place

-- At most one at a time.
CREATE UNIQUE INDEX moves_active ON strata.moves (domain_id) WHERE state NOT IN ('done', 'cancelled');
CREATE INDEX moves_domain ON strata.moves (domain_id, id);
CREATE INDEX moves_runnable ON strata.moves (queue, next_attempt_at) WHERE state IN ('preparing', 'copying', 'flipping', 'cancelling', 'failed');

ALTER TABLE strata.moves ENABLE ROW LEVEL SECURITY;
ALTER TABLE strata.moves FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON strata.moves TO strata_app
	USING (company_id = (SELECT nullif(current_setting('strata.company_id', true), '')::uuid))
	WITH CHECK (company_id = (SELECT nullif(current_setting('strata.company_id', true), '')::uuid));
CREATE POLICY trusted ON strata.moves FOR SELECT TO strata_query USING (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON strata.moves TO strata_app;
GRANT SELECT ON strata.moves TO strata_query;
