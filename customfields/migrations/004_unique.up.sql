-- Fields whose value no other live record of the domain may have. What is taken is kept in a
-- table of its own, by the triggers that a table of values has: an index would have to be
-- made for every key, and could not keep apart the workspaces that use the same one.
ALTER TABLE strata.custom_fields
	ADD COLUMN unique_state text   NOT NULL DEFAULT 'off' CHECK (unique_state IN ('off', 'building', 'on', 'clearing')),
	ADD COLUMN unique_run   bigint NOT NULL DEFAULT 0; -- counts how often it was turned on
CREATE INDEX custom_fields_unique ON strata.custom_fields (workspace_id) WHERE unique_state <> 'off';

CREATE TABLE strata.custom_field_uniques (
	domain_id    uuid  NOT NULL,
	slot         text  COLLATE "C" NOT NULL, -- the name that the value has in the record
	hash         bytea NOT NULL,
	company_id   uuid  NOT NULL,
	workspace_id uuid  NOT NULL,
	record_id    uuid  NOT NULL,
	PRIMARY KEY (domain_id, slot, hash)
);

ALTER TABLE strata.custom_field_uniques ENABLE ROW LEVEL SECURITY;
ALTER TABLE strata.custom_field_uniques FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON strata.custom_field_uniques TO strata_app
	USING (domain_id = (SELECT nullif(current_setting('strata.domain_id', true), '')::uuid))
	WITH CHECK (domain_id = (SELECT nullif(current_setting('strata.domain_id', true), '')::uuid));
CREATE POLICY trusted ON strata.custom_field_uniques FOR SELECT TO strata_query USING (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON strata.custom_field_uniques TO strata_app;
GRANT SELECT ON strata.custom_field_uniques TO strata_query;

-- A value can have 10,000 characters, an entry of an index some 2,700 bytes.
CREATE FUNCTION strata.unique_value_hash(value text) RETURNS bytea LANGUAGE sql STABLE PARALLEL SAFE
	RETURN substr(sha256(convert_to(value, 'UTF8')), 1, 16);

-- The trigger of a table of values, after each statement: gives back the values that records
-- lost and takes those that they got, or fails with the constraint custom_field_uniques_pkey
-- and what was taken already as JSON in DETAIL. It asks for the definitions itself, so that
-- no writer can go by old ones. Where no field is unique, one look at an index is all it does.
-- Statements over the rows are planned each time: a plan made for one row is a thousand times
-- too slow for five thousand.
CREATE FUNCTION strata.take_unique_values() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
	workspace uuid := nullif(current_setting('strata.workspace_id', true), '')::uuid;
	slots   text[];
	changed text;
	lost    record;
	wanted  bigint;
	got     bigint;
	taken   jsonb;
BEGIN
	SELECT array_agg(f.key) INTO slots FROM strata.custom_fields f WHERE f.workspace_id = workspace AND f.unique_state <> 'off';
	IF slots IS NULL THEN
		RETURN NULL;
	END IF;
	changed := CASE TG_OP
		WHEN 'INSERT' THEN
			'SELECT n.domain_id, n.id, n.company_id, n.workspace_id, s.slot, NULL AS old, CASE WHEN n.deleted_at IS NULL THEN n.custom_fields->>s.slot END AS new
			FROM new_rows n, unnest($1) s(slot)'
		WHEN 'DELETE' THEN
			'SELECT o.domain_id, o.id, o.company_id, o.workspace_id, s.slot, CASE WHEN o.deleted_at IS NULL THEN o.custom_fields->>s.slot END AS old, NULL AS new
			FROM old_rows o, unnest($1) s(slot)'
		ELSE
			'SELECT n.domain_id, n.id, n.company_id, n.workspace_id, s.slot, CASE WHEN o.deleted_at IS NULL THEN o.custom_fields->>s.slot END AS old,
				CASE WHEN n.deleted_at IS NULL THEN n.custom_fields->>s.slot END AS new
			FROM new_rows n JOIN old_rows o USING (domain_id, id), unnest($1) s(slot)
			WHERE o.custom_fields IS DISTINCT FROM n.custom_fields OR o.deleted_at IS DISTINCT FROM n.deleted_at'
		END;
	IF TG_OP <> 'INSERT' THEN
		FOR lost IN EXECUTE 'SELECT * FROM (' || changed || ') c WHERE old IS NOT NULL AND old IS DISTINCT FROM new ORDER BY slot, strata.unique_value_hash(old)' USING slots LOOP
			DELETE FROM strata.custom_field_uniques u
			WHERE u.domain_id = lost.domain_id AND u.slot = lost.slot AND u.hash = strata.unique_value_hash(lost.old) AND u.record_id = lost.id;
		END LOOP;
	END IF;
	IF TG_OP <> 'DELETE' THEN
		SELECT array_agg(f.key) INTO slots FROM strata.custom_fields f WHERE f.workspace_id = workspace AND f.unique_state IN ('building', 'on');
		EXECUTE 'WITH taken AS (SELECT * FROM (' || changed || ') c WHERE new IS NOT NULL AND new IS DISTINCT FROM old),
			entered AS (
				INSERT INTO strata.custom_field_uniques (domain_id, slot, hash, company_id, workspace_id, record_id)
				SELECT domain_id, slot, strata.unique_value_hash(new) AS hash, company_id, workspace_id, id FROM taken ORDER BY slot, hash
				ON CONFLICT DO NOTHING RETURNING 1)
			SELECT (SELECT count(*) FROM taken), (SELECT count(*) FROM entered)' INTO wanted, got USING slots;
		IF got < wanted THEN
			EXECUTE 'SELECT jsonb_agg(DISTINCT jsonb_build_object(''key'', c.slot, ''value'', left(c.new, 100))) FROM (' || changed || ') c
				JOIN strata.custom_field_uniques u ON u.domain_id = c.domain_id AND u.slot = c.slot AND u.hash = strata.unique_value_hash(c.new)
				WHERE c.new IS DISTINCT FROM c.old AND u.record_id <> c.id' INTO taken USING slots;
			RAISE EXCEPTION 'a value of a unique custom field is taken'
				USING ERRCODE = 'unique_violation', CONSTRAINT = 'custom_field_uniques_pkey', TABLE = 'custom_field_uniques', DETAIL = coalesce(taken, '[]')::text;
		END IF;
	END IF;
	RETURN NULL;
END $$;
