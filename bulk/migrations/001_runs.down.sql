DROP TABLE strata.run_batches;
DROP TABLE strata.runs;
