-- What an import did to recipients, so that it can be undone: written by the statement that
-- does it. Of a recipient that was inserted it is only which one; of one that was updated what
-- it was before, where that is another. version is the recipient's afterwards: one that has
-- another by now was edited since. kept is why an undo has left it alone.
CREATE TABLE strata.import_changes (
	domain_id         uuid    NOT NULL,
	import_id         uuid    NOT NULL,
	recipient_id      uuid    NOT NULL,
	company_id        uuid    NOT NULL,
	workspace_id      uuid    NOT NULL,
	was               bigint  NOT NULL, -- the version before, 0 of one that was inserted
	version           bigint  NOT NULL,
	rows              integer NOT NULL DEFAULT 1, -- of the file
	name              text,
	status            text,
	status_reason     text,
	status_changed_at timestamptz,
	custom_fields     jsonb,
	kept              text COLLATE "C",
	PRIMARY KEY (domain_id, import_id, recipient_id)
);

ALTER TABLE strata.import_changes ENABLE ROW LEVEL SECURITY;
ALTER TABLE strata.import_changes FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON strata.import_changes TO strata_app
	USING (domain_id = (SELECT nullif(current_setting('strata.domain_id', true), '')::uuid))
	WITH CHECK (domain_id = (SELECT nullif(current_setting('strata.domain_id', true), '')::uuid));
CREATE POLICY trusted ON strata.import_changes FOR SELECT TO strata_query USING (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON strata.import_changes TO strata_app;
GRANT SELECT ON strata.import_changes TO strata_query;

-- processed is NULL until something has ended, committed_at unless there are import_changes.
ALTER TABLE strata.imports
	ADD COLUMN processed    bigint CHECK (processed >= 0),
	ADD COLUMN committed_at timestamptz,
	ADD COLUMN reverted     bigint NOT NULL DEFAULT 0,
	ADD COLUMN kept         bigint NOT NULL DEFAULT 0,
	DROP CONSTRAINT imports_status_check,
	ADD CONSTRAINT imports_status_check CHECK (status IN ('pending', 'validating', 'preview', 'processing', 'done', 'failed', 'cancelled', 'undoing', 'undone')) NOT VALID,
	-- What was committed before it failed or was cancelled is accounted for too. Only a commit has a reservation.
	ADD CONSTRAINT imports_part_adds_up CHECK (status NOT IN ('failed', 'cancelled') OR reservation_id IS NULL OR processed = inserted + updated + skipped) NOT VALID,
	ADD CONSTRAINT imports_undone_adds_up CHECK (CASE status WHEN 'undone' THEN inserted + updated = reverted + kept ELSE inserted + updated >= reverted + kept END);
