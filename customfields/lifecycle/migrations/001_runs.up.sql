-- Changes of custom fields that go through the records of a workspace. The row is the truth
-- about one: how far it is, and what it found. Whoever works on it holds its lock.
CREATE TABLE strata.custom_field_runs (
	workspace_id    uuid        NOT NULL,
	id              uuid        NOT NULL,
	company_id      uuid        NOT NULL,
	field_id        uuid        NOT NULL,
	field_key       text        NOT NULL, -- as it was when the run began
	kind            text        NOT NULL CHECK (kind IN ('convert', 'remove_option', 'purge')),
	queue           text        NOT NULL CHECK (queue <> ''), -- of the processes that work on it
	state           text        NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'cancelling', 'failed', 'done', 'cancelled')),
	failed_in       text        NOT NULL DEFAULT '' CHECK (failed_in IN ('', 'running', 'cancelling')),
	step            text        NOT NULL DEFAULT 'wait' CHECK (step IN ('wait', 'fill', 'flip', 'drain', 'clean', 'end')),
	spec            jsonb       NOT NULL CHECK (jsonb_typeof(spec) = 'object'),
	cursor          jsonb       NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(cursor) = 'object'), -- within the step
	total           bigint      NOT NULL DEFAULT 0,
	processed       bigint      NOT NULL DEFAULT 0, -- in the step, as the two that follow
	changed         bigint      NOT NULL DEFAULT 0,
	lost            bigint      NOT NULL DEFAULT 0,
	failures        integer     NOT NULL DEFAULT 0, -- of attempts at what comes next
	next_attempt_at timestamptz NOT NULL DEFAULT now(),
	error           text        NOT NULL DEFAULT '',
	error_code      text        NOT NULL DEFAULT '',
	actor           jsonb       NOT NULL,
	created_at      timestamptz NOT NULL DEFAULT now(),
	updated_at      timestamptz NOT NULL DEFAULT now(),
	finished_at     timestamptz,
	PRIMARY KEY (workspace_id, id),
	CHECK ((state IN ('done', 'cancelled')) = (finished_at IS NOT NULL))
) WITH (fillfactor = 50); -- a hot row is updated in place

-- At most one at a time.
CREATE UNIQUE INDEX custom_field_runs_active ON strata.custom_field_runs (workspace_id, field_id) WHERE state NOT IN ('done', 'cancelled');
CREATE INDEX custom_field_runs_due ON strata.custom_field_runs (queue, updated_at) WHERE state IN ('running', 'cancelling');

ALTER TABLE strata.custom_field_runs ENABLE ROW LEVEL SECURITY;
ALTER TABLE strata.custom_field_runs FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON strata.custom_field_runs TO strata_app
	USING (workspace_id = (SELECT nullif(current_setting('strata.workspace_id', true), '')::uuid))
	WITH CHECK (workspace_id = (SELECT nullif(current_setting('strata.workspace_id', true), '')::uuid));
CREATE POLICY trusted ON strata.custom_field_runs FOR SELECT TO strata_query USING (true);
GRANT SELECT, INSERT, UPDATE ON strata.custom_field_runs TO strata_app;
GRANT SELECT ON strata.custom_field_runs TO strata_query;
