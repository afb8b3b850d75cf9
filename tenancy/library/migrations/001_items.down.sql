DROP TABLE strata.library_items;
