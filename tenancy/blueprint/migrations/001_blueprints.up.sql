-- What a company defines once and deploys to many of its workspaces. versions and runs are
-- facts and never change.
CREATE TABLE strata.blueprints (
	company_id     uuid        NOT NULL REFERENCES strata.companies (id),
	id             uuid        NOT NULL,
	kind           text        NOT NULL CHECK (kind <> ''),
	name           text        NOT NULL CHECK (name <> '' AND length(name) <= 200),
	latest_version integer     NOT NULL DEFAULT 1 CHECK (latest_version > 0),
	created_at     timestamptz NOT NULL DEFAULT now(),
	updated_at     timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (company_id, id)
);
CREATE UNIQUE INDEX blueprints_name ON strata.blueprints (company_id, name);

CREATE TABLE strata.blueprint_versions (
	company_id   uuid        NOT NULL,
	blueprint_id uuid        NOT NULL,
	version      integer     NOT NULL CHECK (version > 0),
	body         jsonb       NOT NULL CHECK (jsonb_typeof(body) = 'object'),
	note         text        NOT NULL DEFAULT '' CHECK (length(note) <= 1000),
	created_by   text        NOT NULL DEFAULT '',
	created_at   timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (company_id, blueprint_id, version),
	FOREIGN KEY (company_id, blueprint_id) REFERENCES strata.blueprints (company_id, id)
);

-- A request to bring workspaces to a version, and who made it.
CREATE TABLE strata.blueprint_runs (
	company_id   uuid        NOT NULL,
	id           uuid        NOT NULL,
	blueprint_id uuid        NOT NULL,
	version      integer     NOT NULL,
	reason       text        NOT NULL CHECK (reason IN ('deploy', 'override', 'resume')),
	requested_by text        NOT NULL DEFAULT '',
	actor        jsonb       NOT NULL,
	created_at   timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (company_id, id),
	FOREIGN KEY (company_id, blueprint_id, version) REFERENCES strata.blueprint_versions (company_id, blueprint_id, version)
);
CREATE INDEX blueprint_runs_blueprint ON strata.blueprint_runs (company_id, blueprint_id, id);

-- A blueprint in a workspace. The row's lock decides who works on the pair: whoever writes
-- its tasks takes it first. run_id is the run that asked last.
CREATE TABLE strata.blueprint_deployments (
	company_id      uuid        NOT NULL,
	workspace_id    uuid        NOT NULL,
	blueprint_id    uuid        NOT NULL,
	id              uuid        NOT NULL,
	run_id          uuid        NOT NULL,
	wanted_version  integer     NOT NULL,
	applied_version integer,
	applied_body    jsonb, -- as it was applied, overrides laid over
	applied_at      timestamptz,
	overrides       jsonb       NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(overrides) = 'object'), -- field -> {value, base}
	paused_at       timestamptz,
	paused_by       text        NOT NULL DEFAULT '',
	created_at      timestamptz NOT NULL DEFAULT now(),
	updated_at      timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (company_id, blueprint_id, workspace_id),
	UNIQUE (company_id, id),
	CHECK ((applied_version IS NULL) = (applied_body IS NULL)),
	FOREIGN KEY (company_id, workspace_id) REFERENCES strata.workspaces (company_id, id),
	FOREIGN KEY (company_id, run_id) REFERENCES strata.blueprint_runs (company_id, id),
	FOREIGN KEY (company_id, blueprint_id, wanted_version) REFERENCES strata.blueprint_versions (company_id, blueprint_id, version),
	FOREIGN KEY (company_id, blueprint_id, applied_version) REFERENCES strata.blueprint_versions (company_id, blueprint_id, version)
);
CREATE INDEX blueprint_deployments_workspace ON strata.blueprint_deployments (company_id, workspace_id, blueprint_id);

-- One workspace of a run: the queue while it is pending, the result afterwards. attempts
-- counts those that were begun, so that one that kills its process counts too.
CREATE TABLE strata.blueprint_tasks (
	company_id      uuid        NOT NULL,
	workspace_id    uuid        NOT NULL,
	run_id          uuid        NOT NULL,
	blueprint_id    uuid        NOT NULL,
	kind            text        NOT NULL,
	state           text        NOT NULL CHECK (state IN ('pending', 'applied', 'failed', 'skipped', 'superseded')),
	attempts        integer     NOT NULL DEFAULT 0,
	next_attempt_at timestamptz NOT NULL DEFAULT now(),
	error           text        NOT NULL DEFAULT '',
	error_code      text        NOT NULL DEFAULT '',
	changes         jsonb       NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(changes) = 'array'),
	finished_at     timestamptz,
	PRIMARY KEY (company_id, run_id, workspace_id),
	CHECK ((state = 'pending') = (finished_at IS NULL)),
	FOREIGN KEY (company_id, run_id) REFERENCES strata.blueprint_runs (company_id, id),
	FOREIGN KEY (company_id, blueprint_id, workspace_id) REFERENCES strata.blueprint_deployments (company_id, blueprint_id, workspace_id)
);
CREATE UNIQUE INDEX blueprint_tasks_pending ON strata.blueprint_tasks (company_id, blueprint_id, workspace_id) WHERE state = 'pending';
CREATE INDEX blueprint_tasks_due ON strata.blueprint_tasks (company_id, next_attempt_at) WHERE state = 'pending';

-- Numbers that a product adds up for a blueprint in a workspace.
CREATE TABLE strata.blueprint_counters (
	company_id   uuid   NOT NULL,
	workspace_id uuid   NOT NULL,
	blueprint_id uuid   NOT NULL,
	name         text   NOT NULL CHECK (name <> '' AND length(name) <= 63),
	value        bigint NOT NULL DEFAULT 0,
	PRIMARY KEY (company_id, blueprint_id, workspace_id, name),
	FOREIGN KEY (company_id, blueprint_id, workspace_id) REFERENCES strata.blueprint_deployments (company_id, blueprint_id, workspace_id)
) WITH (fillfactor = 50); -- a hot row is updated in place

-- The rows belong to the company. What a workspace may see of them is the statement's
-- first condition; the company is the second wall.
ALTER TABLE strata.blueprints ENABLE ROW LEVEL SECURITY;
ALTER TABLE strata.blueprints FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON strata.blueprints TO strata_app
	USING (company_id = (SELECT nullif(current_setting('strata.company_id', true), '')::uuid))
	WITH CHECK (company_id = (SELECT nullif(current_setting('strata.company_id', true), '')::uuid));
CREATE POLICY trusted ON strata.blueprints FOR SELECT TO strata_query USING (true);

ALTER TABLE strata.blueprint_versions ENABLE ROW LEVEL SECURITY;
ALTER TABLE strata.blueprint_versions FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON strata.blueprint_versions TO strata_app
	USING (company_id = (SELECT nullif(current_setting('strata.company_id', true), '')::uuid))
	WITH CHECK (company_id = (SELECT nullif(current_setting('strata.company_id', true), '')::uuid));
CREATE POLICY trusted ON strata.blueprint_versions FOR SELECT TO strata_query USING (true);

ALTER TABLE strata.blueprint_runs ENABLE ROW LEVEL SECURITY;
ALTER TABLE strata.blueprint_runs FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON strata.blueprint_runs TO strata_app
	USING (company_id = (SELECT nullif(current_setting('strata.company_id', true), '')::uuid))
	WITH CHECK (company_id = (SELECT nullif(current_setting('strata.company_id', true), '')::uuid));
CREATE POLICY trusted ON strata.blueprint_runs FOR SELECT TO strata_query USING (true);

ALTER TABLE strata.blueprint_deployments ENABLE ROW LEVEL SECURITY;
ALTER TABLE strata.blueprint_deployments FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON strata.blueprint_deployments TO strata_app
	USING (company_id = (SELECT nullif(current_setting('strata.company_id', true), '')::uuid))
	WITH CHECK (company_id = (SELECT nullif(current_setting('strata.company_id', true), '')::uuid));
CREATE POLICY trusted ON strata.blueprint_deployments FOR SELECT TO strata_query USING (true);

ALTER TABLE strata.blueprint_tasks ENABLE ROW LEVEL SECURITY;
ALTER TABLE strata.blueprint_tasks FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON strata.blueprint_tasks TO strata_app
	USING (company_id = (SELECT nullif(current_setting('strata.company_id', true), '')::uuid))
	WITH CHECK (company_id = (SELECT nullif(current_setting('strata.company_id', true), '')::uuid));
CREATE POLICY trusted ON strata.blueprint_tasks FOR SELECT TO strata_query USING (true);

ALTER TABLE strata.blueprint_counters ENABLE ROW LEVEL SECURITY;
ALTER TABLE strata.blueprint_counters FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON strata.blueprint_counters TO strata_app
	USING (company_id = (SELECT nullif(current_setting('strata.company_id', true), '')::uuid))
	WITH CHECK (company_id = (SELECT nullif(current_setting('strata.company_id', true), '')::uuid));
CREATE POLICY trusted ON strata.blueprint_counters FOR SELECT TO strata_query USING (true);

GRANT SELECT, INSERT ON strata.blueprint_versions, strata.blueprint_runs TO strata_app;
GRANT SELECT, INSERT, UPDATE ON strata.blueprints, strata.blueprint_deployments, strata.blueprint_tasks, strata.blueprint_counters TO strata_app;
GRANT SELECT ON strata.blueprints, strata.blueprint_versions, strata.blueprint_runs, strata.blueprint_deployments, strata.blueprint_tasks, strata.blueprint_counters TO strata_query;
