REVOKE INSERT ON strata.audit_entries FROM strata_app;
GRANT INSERT ON strata.audit_entries TO strata_app;
