DROP INDEX strata.runs_above;
ALTER TABLE strata.runs DROP COLUMN level;
