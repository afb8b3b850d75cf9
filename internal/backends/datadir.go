package backends

import (
	"fmt"
	"os"
	"path/filepath"
)

// DefaultDataDir returns, and makes, a directory for Options.DataDir that the user who
// runs the servers can enter: below the user's cache directory, or for root, whose home is
// closed to others, in /var/tmp. Each name has its own; it is part of a path.
func DefaultDataDir(name string) (string, error) {
	u, err := findServerUser()
	if err != nil {
		return "", err
	}
	return sharedDir(u, "strata-"+name)
}

// sharedDir is a directory that only we write and that the servers' user can enter.
func sharedDir(u *serverUser, name string) (string, error) {
	base, err := os.UserCacheDir()
	if err != nil || u.canEnter(filepath.Join(base, "x")) != nil {
		base, name = "/var/tmp", fmt.Sprintf("%s-%d", name, os.Getuid())
	}
	dir := filepath.Join(base, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	if !writtenByUsOnly(dir) {
		return "", fmt.Errorf("%s belongs to somebody else: remove it", dir)
	}
	return dir, nil
}
