DROP TABLE strata.custom_fields;
DROP TABLE strata.custom_field_sets;
