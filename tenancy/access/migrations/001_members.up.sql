-- Who is a member of a company or of one of its workspaces. Whoever writes here first takes
-- the lock on the company's row and gives that row a new version: so changes of one company
-- come one after the other, and what is remembered of it elsewhere is known to be old.
CREATE TABLE strata.members (
	company_id   uuid        NOT NULL REFERENCES strata.companies (id),
	id           uuid        NOT NULL,
	workspace_id uuid, -- NULL: a member of the company, and so of every workspace
	actor_id     text        NOT NULL CHECK (actor_id <> '' AND length(actor_id) <= 200), -- the product's own id
	email        text        CHECK (length(email) <= 320),
	role         text        NOT NULL CHECK (role <> '' AND length(role) <= 63), -- a built-in one, or the key of one in strata.roles
	created_at   timestamptz NOT NULL DEFAULT now(),
	created_by   text        NOT NULL, -- the actor's id; empty for the system
	updated_at   timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (company_id, id),
	FOREIGN KEY (company_id, workspace_id) REFERENCES strata.workspaces (company_id, id)
);
CREATE UNIQUE INDEX members_actor ON strata.members (company_id, actor_id, workspace_id) NULLS NOT DISTINCT;
CREATE INDEX members_workspace ON strata.members (company_id, workspace_id, id);

-- Roles that a company has made for itself. A permission that a process does not know is
-- another product's: it is kept and ignored.
CREATE TABLE strata.roles (
	company_id  uuid        NOT NULL REFERENCES strata.companies (id),
	key         text        NOT NULL CHECK (key ~ '^[a-z][a-z0-9_]{0,62}$'),
	name        text        NOT NULL CHECK (name <> '' AND length(name) <= 200),
	level       text        NOT NULL CHECK (level IN ('company', 'workspace')),
	permissions text[]      NOT NULL,
	created_at  timestamptz NOT NULL DEFAULT now(),
	created_by  text        NOT NULL,
	updated_at  timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (company_id, key)
);

ALTER TABLE strata.members ENABLE ROW LEVEL SECURITY;
ALTER TABLE strata.members FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON strata.members TO strata_app
	USING (company_id = (SELECT nullif(current_setting('strata.company_id', true), '')::uuid))
	WITH CHECK (company_id = (SELECT nullif(current_setting('strata.company_id', true), '')::uuid));
CREATE POLICY trusted ON strata.members FOR SELECT TO strata_query USING (true);

ALTER TABLE strata.roles ENABLE ROW LEVEL SECURITY;
ALTER TABLE strata.roles FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON strata.roles TO strata_app
	USING (company_id = (SELECT nullif(current_setting('strata.company_id', true), '')::uuid))
	WITH CHECK (company_id = (SELECT nullif(current_setting('strata.company_id', true), '')::uuid));
CREATE POLICY trusted ON strata.roles FOR SELECT TO strata_query USING (true);

GRANT SELECT, INSERT, UPDATE, DELETE ON strata.members, strata.roles TO strata_app;
GRANT SELECT ON strata.members, strata.roles TO strata_query;
