-- Which rows the run of an operation is for, as they were when it was submitted: up to 1,000
-- ids a row, in the order in which they are worked on. first is the place of the first of
-- them, from 1. Ids are random enough that trying to compress them is a waste.
CREATE TABLE strata.run_targets (
	domain_id  uuid    NOT NULL,
	run_id     uuid    NOT NULL,
	first      bigint  NOT NULL CHECK (first > 0),
	company_id uuid    NOT NULL,
	ids        uuid[]  NOT NULL CHECK (cardinality(ids) BETWEEN 1 AND 1000),
	PRIMARY KEY (domain_id, run_id, first),
	FOREIGN KEY (domain_id, run_id) REFERENCES strata.runs (domain_id, id) ON DELETE CASCADE
);
ALTER TABLE strata.run_targets ALTER COLUMN ids SET STORAGE EXTERNAL;

-- The rows that a run could not do, by their place among its targets. message is for
-- everybody to read.
CREATE TABLE strata.run_failures (
	domain_id  uuid   NOT NULL,
	run_id     uuid   NOT NULL,
	seq        bigint NOT NULL,
	company_id uuid   NOT NULL,
	target_id  uuid   NOT NULL,
	code       text   NOT NULL,
	message    text   NOT NULL,
	PRIMARY KEY (domain_id, run_id, seq),
	FOREIGN KEY (domain_id, run_id) REFERENCES strata.runs (domain_id, id) ON DELETE CASCADE
);

ALTER TABLE strata.run_targets ENABLE ROW LEVEL SECURITY;
ALTER TABLE strata.run_targets FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON strata.run_targets TO strata_app
	USING (domain_id = (SELECT nullif(current_setting('strata.domain_id', true), '')::uuid))
	WITH CHECK (domain_id = (SELECT nullif(current_setting('strata.domain_id', true), '')::uuid));
CREATE POLICY trusted ON strata.run_targets FOR SELECT TO strata_query USING (true);

ALTER TABLE strata.run_failures ENABLE ROW LEVEL SECURITY;
ALTER TABLE strata.run_failures FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON strata.run_failures TO strata_app
	USING (domain_id = (SELECT nullif(current_setting('strata.domain_id', true), '')::uuid))
	WITH CHECK (domain_id = (SELECT nullif(current_setting('strata.domain_id', true), '')::uuid));
CREATE POLICY trusted ON strata.run_failures FOR SELECT TO strata_query USING (true);

GRANT SELECT, INSERT, UPDATE, DELETE ON strata.run_targets, strata.run_failures TO strata_app;
GRANT SELECT ON strata.run_targets, strata.run_failures TO strata_query;
