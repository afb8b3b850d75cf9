-- Values of unique custom fields; see migration 003 of customfields.
CREATE TRIGGER unique_values_inserted AFTER INSERT ON strata.recipients
	REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION strata.take_unique_values();
CREATE TRIGGER unique_values_updated AFTER UPDATE ON strata.recipients
	REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION strata.take_unique_values();
CREATE TRIGGER unique_values_deleted AFTER DELETE ON strata.recipients
	REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION strata.take_unique_values();
