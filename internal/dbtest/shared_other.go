//go:build !unix

package dbtest

import "os/exec"

func detach(*exec.Cmd) {}

func private(string) error { return nil }

// sharing is for systems where a running binary can be removed.
func sharing(string) bool { return false }
