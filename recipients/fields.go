package recipients

import "github.com/stratakit/strata/customfields/lifecycle"

// FieldTables are the tables in which this package keeps values of custom fields.
func FieldTables() []lifecycle.Table { return []lifecycle.Table{{Name: "recipients"}} }
