-- Whose a run is: its domain's, or that of the workspace or company above it, whose work is
-- done in one of its domains. The users of that domain are not to see or to stop it.
ALTER TABLE strata.runs ADD COLUMN level text NOT NULL DEFAULT 'domain' CHECK (level IN ('domain', 'workspace', 'company'));
CREATE INDEX runs_above ON strata.runs (company_id, id) WHERE level <> 'domain';
