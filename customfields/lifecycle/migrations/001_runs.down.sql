DROP TABLE strata.custom_field_runs;
