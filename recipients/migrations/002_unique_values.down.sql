DROP TRIGGER unique_values_inserted ON strata.recipients;
DROP TRIGGER unique_values_updated ON strata.recipients;
DROP TRIGGER unique_values_deleted ON strata.recipients;
