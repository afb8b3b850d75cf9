package catalog

import (
	"regexp"

	"github.com/jackc/pgx/v5"
)

var plainName = regexp.MustCompile(`^[a-z_][a-z0-9_]*$`)

// readable is a name as a person writes it, quoted only where it has capitals and the like:
// a message must be fit to be pasted into psql.
func readable(name string) string {
	if plainName.MatchString(name) {
		return name
	}
	return pgx.Identifier{name}.Sanitize()
}
