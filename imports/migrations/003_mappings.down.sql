DROP TABLE strata.import_mappings;
