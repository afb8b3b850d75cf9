DROP TABLE strata.recipient_push_devices;
DROP TABLE strata.recipient_push;
DROP FUNCTION strata.push_count_devices();
