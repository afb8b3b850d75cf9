ALTER TABLE strata.custom_field_sets DROP COLUMN layout;
DROP INDEX strata.custom_fields_slot;
ALTER TABLE strata.custom_fields DROP COLUMN transition, DROP COLUMN slot;
