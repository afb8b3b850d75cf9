ALTER TABLE strata.custom_fields
	DROP COLUMN description,
	DROP COLUMN archived_options,
	DROP COLUMN constraints,
	DROP COLUMN date_only,
	DROP COLUMN default_value,
	DROP COLUMN version;
