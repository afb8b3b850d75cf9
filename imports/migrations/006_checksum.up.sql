-- The SHA-256 of the file, once it was read to the end: by it the same file is known again.
ALTER TABLE strata.imports ADD COLUMN sha256 bytea;
CREATE INDEX imports_sha256 ON strata.imports (domain_id, sha256) WHERE sha256 IS NOT NULL;
