package backends

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
)

// serverUser is the unprivileged user that servers run as when we are root.
// Nil means: as ourselves.
type serverUser struct {
	name     string
	uid, gid int
}

// findServerUser returns nil when this process is not root. PostgreSQL refuses to
// run as root.
func findServerUser() (*serverUser, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	if runtime.GOOS != "linux" {
		return nil, errors.New("PostgreSQL refuses to run as root: run as an ordinary user")
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.Atoi(u.Uid)
		gid, err2 := strconv.Atoi(u.Gid)
		if err1 == nil && err2 == nil {
			return &serverUser{name: name, uid: uid, gid: gid}, nil
		}
	}
	return nil, errors.New("running as root, and there is neither a user postgres nor nobody to run servers as")
}

// own makes path, which exists, the user's.
func (u *serverUser) own(path string) error {
	if u == nil {
		return nil
	}
	return os.Chown(path, u.uid, u.gid)
}

// mkdir makes a directory, with its parents, that only the server and we can enter.
func (u *serverUser) mkdir(path string) error {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return err
	}
	if err := os.Chmod(path, 0o700); err != nil {
		return err
	}
	return u.own(path)
}

// canEnter returns an error that names the first directory on the way to path
// that the user cannot pass.
func (u *serverUser) canEnter(path string) error {
	if u == nil {
		return nil
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	for dir := filepath.Dir(abs); ; dir = filepath.Dir(dir) {
		if fi, err := os.Stat(dir); err == nil && !mayPass(u, fi) {
			return fmt.Errorf("user %s, which runs the servers because this process is root, cannot enter %s: "+
				"choose a directory elsewhere, or chmod o+x %s", u.name, dir, dir)
		}
		if dir == filepath.Dir(dir) {
			return nil
		}
	}
}
