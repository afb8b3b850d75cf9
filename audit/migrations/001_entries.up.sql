-- The audit trail: append-only for every runtime role, one row a mutation, written in
-- the mutation's own transaction. xid is that transaction's id: it proves that a change
-- and its entry belong together, and gives a sealer a range that can never change.
CREATE TABLE strata.audit_entries (
	company_id    uuid        NOT NULL,
	id            uuid        NOT NULL,
	workspace_id  uuid,
	domain_id     uuid,
	occurred_at   timestamptz NOT NULL,
	actor_id      text        NOT NULL DEFAULT '',
	actor_type    text        NOT NULL,
	actor_email   text        NOT NULL DEFAULT '',
	action        text        NOT NULL CHECK (action <> ''),
	resource_type text        NOT NULL DEFAULT '',
	resource_id   text        NOT NULL DEFAULT '',
	status        text        NOT NULL CHECK (status IN ('success', 'failure')),
	error_message text        NOT NULL DEFAULT '',
	ip            text        NOT NULL DEFAULT '',
	user_agent    text        NOT NULL DEFAULT '',
	request_id    text        NOT NULL DEFAULT '',
	metadata      jsonb       NOT NULL DEFAULT '{}',
	xid           bigint      NOT NULL DEFAULT pg_current_xact_id()::text::bigint,
	PRIMARY KEY (company_id, id)
);
CREATE INDEX audit_entries_company ON strata.audit_entries (company_id, occurred_at DESC, id DESC);
CREATE INDEX audit_entries_workspace ON strata.audit_entries (company_id, workspace_id, occurred_at DESC, id DESC) WHERE workspace_id IS NOT NULL;
-- Transaction ids grow with the table, so a block range index finds a range of them at next to no cost per row.
CREATE INDEX audit_entries_xid ON strata.audit_entries USING brin (xid) WITH (autosummarize = on);

ALTER TABLE strata.audit_entries ENABLE ROW LEVEL SECURITY;
ALTER TABLE strata.audit_entries FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON strata.audit_entries TO strata_app
	USING (company_id = (SELECT nullif(current_setting('strata.company_id', true), '')::uuid))
	WITH CHECK (company_id = (SELECT nullif(current_setting('strata.company_id', true), '')::uuid));
CREATE POLICY trusted ON strata.audit_entries FOR SELECT TO strata_query USING (true);
GRANT SELECT, INSERT ON strata.audit_entries TO strata_app;
GRANT SELECT ON strata.audit_entries TO strata_query;
