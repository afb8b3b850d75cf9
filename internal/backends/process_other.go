//go:build !linux

package backends

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
)

// watch runs "$@" with the signal number $0 for it as soon as standard input ends, which
// is when the process that holds the other end of the pipe ends in whatever way.
const watch = `sig=$0; exec 3<&0; "$@" </dev/null 3<&- & p=$!
trap 'kill -INT $p' INT; trap 'kill -TERM $p' TERM; trap 'kill -QUIT $p' QUIT
(cat <&3 >/dev/null; kill -$sig $p 2>/dev/null) & w=$!
exec 3<&-
while kill -0 $p 2>/dev/null; do wait $p; done
kill $w 2>/dev/null`

// prepare makes cmd die with this process, through a shell that holds a pipe to it.
func prepare(cmd *exec.Cmd, _ *serverUser, deathSignal os.Signal) {
	s, ok := deathSignal.(syscall.Signal)
	if runtime.GOOS == "windows" || !ok || deathSignal == os.Kill {
		return
	}
	if _, err := cmd.StdinPipe(); err != nil { // the write end is closed by our end
		return
	}
	cmd.Args = append([]string{"sh", "-c", watch, strconv.Itoa(int(s)), cmd.Path}, cmd.Args[1:]...)
	cmd.Path = "/bin/sh"
}

// processesIn returns the process named in the pid file of the data directory, if it lives.
func processesIn(dir string) []int {
	raw, err := os.ReadFile(filepath.Join(dir, "postmaster.pid"))
	if err != nil {
		return nil
	}
	first, _, _ := strings.Cut(string(raw), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(first))
	if err != nil {
		return nil
	}
	p, err := os.FindProcess(pid)
	if err != nil || p.Signal(syscall.Signal(0)) != nil {
		return nil
	}
	return []int{pid}
}

func mayPass(*serverUser, os.FileInfo) bool { return true }

func freeBytes(string) uint64 { return 0 }

func writtenByUsOnly(string) bool { return true }
