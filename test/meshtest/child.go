package meshtest

import (
	"os"
	"os/exec"
	"testing"
)

// childEnv names the test that a process is to run as its own.
const childEnv = "MESHTEST_CHILD"

// InChild reports whether the test runs in a process of its own, whose limits and descriptors it may spoil. In any other it runs itself
// in one, and reports how that ended; the caller then returns.
func InChild(t *testing.T) bool {
	t.Helper()
	if os.Getenv(childEnv) == t.Name() {
		return true
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), childEnv+"="+t.Name())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("in a process of its own: %v\n%s", err, out)
	}
	return false
}
