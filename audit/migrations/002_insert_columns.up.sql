-- xid is always that of the transaction that inserts: a runtime role cannot claim that
-- an entry belongs to a change of another transaction.
REVOKE INSERT ON strata.audit_entries FROM strata_app;
GRANT INSERT (company_id, id, workspace_id, domain_id, occurred_at, actor_id, actor_type, actor_email, action, resource_type,
	resource_id, status, error_message, ip, user_agent, request_id, metadata) ON strata.audit_entries TO strata_app;
