ALTER TABLE strata.imports
	DROP CONSTRAINT imports_undone_adds_up,
	DROP CONSTRAINT imports_part_adds_up,
	DROP CONSTRAINT imports_status_check,
	ADD CONSTRAINT imports_status_check CHECK (status IN ('pending', 'validating', 'preview', 'processing', 'done', 'failed', 'cancelled')) NOT VALID,
	DROP COLUMN kept,
	DROP COLUMN reverted,
	DROP COLUMN committed_at,
	DROP COLUMN processed;
DROP TABLE strata.import_changes;
