DROP TABLE strata.recipient_extensions;
