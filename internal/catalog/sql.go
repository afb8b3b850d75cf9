package catalog

// uuids is an array of the types that are uuid: itself, and domains over it.
const uuids = `ARRAY(SELECT t.oid FROM pg_type t WHERE 'uuid'::regtype IN (t.oid, t.typbasetype))`

// tablesSQL finds the tables with rows of tenants. $1 is Strata's schema, $2 the tenant
// columns. A partition that nobody granted to strata_app can only be reached through its
// parent, whose policies count then. What an extension keeps in a schema of its own, such as
// the chunks of TimescaleDB, which have the grants of their table, is an extension's affair.
const tablesSQL = `
WITH app AS (SELECT oid FROM pg_roles WHERE rolname = 'strata_app'),
candidates AS (
	SELECT c.oid, n.nspname, c.relname, c.relowner, c.relrowsecurity, c.relforcerowsecurity, c.relispartition, c.relkind = 'f' AS remote,
		has_table_privilege('strata_app', c.oid, 'SELECT, INSERT, UPDATE, DELETE')
			OR has_any_column_privilege('strata_app', c.oid, 'SELECT, INSERT, UPDATE') AS granted,
		ARRAY(SELECT a.attname::text FROM pg_attribute a
			WHERE a.attrelid = c.oid AND a.attname = ANY ($2) AND a.atttypid = ANY (` + uuids + `) AND NOT a.attisdropped
			ORDER BY array_position($2::text[], a.attname::text)) AS columns,
		ARRAY(SELECT a.attname::text FROM pg_attribute a
			WHERE a.attrelid = c.oid AND a.attname = ANY ($2) AND a.atttypid = ANY (` + uuids + `) AND a.attnotnull AND NOT a.attisdropped
			ORDER BY array_position($2::text[], a.attname::text)) AS not_null
	FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
	WHERE c.relkind IN ('r', 'p', 'f') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
		AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_namespace'::regclass AND d.objid = n.oid AND d.deptype = 'e')
)
SELECT c.oid, c.nspname::text, c.relname::text, pg_get_userbyid(c.relowner)::text, pg_has_role(app.oid, c.relowner, 'MEMBER'),
	c.relrowsecurity, c.relforcerowsecurity, c.remote, c.columns, c.not_null,
	(SELECT a.attname::text FROM pg_index i JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0] WHERE i.indrelid = c.oid AND i.indisprimary),
	ARRAY(SELECT privilege || ' to ' || role FROM (VALUES
			('strata_app', 'TRUNCATE'), ('strata_app', 'REFERENCES'), ('strata_app', 'TRIGGER'),
			('strata_query', 'INSERT'), ('strata_query', 'UPDATE'), ('strata_query', 'DELETE'), ('strata_query', 'TRUNCATE'), ('strata_query', 'REFERENCES'), ('strata_query', 'TRIGGER')
		) AS x (role, privilege) WHERE to_regrole(role) IS NOT NULL
			AND CASE WHEN privilege IN ('INSERT', 'UPDATE', 'REFERENCES') THEN has_any_column_privilege(role, c.oid, privilege) ELSE has_table_privilege(role, c.oid, privilege) END)
FROM candidates c, app
WHERE (c.columns <> '{}' OR c.nspname = $1 AND c.relname = 'companies') AND (c.granted OR c.nspname = $1 AND NOT c.relispartition)
ORDER BY c.nspname, c.relname`

// policiesSQL lists the policies that strata_app is subject to: its own, those of a role
// whose rights it inherits, and those for everybody.
const policiesSQL = `
SELECT p.polrelid, p.polname::text, 0::oid = ANY (p.polroles), p.polpermissive, p.polcmd::text,
	pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)
FROM pg_policy p, (SELECT oid FROM pg_roles WHERE rolname = 'strata_app') app
WHERE p.polrelid = ANY ($1)
	AND EXISTS (SELECT FROM unnest(p.polroles) r WHERE CASE WHEN r = 0 THEN true ELSE pg_has_role(app.oid, r, 'USAGE') END)
ORDER BY p.polrelid, p.polname`

const indexesSQL = `
SELECT i.indrelid, x.relname::text,
	ARRAY(SELECT coalesce(a.attname::text, '') FROM unnest(i.indkey::int2[]) WITH ORDINALITY k (attnum, n)
		LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum AND k.attnum > 0
		WHERE k.n <= i.indnkeyatts ORDER BY k.n),
	(SELECT bool_and(coalesce(a.atttypid = 'uuid'::regtype, false)) FROM unnest(i.indkey::int2[]) WITH ORDINALITY k (attnum, n)
		LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum AND k.attnum > 0 WHERE k.n <= i.indnkeyatts),
	coalesce(obj_description(x.oid, 'pg_class'), ''), coalesce(pg_get_expr(i.indpred, i.indrelid), '')
FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
WHERE i.indrelid = ANY ($1) AND (i.indisunique OR i.indisexclusion)
ORDER BY i.indrelid, x.relname`

// foreignKeysSQL leaves out the copies that PostgreSQL makes for partitions.
const foreignKeysSQL = `
SELECT f.conrelid, f.conname::text, f.confrelid, n.nspname || '.' || p.relname,
	ARRAY(SELECT a.attname::text FROM unnest(f.conkey) WITH ORDINALITY k (attnum, n) JOIN pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = k.attnum ORDER BY k.n),
	ARRAY(SELECT a.attname::text FROM unnest(f.confkey) WITH ORDINALITY k (attnum, n) JOIN pg_attribute a ON a.attrelid = f.confrelid AND a.attnum = k.attnum ORDER BY k.n),
	f.confdeltype::text, f.condeferrable
FROM pg_constraint f JOIN pg_class p ON p.oid = f.confrelid JOIN pg_namespace n ON n.oid = p.relnamespace
WHERE f.contype = 'f' AND f.conrelid = ANY ($1) AND f.confrelid = ANY ($1) AND f.conparentid = 0
ORDER BY f.conrelid, f.conname`

// viewsSQL follows each view that strata_app may use down to the tables with rows of tenants,
// also those that are not granted to it. Each view reads what stands in it with the rights of
// its owner or of the reader, whatever the view above it does.
const viewsSQL = `
WITH RECURSIVE views AS (
	SELECT c.oid, c.relkind = 'm' AS materialized, n.nspname::text AS schema, c.relname::text AS name,
		CASE WHEN c.relkind = 'm' OR NOT coalesce((SELECT option_value::boolean FROM pg_options_to_table(c.reloptions) WHERE option_name = 'security_invoker'), false)
			THEN n.nspname || '.' || c.relname ELSE '' END AS definer
	FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
	WHERE c.relkind IN ('v', 'm') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
), below AS (
	SELECT DISTINCT v.oid AS view, d.refobjid AS relation
	FROM views v JOIN pg_rewrite r ON r.ev_class = v.oid
		JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> v.oid
), reached AS (
	SELECT v.oid AS top, v.oid AS relation, v.definer, v.materialized FROM views v
	WHERE has_table_privilege('strata_app', v.oid, 'SELECT, INSERT, UPDATE, DELETE') OR has_any_column_privilege('strata_app', v.oid, 'SELECT, INSERT, UPDATE')
	UNION
	SELECT t.top, b.relation, coalesce(v.definer, t.definer), t.materialized OR coalesce(v.materialized, false)
	FROM reached t JOIN below b ON b.view = t.relation LEFT JOIN views v ON v.oid = b.relation
)
SELECT v.oid, v.schema, v.name, bool_or(t.materialized), c.oid, n.nspname || '.' || c.relname, max(t.definer)
FROM reached t JOIN views v ON v.oid = t.top JOIN pg_class c ON c.oid = t.relation JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE t.relation = ANY ($1) OR c.relkind IN ('r', 'p', 'f') AND EXISTS (
	SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = ANY ($2) AND a.atttypid = ANY (` + uuids + `) AND NOT a.attisdropped)
GROUP BY 1, 2, 3, 5, 6
ORDER BY 2, 3, 6`

// functionsSQL lists what strata_app may call that runs as somebody whom no policy binds, or
// to whom one shows every row of a table of $1.
const functionsSQL = `
SELECT p.oid::regprocedure::text, r.rolname::text
FROM pg_proc p JOIN pg_roles r ON r.oid = p.proowner JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE p.prosecdef AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
	AND (r.rolsuper OR r.rolbypassrls OR EXISTS (
		SELECT FROM pg_policy s, unnest(s.polroles) role
		WHERE s.polrelid = ANY ($1) AND s.polpermissive AND pg_get_expr(s.polqual, s.polrelid) = 'true' AND role <> 0 AND pg_has_role(r.oid, role, 'USAGE')))
	AND has_function_privilege('strata_app', p.oid, 'EXECUTE') AND has_schema_privilege('strata_app', n.oid, 'USAGE')
	AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
ORDER BY 1`

// openSQL finds tables that strata_app may use whose rows belong to rows of tenants, by a
// foreign key or because a table with rows of tenants inherits from them, but which have
// neither a column of $2 nor row-level security: everybody sees them all. Whose comment
// begins with "global:" is meant to be so.
const openSQL = `
WITH tenants AS (
	SELECT unnest($1::oid[]) AS oid UNION
	SELECT a.attrelid FROM pg_attribute a WHERE a.attname = ANY ($2) AND a.atttypid = ANY (` + uuids + `) AND NOT a.attisdropped
), links AS (
	SELECT k.conrelid AS relation, k.conname::text AS name, k.confrelid AS other FROM pg_constraint k WHERE k.contype = 'f' AND k.conparentid = 0
	UNION ALL SELECT i.inhparent, '', i.inhrelid FROM pg_inherits i
)
SELECT n.nspname::text, c.relname::text, l.name, pn.nspname || '.' || p.relname
FROM links l JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace n ON n.oid = c.relnamespace
	JOIN pg_class p ON p.oid = l.other JOIN pg_namespace pn ON pn.oid = p.relnamespace
WHERE c.relkind IN ('r', 'p') AND NOT c.relrowsecurity AND n.nspname !~ '^pg_'
	AND l.other IN (SELECT oid FROM tenants) AND l.relation NOT IN (SELECT oid FROM tenants)
	AND (has_table_privilege('strata_app', c.oid, 'SELECT, INSERT, UPDATE, DELETE') OR has_any_column_privilege('strata_app', c.oid, 'SELECT, INSERT, UPDATE'))
	AND coalesce(obj_description(c.oid, 'pg_class'), '') NOT LIKE 'global:%'
ORDER BY 1, 2, 3, 4`

const generatedSQL = `
SELECT a.attrelid, a.attname::text, pg_get_expr(d.adbin, d.adrelid)
FROM pg_attribute a JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = ANY ($1) AND a.attgenerated <> '' AND a.atttypid = ANY (` + uuids + `) AND NOT a.attisdropped`
