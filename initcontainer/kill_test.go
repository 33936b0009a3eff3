package initcontainer

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// The program is killed at one of its calls of iptables; then it is run again. The rules must be those of a run that
// was left alone. (Every single change is tried against the fake kernel, in apply.)
func TestARunThatWasKilledIsFinishedByTheNextOne(t *testing.T) {
	for _, mode := range []string{"nft", "legacy"} {
		t.Run(mode, func(t *testing.T) {
			installed(t, mode)
			m := newMesh(t)
			from, to := dual+"--iptables-mode="+mode, dual+"--exclude-ports=25 --iptables-mode="+mode
			shims := shims(t, mode)
			m.apply(to)
			want := m.rules(mode)
			for n, finished := 1, false; !finished; n += 9 {
				m.apply(from)
				finished = m.killAt(t, shims, n, to)
				m.apply(to)
				if got := strings.ReplaceAll(m.rules(mode), "_B", "_A"); got != want {
					t.Fatalf("killed at call %d; then the rules are\n%s\nwant\n%s", n, got, want)
				}
				if n > 200 {
					t.Fatal("the program does not come to an end")
				}
			}
		})
	}
}

// shims makes a directory of programs that stand before iptables: they count their calls, and kill who called them.
func shims(t *testing.T, mode string) string {
	t.Helper()
	dir := t.TempDir()
	for _, p := range []string{"iptables-" + mode, "ip6tables-" + mode} {
		script := "#!/bin/sh\necho >>\"$CALLS\"\nif [ \"$(wc -l <\"$CALLS\")\" -ge \"$KILL_AT\" ]; then kill -9 $PPID; exit 1; fi\n" +
			"PATH=${PATH#*:} exec " + p + " \"$@\"\n"
		if err := os.WriteFile(filepath.Join(dir, p), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// killAt runs the program as a process and reports whether it came to its end before its nth call.
func (m *mesh) killAt(t *testing.T, shims string, n int, flags string) (finished bool) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := m.pod.Command(t.Context(), self, strings.Fields(flags)...)
	c.Env = append(os.Environ(), asProgram+"=1", "GORACE=atexit_sleep_ms=0", fmt.Sprintf("KILL_AT=%d", n),
		"CALLS="+filepath.Join(t.TempDir(), "calls"), "PATH="+shims+":"+os.Getenv("PATH"))
	out, err := c.CombinedOutput()
	switch status := c.ProcessState.Sys().(syscall.WaitStatus); {
	case status.Signaled() && status.Signal() == syscall.SIGKILL:
		return false
	case err != nil:
		t.Fatalf("killed at call %d: %v\n%s", n, err, out)
	}
	return true
}
