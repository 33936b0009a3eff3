package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// The tests belong to the interpreter of the same Debian release; nothing is installed.
const (
	pythonVersion = "3.11"
	pythonPackage = "libpython3.11-testsuite"
	python        = "/usr/bin/python3.11"
)

// cpython makes a suite of a module of CPython's tests.
func cpython(module string, timed bool, differences ...difference) *suite {
	s := &suite{name: "CPython " + module, source: "Debian " + pythonPackage, quick: true, timed: timed, differences: differences}
	s.prepare = func(ctx context.Context, dir string) error {
		return fetchPythonTests(ctx, filepath.Join(dir, "..", "cpython"))
	}
	return linesSuite(s, func(dir string) (program, error) {
		runner, err := clientFile(dir, "unittests.py")
		lib := filepath.Join(dir, "..", "cpython", "lib")
		argv := []string{python, "-W", "ignore", runner}
		return program{argv: append(argv, "test."+module), env: []string{"PYTHONPATH=" + lib, "PYTHONDONTWRITEBYTECODE=1"}, dir: dir,
			limit: 2 * time.Minute, alone: func(name string) []string { return append(argv, name) }}, err
	})
}

// fetchPythonTests puts the package test together under dir/lib: what Debian has in the standard library's package, and the
// tests from theirs.
func fetchPythonTests(ctx context.Context, dir string) error {
	done := filepath.Join(dir, "lib", "test", "test_httplib.py")
	if _, err := os.Stat(done); err == nil {
		return nil
	}
	if _, err := os.Stat(python); err != nil {
		return fmt.Errorf("%w (Debian package python%s)", err, pythonVersion)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "sh", "-ec", `
		apt-get download `+pythonPackage+` || { apt-get update && apt-get download `+pythonPackage+`; }
		rm -rf tree lib
		dpkg -x `+pythonPackage+`_*.deb tree
		mkdir lib
		cp -r /usr/lib/python`+pythonVersion+`/test lib/test
		cp -r tree/usr/lib/python`+pythonVersion+`/test/. lib/test/
		rm -rf tree *.deb`)
	cmd.Dir = dir
	_, err := output(cmd)
	return err
}
