// Package migrate applies the library's migrations: one line of numbered files per
// package, each line with its own version, all of them under one lock, so that ten
// processes that start at once apply each migration once.
package migrate

import (
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Line is the migrations of one package, in the folder "migrations" of Files:
// NNN_name.up.sql with its NNN_name.down.sql. They are written against the schema
// "strata". A first line "-- strata:no-transaction" runs a file outside a transaction
// (CREATE INDEX CONCURRENTLY); a line "-- strata:compatible-from N" in an up file says
// that from this version on only libraries that know version N or later may run.
type Line struct {
	Name  string
	Files fs.FS
	// DomainTables are the tables with rows of domains, without their schema: what goes
	// through all rows of a domain, such as its move, finds them in tenant_tables.
	DomainTables []string
}

// migration is one numbered step of a line.
type migration struct {
	version        int64
	name           string
	up, down       string
	noTransaction  bool
	compatibleFrom int64 // 0: as the version before
}

var (
	fileName       = regexp.MustCompile(`^(\d{3})_([a-z0-9_]+)\.(up|down)\.sql$`)
	compatibleFrom = regexp.MustCompile(`(?m)^-- strata:compatible-from (\d+)$`)
)

const noTransaction = "-- strata:no-transaction"

// load reads and checks the files of a line: numbered from 1 without a gap, each with
// both directions.
func (l Line) load(rewrite func(string) string) ([]migration, error) {
	entries, err := fs.ReadDir(l.Files, "migrations")
	if err != nil {
		return nil, fmt.Errorf("migrate %s: %w", l.Name, err)
	}
	byVersion := map[int64]*migration{}
	for _, e := range entries {
		m := fileName.FindStringSubmatch(e.Name())
		if m == nil {
			return nil, fmt.Errorf("migrate %s: file %s is not named NNN_name.up.sql or NNN_name.down.sql", l.Name, e.Name())
		}
		body, err := fs.ReadFile(l.Files, path.Join("migrations", e.Name()))
		if err != nil {
			return nil, fmt.Errorf("migrate %s: %w", l.Name, err)
		}
		version, _ := strconv.ParseInt(m[1], 10, 64)
		step := byVersion[version]
		if step == nil {
			step = &migration{version: version, name: m[2]}
			byVersion[version] = step
		}
		if step.name != m[2] {
			return nil, fmt.Errorf("migrate %s: version %d has two names, %s and %s", l.Name, version, step.name, m[2])
		}
		text := rewrite(string(body))
		if m[3] == "down" {
			step.down = text
			continue
		}
		step.up = text
		step.noTransaction = strings.HasPrefix(text, noTransaction)
		if c := compatibleFrom.FindStringSubmatch(text); c != nil {
			step.compatibleFrom, _ = strconv.ParseInt(c[1], 10, 64)
		}
	}
	steps := make([]migration, 0, len(byVersion))
	for _, s := range byVersion {
		steps = append(steps, *s)
	}
	slices.SortFunc(steps, func(a, b migration) int { return int(a.version - b.version) })
	for i, s := range steps {
		if s.version != int64(i+1) {
			return nil, fmt.Errorf("migrate %s: version %d is missing", l.Name, i+1)
		}
		if s.up == "" || s.down == "" {
			return nil, fmt.Errorf("migrate %s: version %d needs both an up and a down file", l.Name, s.version)
		}
	}
	return steps, nil
}
