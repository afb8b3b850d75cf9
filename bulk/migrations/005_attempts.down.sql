DROP INDEX strata.runs_ended;
DROP INDEX strata.runs_cancelled;
DROP INDEX strata.runs_working;
DROP INDEX strata.runs_waiting;
CREATE INDEX runs_runnable ON strata.runs (queue, next_attempt_at) WHERE state IN ('queued', 'processing', 'paused');
ALTER TABLE strata.runs DROP COLUMN max_per_second, DROP COLUMN attempts;
DROP TABLE strata.run_workers;
DROP TABLE strata.run_attempts;
