package backends

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"sort"
	"strconv"
)

// binaries is a bin directory of PostgreSQL.
type binaries struct {
	dir   string
	major int
}

// findBinaries returns what is there in the order to try, and why others are not taken.
func findBinaries(ctx context.Context) (found []binaries, reasons []string) {
	var dirs []string
	if p, err := exec.LookPath("postgres"); err == nil {
		if real, err := filepath.EvalSymlinks(p); err == nil {
			dirs = append(dirs, filepath.Dir(real))
		}
	}
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/local/pgsql/bin",
		"/opt/homebrew/opt/postgresql@*/bin", "/usr/local/opt/postgresql@*/bin",
		"/Applications/Postgres.app/Contents/Versions/*/bin",
	} {
		match, err := filepath.Glob(pattern)
		if err != nil {
			continue
		}
		sort.Slice(match, func(i, j int) bool { return pathVersion(match[i]) > pathVersion(match[j]) })
		dirs = append(dirs, match...)
	}
	seen := map[string]bool{}
	for _, dir := range dirs {
		if seen[dir] {
			continue
		}
		seen[dir] = true
		b, err := openBinaries(ctx, dir)
		if err != nil {
			reasons = append(reasons, err.Error())
			continue
		}
		found = append(found, b)
	}
	return found, reasons
}

var digits = regexp.MustCompile(`\d+`)

// pathVersion is the last number in a directory's name: the major version.
func pathVersion(dir string) int {
	all := digits.FindAllString(dir, -1)
	if len(all) == 0 {
		return 0
	}
	n, err := strconv.Atoi(all[len(all)-1])
	if err != nil {
		return 0
	}
	return n
}

func openBinaries(ctx context.Context, dir string) (binaries, error) {
	for _, name := range []string{"postgres", "initdb"} {
		if _, err := exec.LookPath(filepath.Join(dir, name)); err != nil {
			return binaries{}, fmt.Errorf("%s has no %s", dir, name)
		}
	}
	out, err := exec.CommandContext(ctx, filepath.Join(dir, "postgres"), "--version").Output()
	if err != nil {
		return binaries{}, fmt.Errorf("%s/postgres --version: %w", dir, err)
	}
	major, err := strconv.Atoi(digits.FindString(string(out)))
	if err != nil {
		return binaries{}, fmt.Errorf("%s/postgres --version says %q", dir, out)
	}
	if major*10000 < minPostgres {
		return binaries{}, fmt.Errorf("%s is PostgreSQL %d, older than 15", dir, major)
	}
	return binaries{dir: dir, major: major}, nil
}
