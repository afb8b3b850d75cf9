package customfields

import (
	"embed"

	"github.com/stratakit/strata/internal/migrate"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrations returns the package's migrations, for strata.Migrate.
func Migrations() migrate.Line {
	return migrate.Line{Name: "customfields", Files: migrations, DomainTables: []string{"custom_field_uniques"}}
}
