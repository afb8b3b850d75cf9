-- Where the values of a field stand in the records, and what is being done to them.
-- slot is NULL while it is the key, as it is from the start: a library that does not know
-- the column makes such fields. transition is a change that goes through the records
-- (package lifecycle).
ALTER TABLE strata.custom_fields
	ADD COLUMN slot text CHECK (slot ~ '^[a-z][a-z0-9_]{0,62}(~[0-9]{1,9})?$'),
	ADD COLUMN transition jsonb;
-- Two fields in one place would overwrite each other.
CREATE UNIQUE INDEX custom_fields_slot ON strata.custom_fields (workspace_id, coalesce(slot, key));

-- layout is the version at which values last changed their place or what may be there.
-- Work that holds prepared values compares it, and not the version, which a new label
-- changes too.
ALTER TABLE strata.custom_field_sets ADD COLUMN layout bigint NOT NULL DEFAULT 0;
