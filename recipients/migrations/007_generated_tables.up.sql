-- Which tables the library has made: leaving Strata (strata.Unmigrate) drops those, and only
-- detaches what products have made themselves.
ALTER TABLE strata.recipient_extensions ADD COLUMN generated boolean NOT NULL DEFAULT false;
