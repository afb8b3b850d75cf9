DROP TABLE strata.domains;
DROP TABLE strata.workspaces;
DROP TABLE strata.companies;
DROP SEQUENCE strata.context_versions;
