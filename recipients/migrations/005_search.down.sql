DROP INDEX IF EXISTS strata.recipients_search;
DROP FUNCTION strata.search_matches(text, text);
DROP FUNCTION strata.search_pattern(text);
DROP FUNCTION strata.search_needle(text);
DROP FUNCTION strata.search_text(text);
DROP INDEX strata.recipients_live;
