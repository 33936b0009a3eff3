package initcontainer

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
)

func TestConnectionsGoWhereTheSettingsSay(t *testing.T) {
	for _, mode := range []string{"nft", "legacy"} {
		t.Run(mode, func(t *testing.T) {
			installed(t, mode)
			m := newMesh(t, serviceA, serviceB, serviceA6, serviceB6, "10.96.0.10:25", "10.96.0.10:53", "[fd96::10]:25",
				"[fd96::10]:53", "10.96.0.1:443", "10.112.0.1:80", "[fd97::1]:80")
			before := map[string]string{serviceA: "server", "10.77.0.3:80": "server", "10.77.0.2:80": "pod"}
			for address, want := range before {
				if got := m.ask(0, address); got != want {
					t.Fatalf("before any rule %s answers %q, want %q", address, got, want)
				}
			}
			m.apply(dual+"--iptables-mode="+mode+" --exclude-ports=25 --exclude-cidrs=10.96.0.11,fd96::11 --exclude-uids=1000-1999",
				"KUBERNETES_SERVICE_HOST=10.96.0.1")
			for _, c := range []struct {
				why     string
				uid     int
				address string
				want    string
			}{
				{"a Service address", 0, serviceA, "proxy for 10.96.0.10:80"},
				{"a Service address", 0, serviceA6, "proxy for [fd96::10]:80"},
				{"any user but the proxy", 15302, serviceA, "proxy for 10.96.0.10:80"},
				{"a Service address nobody answers at", 0, "10.96.99.99:1", "proxy for 10.96.99.99:1"},
				{"the proxy itself", proxyUID, serviceA, "server"},
				{"the proxy itself", proxyUID, serviceA6, "server"},
				{"an excluded user", 1000, serviceA, "server"},
				{"an excluded user", 1999, serviceA6, "server"},
				{"a user beside the excluded ones", 2000, serviceA6, "proxy for [fd96::10]:80"},
				{"an excluded address", 0, serviceB, "server"},
				{"an excluded address", 0, serviceB6, "server"},
				{"an excluded port", 0, "10.96.0.10:25", "server"},
				{"an excluded port", 0, "[fd96::10]:25", "server"},
				{"DNS", 0, "10.96.0.10:53", "server"},
				{"DNS", 0, "[fd96::10]:53", "server"},
				{"the API server", 0, "10.96.0.1:443", "server"},
				{"a pod's address", 0, "10.77.0.3:80", "server"},
				{"a pod's address", 0, "[fd77::3]:80", "server"},
				{"an address outside the ranges", 0, "10.112.0.1:80", "server"},
				{"an address outside the ranges", 0, "[fd97::1]:80", "server"},
				{"the pod's own address", 0, "10.77.0.2:80", "pod"},
				{"the pod's own address", 0, "[fd77::2]:80", "pod"},
			} {
				if got := m.ask(c.uid, c.address); got != c.want {
					t.Errorf("%s: user %d asking %s gets %q, want %q", c.why, c.uid, c.address, got, c.want)
				}
			}
			m.apply("--remove")
			for _, address := range []string{serviceA, serviceA6} {
				if got := m.ask(0, address); got != "server" {
					t.Errorf("after --remove %s answers %q", address, got)
				}
			}
		})
	}
}

func TestEvenTheWidestRangeLeavesThePodsOwnTrafficAlone(t *testing.T) {
	installed(t, "nft")
	m := newMesh(t, serviceA)
	m.apply("--redirect-cidrs=0.0.0.0/0,::/0")
	for address, want := range map[string]string{
		"10.77.0.3:80": "proxy for 10.77.0.3:80", "[fd77::3]:80": "proxy for [fd77::3]:80",
		"10.77.0.2:80": "pod", "[fd77::2]:80": "pod",
	} {
		if got := m.ask(0, address); got != want {
			t.Errorf("%s answers %q, want %q", address, got, want)
		}
	}
}

func TestASecondRunChangesNothingAndSaysSo(t *testing.T) {
	for _, mode := range []string{"nft", "legacy"} {
		t.Run(mode, func(t *testing.T) {
			installed(t, mode)
			m := newMesh(t, serviceA)
			flags := dual + "--iptables-mode=" + mode
			m.apply(flags)
			before := m.rules(mode)
			for _, again := range []string{flags, dual, dual + "--redirect-cidrs=fd96::/108,10.96.0.0/16"} {
				log := m.apply(again)
				if n := strings.Count(log, `"msg":"unchanged"`); n != 2 || strings.Contains(log, `"msg":"done"`) {
					t.Errorf("%s: the log is\n%s", again, log)
				}
				if after := m.rules(mode); after != before {
					t.Errorf("%s: the rules were\n%s\nand are\n%s", again, before, after)
				}
			}
		})
	}
}

func TestTheRulesMoveWhenTheModeChanges(t *testing.T) {
	installed(t, "nft", "legacy")
	m := newMesh(t, serviceA, serviceA6)
	for _, mode := range []string{"legacy", "nft", "legacy"} {
		m.apply(dual + "--iptables-mode=" + mode)
		other := map[string]string{"nft": "legacy", "legacy": "nft"}[mode]
		if got := m.rules(other); strings.Contains(got, "SLUICE") {
			t.Errorf("in mode %s the other one still has\n%s", mode, got)
		}
		for _, address := range []string{serviceA, serviceA6} {
			if got := m.ask(0, address); !strings.HasPrefix(got, "proxy for") {
				t.Errorf("in mode %s %s answers %q", mode, address, got)
			}
		}
	}
	m.apply("--remove")
	if got := m.rules("nft", "legacy"); strings.Contains(got, "-A") || strings.Contains(got, "-N") {
		t.Errorf("after --remove there is\n%s", got)
	}
	if log := m.apply("--remove"); strings.Contains(log, `"msg":"done"`) {
		t.Errorf("a second --remove did something:\n%s", log)
	}
}

func TestTheDryRunPrintsExactlyWhatARunMakes(t *testing.T) {
	for _, mode := range []string{"nft", "legacy"} {
		t.Run(mode, func(t *testing.T) {
			installed(t, mode)
			m := newMesh(t, serviceA)
			flags := dual + "--exclude-ports=25,8000-8100 --exclude-uids=0-99 --exclude-cidrs=10.96.0.11 --iptables-mode=" + mode
			status, script, log := m.run(flags + " --dry-run")
			if status != ExitDone || log != "" {
				t.Fatalf("exit status %d, log %s", status, log)
			}
			if got := m.rules("nft"); strings.Contains(got, "SLUICE") {
				t.Fatalf("the dry run made\n%s", got)
			}
			v4, v6, ok := strings.Cut(script, "# IPv6\n")
			if !ok {
				t.Fatalf("no part for IPv6 in\n%s", script)
			}
			for program, text := range map[string]string{"iptables-": v4, "ip6tables-": v6} {
				c := m.pod.Command(t.Context(), program+mode+"-restore", "--noflush")
				c.Stdin = strings.NewReader(text)
				if out, err := c.CombinedOutput(); err != nil {
					t.Fatalf("%s\n%s: %v: %s", text, program, err, out)
				}
			}
			if log := m.apply(flags); strings.Count(log, `"msg":"unchanged"`) != 2 {
				t.Errorf("after restoring the script a run does\n%s", log)
			}
		})
	}
}

// While settings change back and forth, a client that connects all the time must always reach the proxy.
func TestChangingSettingsUnderTrafficLeavesNoHole(t *testing.T) {
	for _, mode := range []string{"nft", "legacy"} {
		t.Run(mode, func(t *testing.T) {
			installed(t, mode)
			m := newMesh(t, serviceA, serviceA6)
			m.apply(dual + "--iptables-mode=" + mode)
			ctx, stop := context.WithCancel(t.Context())
			var clients sync.WaitGroup
			var count int
			var wrong []string
			clients.Go(func() {
				for ctx.Err() == nil {
					for _, address := range []string{serviceA, serviceA6} {
						count++
						if got := m.ask(0, address); !strings.HasPrefix(got, "proxy for") {
							wrong = append(wrong, got)
						}
					}
				}
			})
			for i := range 6 {
				m.apply(fmt.Sprintf("%s--iptables-mode=%s --exclude-ports=%d", dual, mode, 1000+i))
			}
			stop()
			clients.Wait()
			if len(wrong) > 0 || count < 20 {
				t.Errorf("%d of %d connections went elsewhere: %q", len(wrong), count, wrong)
			}
		})
	}
}
