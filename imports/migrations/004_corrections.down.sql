DROP INDEX strata.import_rows_commit;
CREATE INDEX import_rows_commit ON strata.import_rows (domain_id, import_id, email_norm) WHERE verdict IN ('new', 'update');
ALTER TABLE strata.import_rows
	DROP COLUMN round,
	DROP COLUMN corrects;
ALTER TABLE strata.imports
	DROP CONSTRAINT imports_preview_adds_up,
	ADD CONSTRAINT imports_preview_adds_up CHECK (status NOT IN ('preview', 'processing', 'done') OR total = new + changed + unchanged + duplicate + invalid) NOT VALID,
	DROP CONSTRAINT imports_status_check,
	ADD CONSTRAINT imports_status_check CHECK (status IN ('pending', 'validating', 'preview', 'processing', 'done', 'failed', 'cancelled', 'undoing', 'undone')) NOT VALID,
	DROP COLUMN round,
	DROP COLUMN corrects;
