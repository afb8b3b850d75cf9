package bulk

import (
	"embed"

	"github.com/stratakit/strata/internal/migrate"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrations returns the package's migrations, for strata.Migrate.
func Migrations() migrate.Line {
	return migrate.Line{Name: "bulk", Files: migrations, DomainTables: []string{"runs", "run_batches", "run_attempts", "run_targets", "run_failures"}}
}
