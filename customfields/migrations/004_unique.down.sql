DROP FUNCTION strata.take_unique_values();
DROP FUNCTION strata.unique_value_hash(text);
DROP TABLE strata.custom_field_uniques;
ALTER TABLE strata.custom_fields DROP COLUMN unique_state, DROP COLUMN unique_run;
