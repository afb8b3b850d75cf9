ALTER TABLE strata.imports DROP COLUMN sha256;
