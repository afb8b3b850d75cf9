package recipients

import (
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/tenancy"
)

// countTriggersSQL returns the statements that make the rows of an extension's table counted,
// also when it has been counted before. They are run by the owner of the table; rows that are
// there already are counted by the next Reconcile.
func countTriggersSQL(table tenancy.Table, extension string) string {
	name := pgx.Identifier{extension}.Sanitize()
	name = "'" + name[1:len(name)-1] + "'" // names are letters, digits and underscores
	return fmt.Sprintf(`CREATE OR REPLACE TRIGGER count_inserted AFTER INSERT ON %[1]s
	REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION strata.count_enrollments(%[2]s);
CREATE OR REPLACE TRIGGER count_deleted AFTER DELETE ON %[1]s
	REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION strata.count_enrollments(%[2]s);`, table, name)
}
