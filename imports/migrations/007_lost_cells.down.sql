ALTER TABLE strata.import_rows DROP COLUMN lost;
