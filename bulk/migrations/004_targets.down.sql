DROP TABLE strata.run_failures;
DROP TABLE strata.run_targets;
