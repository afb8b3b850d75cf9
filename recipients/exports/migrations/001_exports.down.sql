DROP TABLE strata.recipient_exports;
