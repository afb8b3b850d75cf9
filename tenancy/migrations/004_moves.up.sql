-- A domain that is being moved to another workspace takes no writes: moving_since says so.
ALTER TABLE strata.domains ADD COLUMN moving_since timestamptz;

-- The fence. Every transaction in the scope of a domain calls enter_domain when it begins:
-- it shares a lock of the domain until its end, and then, in a new snapshot, looks whether
-- the domain is still where the transaction's tenant has it and is not being moved. Whoever
-- has set moving_since and committed, and then got the lock for itself (await_domain), knows
-- that no transaction that began before is still writing, and that those that begin later
-- are refused. A workspace of NULL is not compared.
CREATE FUNCTION strata.enter_domain(in_company uuid, in_workspace uuid, in_domain uuid, also_deleted boolean) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
	moving timestamptz;
BEGIN
	PERFORM pg_advisory_xact_lock_shared(hashtextextended('strata.domains/' || in_domain::text, 0));
	SELECT d.moving_since INTO moving FROM strata.domains d
	WHERE d.company_id = in_company AND d.id = in_domain
		AND (in_workspace IS NULL OR d.workspace_id = in_workspace) AND (also_deleted OR d.deleted_at IS NULL);
	IF NOT FOUND THEN
		RAISE EXCEPTION 'domain % is not there any more', in_domain USING ERRCODE = 'ST404';
	ELSIF moving IS NOT NULL THEN
		RAISE EXCEPTION 'domain % is being moved', in_domain USING ERRCODE = 'ST423';
	END IF;
END $$;

CREATE FUNCTION strata.await_domain(in_domain uuid) RETURNS void
LANGUAGE sql VOLATILE AS $$
	SELECT pg_advisory_xact_lock(hashtextextended('strata.domains/' || in_domain::text, 0))
$$;
REVOKE EXECUTE ON FUNCTION strata.enter_domain, strata.await_domain FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strata.enter_domain, strata.await_domain TO strata_app;

-- The tables with rows of domains, whoever's product they are of: a process of one product
-- moves the rows of all. Rows here belong to no tenant, and no runtime role may change them.
CREATE TABLE strata.tenant_tables (
	schema_name   text        NOT NULL,
	table_name    text        NOT NULL,
	product       text        NOT NULL CHECK (product <> '' AND length(product) <= 100),
	registered_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (schema_name, table_name)
);
GRANT SELECT ON strata.tenant_tables TO strata_app, strata_query;
