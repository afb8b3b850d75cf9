DROP TABLE strata.settings;
