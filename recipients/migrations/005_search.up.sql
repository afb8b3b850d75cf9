-- Pages of a list, and their totals, without reading the rows that are skipped or counted.
CREATE INDEX recipients_live ON strata.recipients (domain_id, id) WHERE deleted_at IS NULL;

-- Lists search names without regard to case and accents. What is compared is this: small
-- letters, a space before the first word, and without the accents that NFKD takes off a
-- letter. In a database whose locale is C, only letters of ASCII have two cases.
CREATE FUNCTION strata.search_text(name text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
	SELECT ' ' || CASE WHEN octet_length(name) = length(name) THEN lower(name)
		ELSE lower(regexp_replace(normalize(name, NFKD), '[\u0300-\u036f]', '', 'g')) END
$$;

-- What is looked for in search_text: up to two characters where a word begins, more of
-- them anywhere. In plpgsql, which PostgreSQL plans once a session; a function in SQL would be
-- planned for every search.
CREATE FUNCTION strata.search_needle(needle text) RETURNS text LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
	looked text := strata.search_text(needle);
BEGIN
	RETURN CASE WHEN length(looked) > 3 THEN substr(looked, 2) ELSE looked END;
END $$;

-- The same for LIKE, and NULL for what has no three letters together, and does not show where
-- a word begins or ends: a trigram index has nothing to look up for it, and LIKE would read
-- all of the index.
CREATE FUNCTION strata.search_pattern(needle text) RETURNS text LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
	looked text := strata.search_needle(needle);
BEGIN
	RETURN CASE WHEN looked ~ '[[:alnum:]]{3}|[^[:alnum:]][[:alnum:]]|[[:alnum:]]{2}[^[:alnum:]]'
		THEN '%' || replace(replace(replace(looked, '\', '\\'), '%', '\%'), '_', '\_') || '%' END;
END $$;

-- PostgreSQL puts the body in the place of the call and decides between its two forms when it
-- plans.
CREATE FUNCTION strata.search_matches(name text, needle text) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
	SELECT CASE WHEN strata.search_pattern(needle) IS NULL THEN strpos(strata.search_text(name), strata.search_needle(needle)) > 0
		ELSE strata.search_text(name) LIKE strata.search_pattern(needle) END
$$;

-- pg_trgm is marked as trusted, like btree_gin. Where the login may not create it, a search
-- reads the names of the domain.
DO $$
BEGIN
	CREATE EXTENSION IF NOT EXISTS pg_trgm;
	BEGIN
		CREATE INDEX recipients_search ON strata.recipients USING gin (domain_id, strata.search_text(name) gin_trgm_ops);
	EXCEPTION WHEN undefined_object THEN
		RAISE NOTICE 'btree_gin cannot be had (%): searches use an index without the domain', SQLERRM;
		CREATE INDEX recipients_search ON strata.recipients USING gin (strata.search_text(name) gin_trgm_ops);
	END;
EXCEPTION WHEN insufficient_privilege OR undefined_file OR feature_not_supported OR undefined_object THEN
	RAISE NOTICE 'pg_trgm cannot be had (%): searches read the domain', SQLERRM;
END $$;
