ALTER TABLE strata.runs DROP COLUMN opened;
