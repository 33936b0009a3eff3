package initcontainer

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-mesh/sluice/test/meshtest"
)

// What a container's securityContext must grant, found by trying. Every run has no_new_privs
// (allowPrivilegeEscalation: false) and a root file system that is read-only.
func TestTheCapabilitiesThatAreNeeded(t *testing.T) {
	installed(t, "nft", "legacy")
	for _, p := range []string{"setpriv", "unshare", "mount"} {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("this test needs the program %s (package util-linux or mount): %v", p, err)
		}
	}
	if err := meshtest.UserMapped(65534); err != nil {
		t.Skipf("running as an ordinary user: %v", err)
	}
	self := readableCopy(t)
	for _, c := range []struct {
		name, user, caps, mode string
		status                 int
		says                   string
	}{
		{"root with NET_ADMIN can use nft", "root", "net_admin", "nft", ExitDone, "in force"},
		{"root with NET_ADMIN is enough for auto", "root", "net_admin", "auto", ExitDone, "in force"},
		{"root with NET_ADMIN cannot use legacy", "root", "net_admin", "legacy", ExitFailed, "missing capability NET_RAW"},
		{"root with NET_ADMIN and NET_RAW can use legacy", "root", "net_admin,net_raw", "legacy", ExitDone, "in force"},
		{"root without capabilities is told so", "root", "", "nft", ExitFailed, "missing capability NET_ADMIN: add it"},
		{"root without capabilities is told of both", "root", "", "auto", ExitFailed, "missing capability NET_ADMIN and NET_RAW"},
		// Only ambient capabilities survive for an ordinary user, and Kubernetes has no field for these.
		{"a user with ambient NET_ADMIN can use nft", "65534", "net_admin", "nft", ExitDone, "in force"},
		{"a user with both ambient can use legacy", "65534", "net_admin,net_raw", "legacy", ExitDone, "in force"},
		{"a user without is told of runAsUser", "65534", "", "nft", ExitFailed, "runAsUser: 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMesh(t)
			set := "-all"
			for _, name := range strings.Split(c.caps, ",") {
				if name != "" {
					set += ",+" + name
				}
			}
			priv := []string{"setpriv", "--no-new-privs", "--bounding-set", set, "--inh-caps", set}
			if c.user != "root" {
				priv = append(priv, "--reuid", c.user, "--regid", c.user, "--clear-groups", "--ambient-caps", set)
			}
			script := `mount -o remount,bind,ro / && mount -t tmpfs -o ro tmpfs /run || exit 90
				if touch /run/sluice-test 2>/dev/null; then exit 91; fi
				exec "$@"`
			args := append([]string{"--mount", "sh", "-c", script, "sh"}, priv...)
			args = append(args, self)
			args = append(args, strings.Fields(dual+"--iptables-mode="+c.mode)...)
			cmd := m.pod.Command(t.Context(), "unshare", args...)
			cmd.Env = append(os.Environ(), asProgram+"=1", "GORACE=atexit_sleep_ms=0")
			out, err := cmd.CombinedOutput()
			if got := cmd.ProcessState.ExitCode(); got != c.status || !strings.Contains(string(out), c.says) {
				t.Errorf("exit status %d (%v), want %d and %q in\n%s", got, err, c.status, c.says, out)
			}
		})
	}
}

// readableCopy is this test binary at a place where every user can run it; go test's own is root's alone.
func readableCopy(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "sluice-initcontainer-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	name := filepath.Join(dir, "initcontainer")
	if err := os.WriteFile(name, b, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return name
}
