-- The indexes themselves go with their tables.
DROP TABLE strata.field_uses;
DROP TABLE strata.field_indexes;
