DROP TABLE strata.person_credits;
DROP TABLE strata.person_completions;
