UPDATE strata.recipients SET person_id = NULL WHERE person_id IS NOT NULL;
DROP TABLE strata.person_matches;
DROP TABLE strata.person_keys;
DROP TABLE strata.person_suggestions;
DROP TABLE strata.person_links;
DROP TABLE strata.persons;
