//go:build unix

package dbtest

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

// detach lets cmd live on when this process or its terminal ends.
func detach(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }

// private returns an error unless dir is ours alone.
func private(dir string) error {
	fi, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok || int(st.Uid) != os.Getuid() || !fi.IsDir() || fi.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("%s belongs to somebody else: remove it", dir)
	}
	return nil
}

// sharing says whether a server can come from the keeper: unless the environment names it,
// and when this binary can be started as the keeper.
func sharing(variable string) bool {
	return inMain && os.Getenv(variable) == ""
}
