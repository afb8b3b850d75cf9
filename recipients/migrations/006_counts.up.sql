-- How many live recipients a domain has, by status and by extension, as a list of changes:
-- every statement that changes a number adds rows with the difference, and whoever reads
-- sums them up. So no two writers of a domain wait for each other at a row that both have to
-- change, what is rolled back was never counted, and in one snapshot the sums are those of
-- the tables. Store.FoldCounts puts the rows of a domain together from time to time.
CREATE TABLE strata.recipient_counts (
	domain_id    uuid   NOT NULL,
	id           bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
	company_id   uuid   NOT NULL,
	workspace_id uuid   NOT NULL,
	kind         text   COLLATE "C" NOT NULL CHECK (kind IN ('status', 'extension')),
	key          text   COLLATE "C" NOT NULL, -- the status, or the name of the extension
	n            bigint NOT NULL CHECK (n <> 0),
	PRIMARY KEY (domain_id, id)
);

ALTER TABLE strata.recipient_counts ENABLE ROW LEVEL SECURITY;
ALTER TABLE strata.recipient_counts FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON strata.recipient_counts TO strata_app
	USING (domain_id = (SELECT nullif(current_setting('strata.domain_id', true), '')::uuid))
	WITH CHECK (domain_id = (SELECT nullif(current_setting('strata.domain_id', true), '')::uuid));
CREATE POLICY trusted ON strata.recipient_counts FOR SELECT TO strata_query USING (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON strata.recipient_counts TO strata_app;
GRANT SELECT ON strata.recipient_counts TO strata_query;

-- After each statement on recipients. What a statement did to the statuses needs no look at
-- which row became which. One that deletes or restores takes the enrolments along, which is
-- planned each time: a plan made for one row is a thousand times too slow for five thousand.
CREATE FUNCTION strata.count_recipients() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
	extension record;
BEGIN
	IF TG_OP = 'INSERT' THEN
		INSERT INTO strata.recipient_counts (domain_id, company_id, workspace_id, kind, key, n)
		SELECT domain_id, company_id, workspace_id, 'status', status, count(*) FROM new_rows WHERE deleted_at IS NULL GROUP BY 1, 2, 3, 5;
	ELSIF TG_OP = 'DELETE' THEN
		INSERT INTO strata.recipient_counts (domain_id, company_id, workspace_id, kind, key, n)
		SELECT domain_id, company_id, workspace_id, 'status', status, -count(*) FROM old_rows WHERE deleted_at IS NULL GROUP BY 1, 2, 3, 5;
	ELSE
		INSERT INTO strata.recipient_counts (domain_id, company_id, workspace_id, kind, key, n)
		SELECT c.domain_id, place.company_id, place.workspace_id, 'status', c.status, c.n
		FROM (SELECT domain_id, status, sum(one) AS n
			FROM (SELECT domain_id, status, 1 AS one FROM new_rows WHERE deleted_at IS NULL
				UNION ALL SELECT domain_id, status, -1 FROM old_rows WHERE deleted_at IS NULL) rows
			GROUP BY 1, 2 HAVING sum(one) <> 0) c
			CROSS JOIN LATERAL (SELECT company_id, workspace_id FROM new_rows WHERE domain_id = c.domain_id LIMIT 1) place;
		IF EXISTS (SELECT FROM new_rows WHERE deleted_at IS NOT NULL) OR EXISTS (SELECT FROM old_rows WHERE deleted_at IS NOT NULL) THEN
			FOR extension IN SELECT * FROM strata.counted_extensions() LOOP
				EXECUTE format('
					INSERT INTO strata.recipient_counts (domain_id, company_id, workspace_id, kind, key, n)
					SELECT n.domain_id, n.company_id, n.workspace_id, ''extension'', $1, sum(CASE WHEN n.deleted_at IS NULL THEN 1 ELSE -1 END)
					FROM new_rows n JOIN old_rows o USING (domain_id, id) JOIN %s x ON x.domain_id = n.domain_id AND x.recipient_id = n.id
					WHERE (n.deleted_at IS NULL) <> (o.deleted_at IS NULL)
					GROUP BY 1, 2, 3 HAVING sum(CASE WHEN n.deleted_at IS NULL THEN 1 ELSE -1 END) <> 0', extension.relation) USING extension.name;
			END LOOP;
		END IF;
	END IF;
	RETURN NULL;
END $$;

-- Before a live recipient is taken out of the table: its enrolments go while it can still be
-- seen that it was live. The cascade comes when it is gone. Those that were deleted before,
-- such as all that are purged, are not counted any more and do not come here.
CREATE FUNCTION strata.withdraw_recipient() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
	extension record;
BEGIN
	FOR extension IN SELECT * FROM strata.counted_extensions() LOOP
		EXECUTE format('DELETE FROM %s x WHERE x.domain_id = $1 AND x.recipient_id = $2', extension.relation) USING OLD.domain_id, OLD.id;
	END LOOP;
	RETURN OLD;
END $$;

-- After each statement that enrols or withdraws, on the table of the extension whose name is
-- the argument. It locks the recipients, in the order of their ids, so that none is deleted
-- or restored by somebody who does not see the enrolment yet. One that is not there has been
-- taken out of its table by this very transaction, and was counted out by that.
CREATE FUNCTION strata.count_enrollments() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('
		WITH recipients AS (SELECT r.domain_id, r.id, r.company_id, r.workspace_id, r.deleted_at FROM strata.recipients r
			WHERE (r.domain_id, r.id) IN (SELECT domain_id, recipient_id FROM %I) ORDER BY r.domain_id, r.id FOR NO KEY UPDATE)
		INSERT INTO strata.recipient_counts (domain_id, company_id, workspace_id, kind, key, n)
		SELECT domain_id, company_id, workspace_id, ''extension'', $1, $2 * count(*) FROM recipients WHERE deleted_at IS NULL GROUP BY 1, 2, 3',
		CASE TG_OP WHEN 'INSERT' THEN 'new_rows' ELSE 'old_rows' END) USING TG_ARGV[0], CASE TG_OP WHEN 'INSERT' THEN 1 ELSE -1 END;
	RETURN NULL;
END $$;

-- The tables of extensions that are counted: those with the triggers of count_enrollments.
CREATE FUNCTION strata.counted_extensions() RETURNS TABLE (name text, relation text) LANGUAGE sql STABLE AS $$
	SELECT split_part(encode(t.tgargs, 'escape'), '\000', 1), format('%I.%I', n.nspname, c.relname)
	FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
	WHERE t.tgfoid = 'strata.count_enrollments'::regproc AND t.tgname = 'count_inserted'
	ORDER BY 1
$$;

-- Headcounts look only at those who are linked: how many, and how many persons they are.
CREATE INDEX recipients_persons ON strata.recipients (domain_id, person_id) WHERE person_id IS NOT NULL AND deleted_at IS NULL;

-- Writers wait while the recipients that are there are counted. Row-level security holds for
-- the owner of the tables too: each domain is counted as itself.
CREATE TRIGGER count_inserted AFTER INSERT ON strata.recipients
	REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION strata.count_recipients();
CREATE TRIGGER count_updated AFTER UPDATE ON strata.recipients
	REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION strata.count_recipients();
CREATE TRIGGER count_deleted AFTER DELETE ON strata.recipients
	REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION strata.count_recipients();
CREATE TRIGGER count_withdrawn BEFORE DELETE ON strata.recipients
	FOR EACH ROW WHEN (OLD.deleted_at IS NULL) EXECUTE FUNCTION strata.withdraw_recipient();
DO $$
DECLARE
	before  text := current_setting('role');
	domains uuid[];
	domain  uuid;
BEGIN
	PERFORM set_config('role', 'strata_query', true);
	SELECT array_agg(id) INTO domains FROM strata.domains;
	PERFORM set_config('role', 'strata_app', true);
	FOREACH domain IN ARRAY coalesce(domains, '{}') LOOP
		PERFORM set_config('strata.domain_id', domain::text, true);
		INSERT INTO strata.recipient_counts (domain_id, company_id, workspace_id, kind, key, n)
		SELECT domain_id, company_id, workspace_id, 'status', status, count(*) FROM strata.recipients
		WHERE domain_id = domain AND deleted_at IS NULL GROUP BY 1, 2, 3, 5;
	END LOOP;
	PERFORM set_config('strata.domain_id', '', true);
	PERFORM set_config('role', before, true);
END $$;
