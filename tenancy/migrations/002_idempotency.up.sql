-- What was asked with an Idempotency-Key, and what was answered. A row stands for the key
-- until expires_at. While status is NULL the request runs, and whoever has the claim may
-- work until leased_until. A request that committed something and died before its answer
-- was written down has status NULL and committed.
CREATE TABLE strata.idempotency_keys (
	company_id   uuid        NOT NULL, -- ffffffff-ffff-ffff-ffff-ffffffffffff for requests of the platform that name no company
	scope        bytea       NOT NULL CHECK (octet_length(scope) = 32), -- SHA-256 of actor, method, path and key
	fingerprint  bytea       NOT NULL CHECK (octet_length(fingerprint) = 32), -- SHA-256 of method, path, query and body
	claim        uuid        NOT NULL, -- drawn anew by each request that claims the key
	leased_until timestamptz NOT NULL,
	committed    boolean     NOT NULL DEFAULT false,
	status       integer     CHECK (status BETWEEN 200 AND 599),
	headers      jsonb,
	body         bytea, -- NULL with a status: it was too large to keep
	created_at   timestamptz NOT NULL DEFAULT now(),
	expires_at   timestamptz NOT NULL,
	PRIMARY KEY (company_id, scope)
);
CREATE INDEX idempotency_keys_expires_at ON strata.idempotency_keys (expires_at);

ALTER TABLE strata.idempotency_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE strata.idempotency_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON strata.idempotency_keys TO strata_app
	USING (company_id = (SELECT nullif(current_setting('strata.company_id', true), '')::uuid))
	WITH CHECK (company_id = (SELECT nullif(current_setting('strata.company_id', true), '')::uuid));
CREATE POLICY trusted ON strata.idempotency_keys FOR SELECT TO strata_query USING (true);

GRANT SELECT, INSERT, UPDATE, DELETE ON strata.idempotency_keys TO strata_app;
GRANT SELECT ON strata.idempotency_keys TO strata_query;
