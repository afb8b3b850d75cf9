DROP TABLE strata.reservations;
DROP TABLE strata.usage;
DROP TABLE strata.subscriptions;
