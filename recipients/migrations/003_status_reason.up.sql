-- Why a recipient has its status, and since when: NULL is since it was made. Rows that are
-- there satisfy the constraint, so it need not look at them.
ALTER TABLE strata.recipients
	ADD COLUMN status_reason     text NOT NULL DEFAULT '',
	ADD COLUMN status_changed_at timestamptz;
ALTER TABLE strata.recipients ADD CONSTRAINT recipients_status_reason CHECK (length(status_reason) <= 300) NOT VALID;

-- What waits to be purged, and can be brought back until then. It holds deleted rows only,
-- so that making it is one look through the table.
CREATE INDEX recipients_deleted ON strata.recipients (domain_id, deleted_at, id) WHERE deleted_at IS NOT NULL;
