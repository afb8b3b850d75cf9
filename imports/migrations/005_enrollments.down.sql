ALTER TABLE strata.import_changes DROP COLUMN enrollments;
ALTER TABLE strata.import_rows DROP COLUMN enrollments;
