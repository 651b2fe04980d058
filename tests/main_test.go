// Package tests drives the whole stack: the real binaries, started as a service starts them, against the mock, Debian's PyKMIP
// server and Keystone. Some tests break or alter the conversation, and use the product's own packages for that.
package tests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// bin holds the binaries of this run.
var bin string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

// buildAndRun compiles the binaries once and as users do: without the race detector, which the tests themselves may have.
func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "kmip-keymgr-tests-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	bin = dir
	build := exec.Command("go", "build", "-buildvcs=false", "-o", dir, "../cmd/...")
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "building the binaries:", err)
		return 1
	}
	return m.Run()
}

func program(name string) string { return filepath.Join(bin, name) }
