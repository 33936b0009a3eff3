package main

import (
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/test/meshtest"
)

func TestMain(m *testing.M) { meshtest.Main(m) }

// A few of the cases, with few requests: what "make faults" shows at length.
func TestNoRequestIsLostWhenAPodTurnsBad(t *testing.T) {
	if err := meshtest.UserMapped(proxyUser); err != nil {
		t.Skipf("this test needs to be root: %v", err)
	}
	if err := meshtest.Permitted(); err != nil {
		if os.Getenv("SLUICE_NO_SKIP") != "" {
			t.Fatalf("SLUICE_NO_SKIP is set, and this test needs network namespaces: %v", err)
		}
		t.Skipf("this test needs network namespaces: %v", err)
	}
	dir, err := build(t.Context())
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err != nil {
		t.Fatal(err)
	}
	var ours *peer
	for _, p := range allPeers() {
		if p.name == sluice {
			ours = p
		}
	}
	few := []string{"refuse/ab", "500/ab-k", "503/h2load", "reset/ab", "stop/ab-k", "drop/ab",
		"kill/ab-k", "kill/h2load", "delete/ab", "delete/h2load"}
	for _, f := range allFaults() {
		for _, c := range allClients() {
			name := caseName(c, f)
			if !slices.Contains(few, name) {
				continue
			}
			t.Run(name, func(t *testing.T) {
				if _, err := exec.LookPath(c.program); err != nil {
					t.Skipf("this test needs the program %s: %v", c.program, err)
				}
				promise := promised(c, f)
				if promise.Pending != "" {
					t.Skipf("pending: %s", promise.Pending)
				}
				r, err := faulted(t.Context(), programs{dir: dir}, ours, c, f, amount{requests: 2000, duration: time.Second, patience: 5 * time.Second})
				if err != nil {
					t.Fatal(err)
				}
				for _, broken := range promise.judge(r, false) {
					t.Error(broken)
				}
			})
		}
	}
}
