DROP TABLE strata.tenant_tables;
DROP FUNCTION strata.await_domain(uuid);
DROP FUNCTION strata.enter_domain(uuid, uuid, uuid, boolean);
ALTER TABLE strata.domains DROP COLUMN moving_since;
