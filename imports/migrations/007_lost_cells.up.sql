-- Of a row that cannot be imported: the columns, the first being 1, whose cells raw has not as the
-- file has them. What a report shows there, unchanged, is no correction.
ALTER TABLE strata.import_rows ADD COLUMN lost integer[];
