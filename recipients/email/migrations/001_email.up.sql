-- One row for each recipient to whom the email product writes. Indexes are over what is asked
-- for by a domain: who is subscribed, and who bounces.
CREATE TABLE strata.recipient_email (
	domain_id               uuid        NOT NULL,
	recipient_id            uuid        NOT NULL,
	company_id              uuid        NOT NULL,
	workspace_id            uuid        NOT NULL,
	subscription_status     text        NOT NULL DEFAULT 'pending' CHECK (subscription_status IN ('pending', 'subscribed', 'unsubscribed')),
	subscription_changed_at timestamptz NOT NULL DEFAULT now(),
	hard_bounces            bigint      NOT NULL DEFAULT 0 CHECK (hard_bounces >= 0),
	soft_bounces            bigint      NOT NULL DEFAULT 0 CHECK (soft_bounces >= 0),
	last_bounced_at         timestamptz,
	last_bounce_kind        text        CHECK (last_bounce_kind IN ('hard', 'soft')),
	last_sent_at            timestamptz,
	last_opened_at          timestamptz,
	last_clicked_at         timestamptz,
	version                 bigint      NOT NULL DEFAULT 1,
	created_at              timestamptz NOT NULL DEFAULT now(),
	updated_at              timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (domain_id, recipient_id),
	FOREIGN KEY (domain_id, recipient_id) REFERENCES strata.recipients (domain_id, id) ON DELETE CASCADE,
	CHECK ((last_bounced_at IS NULL) = (last_bounce_kind IS NULL))
);
CREATE INDEX recipient_email_subscription ON strata.recipient_email (domain_id, subscription_status);

ALTER TABLE strata.recipient_email ENABLE ROW LEVEL SECURITY;
ALTER TABLE strata.recipient_email FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON strata.recipient_email TO strata_app
	USING (domain_id = (SELECT nullif(current_setting('strata.domain_id', true), '')::uuid))
	WITH CHECK (domain_id = (SELECT nullif(current_setting('strata.domain_id', true), '')::uuid));
CREATE POLICY trusted ON strata.recipient_email FOR SELECT TO strata_query USING (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON strata.recipient_email TO strata_app;
GRANT SELECT ON strata.recipient_email TO strata_query;

-- A subscription that changes, and does not say when, changes now: whichever way it is written.
CREATE FUNCTION strata.email_subscription_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.subscription_changed_at IS NULL OR NEW.subscription_changed_at = OLD.subscription_changed_at THEN
		NEW.subscription_changed_at := greatest(now(), OLD.subscription_changed_at + interval '1 microsecond');
	END IF;
	RETURN NEW;
END $$;
CREATE TRIGGER subscription_changed BEFORE UPDATE ON strata.recipient_email
	FOR EACH ROW WHEN (NEW.subscription_status <> OLD.subscription_status) EXECUTE FUNCTION strata.email_subscription_changed();

CREATE TRIGGER count_inserted AFTER INSERT ON strata.recipient_email
	REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION strata.count_enrollments('email');
CREATE TRIGGER count_deleted AFTER DELETE ON strata.recipient_email
	REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION strata.count_enrollments('email');
