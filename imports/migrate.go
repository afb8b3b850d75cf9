package imports

import (
	"embed"

	"github.com/stratakit/strata/internal/migrate"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrations returns the package's migrations, for strata.Migrate.
func Migrations() migrate.Line {
	return migrate.Line{Name: "imports", Files: migrations, DomainTables: []string{"imports", "import_rows", "import_changes"}}
}
