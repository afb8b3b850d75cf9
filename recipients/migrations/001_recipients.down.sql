DROP TABLE strata.recipients;
