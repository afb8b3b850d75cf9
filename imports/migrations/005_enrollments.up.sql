-- What the rows of a file say of extensions, in the normal form: {"sms": {"phone": "+493012345678"}}.
ALTER TABLE strata.import_rows ADD COLUMN enrollments jsonb;

-- What an import did to rows of extensions, by extension: the row's version afterwards, and as
-- was the row before, or null where there was none. A recipient that itself stayed as it was has
-- the same version before and after.
ALTER TABLE strata.import_changes ADD COLUMN enrollments jsonb;
