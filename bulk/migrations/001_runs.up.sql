-- Long work. River starts it; these rows are the truth about it: who works on it (the
-- lease), how far it got (the cursor), what it did (counters and the ledger of batches).
CREATE TABLE strata.runs (
	domain_id        uuid        NOT NULL,
	id               uuid        NOT NULL,
	company_id       uuid        NOT NULL,
	workspace_id     uuid        NOT NULL,
	kind             text        NOT NULL CHECK (kind <> ''),
	queue            text        NOT NULL CHECK (queue <> ''),
	state            text        NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'processing', 'paused', 'completed', 'failed', 'cancelled')),
	args             jsonb       NOT NULL DEFAULT '{}',
	cursor           jsonb,
	total            bigint      NOT NULL DEFAULT 0 CHECK (total >= 0),
	processed        bigint      NOT NULL DEFAULT 0 CHECK (processed >= 0),
	counters         jsonb       NOT NULL DEFAULT '{}',
	batches          integer     NOT NULL DEFAULT 0,
	rate             double precision NOT NULL DEFAULT 0, -- a second, in the last slice
	lease            uuid,
	lease_until      timestamptz,
	failures         integer     NOT NULL DEFAULT 0, -- in a row: a batch that commits starts again at 0
	next_attempt_at  timestamptz NOT NULL DEFAULT now(),
	cancel_requested boolean     NOT NULL DEFAULT false,
	pause_requested  boolean     NOT NULL DEFAULT false,
	error            text        NOT NULL DEFAULT '',
	error_code       text        NOT NULL DEFAULT '',
	dedup_key        text        NOT NULL DEFAULT '',
	requested_by     text        NOT NULL DEFAULT '',
	actor            jsonb       NOT NULL,
	created_at       timestamptz NOT NULL DEFAULT now(),
	started_at       timestamptz,
	finished_at      timestamptz,
	updated_at       timestamptz NOT NULL DEFAULT now(),
	version          bigint      NOT NULL DEFAULT 1,
	PRIMARY KEY (domain_id, id),
	CHECK ((state = 'processing') = (lease IS NOT NULL)),
	CHECK ((lease IS NULL) = (lease_until IS NULL)),
	CHECK ((state IN ('completed', 'failed', 'cancelled')) = (finished_at IS NOT NULL))
) WITH (fillfactor = 50); -- a hot row is updated in place

CREATE UNIQUE INDEX runs_dedup ON strata.runs (domain_id, kind, dedup_key) WHERE dedup_key <> '' AND state IN ('queued', 'processing', 'paused');
CREATE INDEX runs_active ON strata.runs (domain_id, id) WHERE state IN ('queued', 'processing', 'paused');
CREATE INDEX runs_runnable ON strata.runs (queue, next_attempt_at) WHERE state IN ('queued', 'processing', 'paused');

-- One row for each batch, written in its transaction: what a run says it did can be
-- added up and checked.
CREATE TABLE strata.run_batches (
	company_id   uuid        NOT NULL,
	domain_id    uuid        NOT NULL,
	run_id       uuid        NOT NULL,
	batch_no     integer     NOT NULL,
	processed    bigint      NOT NULL,
	counters     jsonb       NOT NULL DEFAULT '{}',
	committed_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (domain_id, run_id, batch_no)
);

ALTER TABLE strata.runs ENABLE ROW LEVEL SECURITY;
ALTER TABLE strata.runs FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON strata.runs TO strata_app
	USING (domain_id = (SELECT nullif(current_setting('strata.domain_id', true), '')::uuid))
	WITH CHECK (domain_id = (SELECT nullif(current_setting('strata.domain_id', true), '')::uuid));
CREATE POLICY trusted ON strata.runs FOR SELECT TO strata_query USING (true);

ALTER TABLE strata.run_batches ENABLE ROW LEVEL SECURITY;
ALTER TABLE strata.run_batches FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON strata.run_batches TO strata_app
	USING (domain_id = (SELECT nullif(current_setting('strata.domain_id', true), '')::uuid))
	WITH CHECK (domain_id = (SELECT nullif(current_setting('strata.domain_id', true), '')::uuid));
CREATE POLICY trusted ON strata.run_batches FOR SELECT TO strata_query USING (true);

GRANT SELECT, INSERT, UPDATE, DELETE ON strata.runs, strata.run_batches TO strata_app;
GRANT SELECT ON strata.runs, strata.run_batches TO strata_query;
