DROP TABLE strata.roles, strata.members;
