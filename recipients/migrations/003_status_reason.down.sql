DROP INDEX strata.recipients_deleted;
ALTER TABLE strata.recipients DROP COLUMN status_reason, DROP COLUMN status_changed_at;
