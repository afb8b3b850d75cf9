DROP TABLE strata.moves;
