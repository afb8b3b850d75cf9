DROP TABLE strata.domain_checks;
DROP INDEX strata.domains_verified_name;
ALTER TABLE strata.domains DROP COLUMN verified_at, DROP COLUMN verification_token;
