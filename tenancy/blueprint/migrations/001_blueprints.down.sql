DROP TABLE strata.blueprint_counters;
DROP TABLE strata.blueprint_tasks;
DROP TABLE strata.blueprint_deployments;
DROP TABLE strata.blueprint_runs;
DROP TABLE strata.blueprint_versions;
DROP TABLE strata.blueprints;
