package recipients

import "github.com/stratakit/strata/tenancy"

// CountTriggersSQL is countTriggersSQL, for tables that tests make.
func CountTriggersSQL(table tenancy.Table, extension string) string {
	return countTriggersSQL(table, extension)
}
