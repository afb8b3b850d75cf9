ALTER TABLE strata.recipient_extensions DROP COLUMN generated;
