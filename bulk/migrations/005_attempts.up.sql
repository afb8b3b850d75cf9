-- The job log: one row for each attempt at a run, from the claim to the end of the slice.
CREATE TABLE strata.run_attempts (
	company_id uuid        NOT NULL,
	domain_id  uuid        NOT NULL,
	run_id     uuid        NOT NULL,
	number     integer     NOT NULL,
	worker     text        NOT NULL,
	began      timestamptz NOT NULL DEFAULT clock_timestamp(),
	ended      timestamptz,
	outcome    text        NOT NULL DEFAULT '' CHECK (outcome IN ('', 'sliced', 'completed', 'failed', 'paused', 'cancelled', 'interrupted', 'died')),
	before     bigint      NOT NULL, -- what the run had processed when it began
	processed  bigint      NOT NULL DEFAULT 0,
	error      text        NOT NULL DEFAULT '',
	error_code text        NOT NULL DEFAULT '',
	stack      text        NOT NULL DEFAULT '',
	PRIMARY KEY (domain_id, run_id, number),
	FOREIGN KEY (domain_id, run_id) REFERENCES strata.runs (domain_id, id) ON DELETE CASCADE,
	CHECK ((ended IS NULL) = (outcome = ''))
);
ALTER TABLE strata.run_attempts ENABLE ROW LEVEL SECURITY;
ALTER TABLE strata.run_attempts FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON strata.run_attempts TO strata_app
	USING (domain_id = (SELECT nullif(current_setting('strata.domain_id', true), '')::uuid))
	WITH CHECK (domain_id = (SELECT nullif(current_setting('strata.domain_id', true), '')::uuid));
CREATE POLICY trusted ON strata.run_attempts FOR SELECT TO strata_query USING (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON strata.run_attempts TO strata_app;
GRANT SELECT ON strata.run_attempts TO strata_query;

-- What the processes that live do, noted every now and then. It has nothing of any tenant.
CREATE TABLE strata.run_workers (
	queue   text        NOT NULL,
	worker  text        NOT NULL,
	kinds   text[]      NOT NULL,
	seen_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX run_workers_seen ON strata.run_workers (queue, seen_at);
GRANT INSERT, DELETE, SELECT (queue, seen_at) ON strata.run_workers TO strata_app;
GRANT SELECT ON strata.run_workers TO strata_query;

ALTER TABLE strata.runs
	ADD COLUMN attempts       integer NOT NULL DEFAULT 0,
	ADD COLUMN max_per_second integer NOT NULL DEFAULT 0 CHECK (max_per_second >= 0); -- 0: no limit

-- Whose turn it is: the domains that wait are walked, and of each the first few runs read.
DROP INDEX strata.runs_runnable;
CREATE INDEX runs_waiting ON strata.runs (queue, domain_id, next_attempt_at) WHERE state = 'queued';
CREATE INDEX runs_working ON strata.runs (queue, domain_id) WHERE state = 'processing';
CREATE INDEX runs_cancelled ON strata.runs (queue) WHERE state = 'paused' AND cancel_requested;
-- What is old enough to be forgotten.
CREATE INDEX runs_ended ON strata.runs (finished_at) WHERE finished_at IS NOT NULL;
