package nettest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/sluice-mesh/sluice/test/meshtest"
)

// programsAt tells the inner process where the programs are. Set from outside it makes the tests run other ones, such as
// those of an image, instead of building them.
const programsAt = "SLUICE_NETTEST_PROGRAMS"

const module = "github.com/sluice-mesh/sluice"

// TestMain builds the programs once and runs the tests in a second process, so that the directory can be removed after
// meshtest.Main, which ends its process.
func TestMain(m *testing.M) {
	if os.Getenv(programsAt) != "" || permitted() != nil {
		meshtest.Main(m)
	}
	status, err := runWithPrograms()
	if err != nil {
		fmt.Fprintln(os.Stderr, "nettest:", err)
		status = 2
	}
	os.Exit(status)
}

// permitted reports why the tests cannot run here, or nil.
func permitted() error {
	if err := meshtest.UserMapped(proxyUser); err != nil {
		return err
	}
	if _, err := exec.LookPath("iptables"); err != nil {
		return err
	}
	return meshtest.Permitted()
}

func runWithPrograms() (status int, err error) {
	dir, err := os.MkdirTemp("", "sluice-nettest-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil { // the proxy's user reads it
		return 0, err
	}
	build := exec.Command("go", "build", "-o", dir,
		module+"/cmd/sidecar", module+"/cmd/initcontainer", module+"/cmd/sluicectl", module+"/test/meshtest/box")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("%v: %w\n%s", build.Args, err, out)
	}
	tests := exec.Command(os.Args[0], os.Args[1:]...)
	tests.Env = append(os.Environ(), programsAt+"="+dir)
	tests.Stdin, tests.Stdout, tests.Stderr = os.Stdin, os.Stdout, os.Stderr
	err = tests.Run()
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		return exit.ExitCode(), nil
	}
	return 0, err
}

// program is the path of a program that TestMain has built.
func program(name string) string { return filepath.Join(os.Getenv(programsAt), name) }

// installed skips the test when a program of the outside world is not there.
func installed(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("this test needs the program %s: %v", name, err)
		}
	}
}
