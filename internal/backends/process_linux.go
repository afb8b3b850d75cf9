package backends

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// prepare makes cmd run as u, in its own process group (an interrupt typed at the
// terminal is for us, we stop the server), and die with this process.
func prepare(cmd *exec.Cmd, u *serverUser, deathSignal os.Signal) {
	attr := &syscall.SysProcAttr{Setpgid: true}
	if s, ok := deathSignal.(syscall.Signal); ok {
		attr.Pdeathsig = s
	}
	if u != nil {
		attr.Credential = &syscall.Credential{Uid: uint32(u.uid), Gid: uint32(u.gid)}
	}
	cmd.SysProcAttr = attr
}

// processesIn returns the servers whose working directory is dir. PostgreSQL's
// processes and Redis work in their data directory.
func processesIn(dir string) []int {
	want, err := os.Stat(dir)
	if err != nil {
		return nil
	}
	entries, err := filepath.Glob("/proc/[0-9]*/cwd")
	if err != nil {
		return nil
	}
	var pids []int
	for _, e := range entries {
		got, err := os.Stat(e) // other users' processes cannot be read and are not ours
		if err != nil || !os.SameFile(want, got) {
			continue
		}
		name, err := os.ReadFile(filepath.Join(filepath.Dir(e), "comm"))
		if n := strings.TrimSpace(string(name)); err != nil || n != "postgres" && n != "redis-server" {
			continue // a shell, say
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(e))); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

func mayPass(u *serverUser, fi os.FileInfo) bool {
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return true
	}
	mode := fi.Mode().Perm()
	switch {
	case int(st.Uid) == u.uid:
		return mode&0o100 != 0
	case int(st.Gid) == u.gid:
		return mode&0o010 != 0
	default:
		return mode&0o001 != 0
	}
}

// freeBytes is how much an ordinary user can write below dir; 0 when that is not known.
func freeBytes(dir string) uint64 {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0
	}
	return st.Bavail * uint64(st.Bsize)
}

// writtenByUsOnly says whether a directory is ours and nobody else may write into it.
func writtenByUsOnly(dir string) bool {
	fi, err := os.Lstat(dir)
	if err != nil {
		return false
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	return ok && fi.IsDir() && int(st.Uid) == os.Getuid() && fi.Mode().Perm()&0o022 == 0
}
