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

// prepare builds the programs and answers our peer.
func prepare(t *testing.T) (programs, *peer) {
	t.Helper()
	if err := meshtest.UserMapped(proxyUser); err != nil {
		skip(t, "to be root: %v", err)
	}
	if err := meshtest.Permitted(); err != nil {
		skip(t, "network namespaces: %v", err)
	}
	dir, err := build(t.Context())
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(allPeers(), func(p *peer) bool { return p.name == sluice })
	return programs{dir: dir}, allPeers()[i]
}

func needs(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		skip(t, "the program %s: %v", program, err)
	}
}

// skip leaves a test out for want of something, where that may be.
func skip(t *testing.T, what string, args ...any) {
	t.Helper()
	if os.Getenv("SLUICE_NO_SKIP") != "" {
		t.Fatalf("SLUICE_NO_SKIP is set, and this test needs "+what, args...)
	}
	t.Skipf("this test needs "+what, args...)
}

// The founding test: every fault, with ab, ab -k, wrk and h2load; with ab as many requests as the story had that it began with. "make faults"
// compares it with other proxies.
func TestNoRequestIsLostWhenAPodTurnsBad(t *testing.T) {
	had, ours := prepare(t)
	for _, f := range allFaults() {
		for _, c := range allClients() {
			name := caseName(c, f)
			a := amount{requests: 3000, duration: time.Second, patience: 5 * time.Second}
			if c.program == "ab" {
				a.requests = 20000
			}
			if c.timed {
				a.duration = 5 * time.Second // report.lua counts who is never answered from four on
			}
			t.Run(name, func(t *testing.T) {
				needs(t, c.program)
				promise := promised(c, f)
				if promise.Pending != "" {
					t.Skipf("pending: %s", promise.Pending)
				}
				r, err := faulted(t.Context(), had, ours, c, f, a)
				if err != nil {
					t.Fatal(err)
				}
				for _, broken := range promise.judge(r, false) {
					t.Error(broken)
				}
				t.Logf("%d requests", r.Requests)
			})
		}
	}
}

// What the table of connections may do to clients, POST and gRPC. The rest is for "make faults" and "make faults-quick".
func TestScenariosHold(t *testing.T) {
	had, ours := prepare(t)
	for _, s := range allScenarios() {
		few := []string{"answer/500-everywhere", "answer/cut-head", "answer/cut-body", "post/500", "post/refuse", "post/reset", "post/cut-head",
			"post-http2/500", "post-http2/reset", "post/kill", "post-http2/kill",
			"change/restart-0s", "spread/goaway", "grpc-idempotent/stop", "grpc-idempotent/drop", "conntrack/node-forgets", "conntrack/pod-forgets", "conntrack/idle", "conntrack/invalid",
			"conntrack/invalid-answer"}
		if !slices.Contains(few, s.name) {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			needs(t, "conntrack")
			if s.pending != "" {
				t.Skipf("pending: %s", s.pending)
			}
			if err := had.need(t.Context(), s.shape); err != nil {
				t.Fatal(err)
			}
			x, err := try(t.Context(), had, ours, s, options{quick: true})
			if err != nil {
				t.Fatal(err)
			}
			for _, broken := range x.broken {
				t.Errorf("%s %q", broken, x.seen)
			}
			t.Log(x.Note)
		})
	}
}
