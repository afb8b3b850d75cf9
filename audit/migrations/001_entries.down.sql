DROP TABLE strata.audit_entries;
