DROP TABLE strata.idempotency_keys;
