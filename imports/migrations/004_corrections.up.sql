-- A corrected error report is an import of its own until it is merged into the import that it
-- corrects: then its rows are that one's rows. round counts how often a report was merged into an
-- import that was committed before; rows of earlier rounds are written, or were skipped.
ALTER TABLE strata.imports
	ADD COLUMN corrects uuid,
	ADD COLUMN round    integer NOT NULL DEFAULT 0,
	DROP CONSTRAINT imports_status_check,
	ADD CONSTRAINT imports_status_check CHECK (status IN ('pending', 'validating', 'preview', 'processing', 'done', 'failed', 'cancelled', 'undoing', 'undone', 'merged')) NOT VALID,
	-- new and changed are those of the round, inserted, updated and skipped those of the rounds before.
	DROP CONSTRAINT imports_preview_adds_up,
	ADD CONSTRAINT imports_preview_adds_up CHECK (status NOT IN ('preview', 'processing', 'merged')
		OR total = new + changed + unchanged + duplicate + invalid + inserted + updated + skipped) NOT VALID;

ALTER TABLE strata.import_rows
	ADD COLUMN corrects integer, -- of a report: the row of the file that the row says it is
	ADD COLUMN round    integer NOT NULL DEFAULT 0;
DROP INDEX strata.import_rows_commit;
CREATE INDEX import_rows_commit ON strata.import_rows (domain_id, import_id, round, email_norm) WHERE verdict IN ('new', 'update');
