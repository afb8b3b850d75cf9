-- What a definition says about its values beside their type. constraints is an object with
-- min, max, minLength, maxLength and pattern; min, max and default_value are in the form
-- that values are stored in.
ALTER TABLE strata.custom_fields
	ADD COLUMN description      text    NOT NULL DEFAULT '',
	ADD COLUMN archived_options text[]  NOT NULL DEFAULT '{}',
	ADD COLUMN constraints      jsonb   NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(constraints) = 'object'),
	ADD COLUMN date_only        boolean NOT NULL DEFAULT false CHECK (type = 'date' OR NOT date_only),
	ADD COLUMN default_value    jsonb CHECK (jsonb_typeof(default_value) <> 'null'),
	ADD COLUMN version          bigint  NOT NULL DEFAULT 1;
