-- How far the Open that goes on has come. What is worked on by nobody is open nowhere.
ALTER TABLE strata.runs ADD COLUMN opened bigint NOT NULL DEFAULT 0 CHECK (opened >= 0 AND (opened = 0 OR state = 'processing'));
