DROP TABLE strata.import_rows;
DROP TABLE strata.imports;
