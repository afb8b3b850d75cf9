ALTER TABLE strata.usage DROP COLUMN limit_source;
DROP INDEX strata.subscriptions_lapsing;
ALTER TABLE strata.subscriptions DROP COLUMN access;
