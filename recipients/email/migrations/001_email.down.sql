DROP TABLE strata.recipient_email;
DROP FUNCTION strata.email_subscription_changed();
