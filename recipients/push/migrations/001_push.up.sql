-- One row for each recipient to whom the push product writes.
CREATE TABLE strata.recipient_push (
	domain_id    uuid        NOT NULL,
	recipient_id uuid        NOT NULL,
	company_id   uuid        NOT NULL,
	workspace_id uuid        NOT NULL,
	muted        boolean     NOT NULL DEFAULT false,
	devices      bigint      NOT NULL DEFAULT 0 CHECK (devices >= 0),
	last_seen_at timestamptz,
	version      bigint      NOT NULL DEFAULT 1,
	created_at   timestamptz NOT NULL DEFAULT now(),
	updated_at   timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (domain_id, recipient_id),
	FOREIGN KEY (domain_id, recipient_id) REFERENCES strata.recipients (domain_id, id) ON DELETE CASCADE
);

-- The devices of a recipient; they go with its row. A token is of one recipient of a domain.
CREATE TABLE strata.recipient_push_devices (
	domain_id    uuid        NOT NULL,
	token        text        COLLATE "C" NOT NULL CHECK (token <> '' AND octet_length(token) <= 2000),
	recipient_id uuid        NOT NULL,
	company_id   uuid        NOT NULL,
	workspace_id uuid        NOT NULL,
	platform     text        NOT NULL CHECK (platform IN ('ios', 'android', 'web')),
	created_at   timestamptz NOT NULL DEFAULT now(),
	last_seen_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (domain_id, token),
	FOREIGN KEY (domain_id, recipient_id) REFERENCES strata.recipient_push (domain_id, recipient_id) ON DELETE CASCADE
);
CREATE INDEX recipient_push_devices_recipient ON strata.recipient_push_devices (domain_id, recipient_id, last_seen_at);

ALTER TABLE strata.recipient_push ENABLE ROW LEVEL SECURITY;
ALTER TABLE strata.recipient_push FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON strata.recipient_push TO strata_app
	USING (domain_id = (SELECT nullif(current_setting('strata.domain_id', true), '')::uuid))
	WITH CHECK (domain_id = (SELECT nullif(current_setting('strata.domain_id', true), '')::uuid));
CREATE POLICY trusted ON strata.recipient_push FOR SELECT TO strata_query USING (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON strata.recipient_push TO strata_app;
GRANT SELECT ON strata.recipient_push TO strata_query;

ALTER TABLE strata.recipient_push_devices ENABLE ROW LEVEL SECURITY;
ALTER TABLE strata.recipient_push_devices FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON strata.recipient_push_devices TO strata_app
	USING (domain_id = (SELECT nullif(current_setting('strata.domain_id', true), '')::uuid))
	WITH CHECK (domain_id = (SELECT nullif(current_setting('strata.domain_id', true), '')::uuid));
CREATE POLICY trusted ON strata.recipient_push_devices FOR SELECT TO strata_query USING (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON strata.recipient_push_devices TO strata_app;
GRANT SELECT ON strata.recipient_push_devices TO strata_query;

CREATE TRIGGER count_inserted AFTER INSERT ON strata.recipient_push
	REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION strata.count_enrollments('push');
CREATE TRIGGER count_deleted AFTER DELETE ON strata.recipient_push
	REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION strata.count_enrollments('push');

-- What is said of the devices is what they say, whoever writes it. A move of the domain, which
-- changes whose the rows are, does not count them.
CREATE FUNCTION strata.push_count_devices() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	SELECT count(*), max(d.last_seen_at) INTO NEW.devices, NEW.last_seen_at
	FROM strata.recipient_push_devices d WHERE d.domain_id = NEW.domain_id AND d.recipient_id = NEW.recipient_id;
	RETURN NEW;
END $$;
CREATE TRIGGER count_devices BEFORE INSERT OR UPDATE OF devices, last_seen_at ON strata.recipient_push
	FOR EACH ROW EXECUTE FUNCTION strata.push_count_devices();
