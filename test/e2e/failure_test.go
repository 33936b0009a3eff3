//go:build e2e

package e2e

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The founding test: ab sends 20,000 requests through the ClusterIP of two pods, with kept connections and without, and meanwhile one
// of the pods turns bad. No request fails.
func TestOneOfTwoPodsTurnsBad(t *testing.T) {
	const requests = 20_000
	ns := namespace(t, optIn)
	servers(t, ns, "web", 2)
	apply(t, ns, fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata: {name: ab}
spec: {terminationGracePeriodSeconds: 0, containers: [{name: app, image: "%s", command: [sleep, "3600"]}]}
`, toolsImage))
	kube(t, "-n", ns, "wait", "--for=condition=Ready", "pod/ab", "--timeout=60s")
	// A namespace that has just opted in has its read access a moment later; until then calls go where they would without us.
	soon(t, time.Minute, "the sidecar balances", func() (string, bool) {
		out := kube(t, "-n", ns, "exec", "ab", "-c", "app", "--", "curl", "-sS", "http://web/pod")
		return out, counted(t, ns, "ab", "sluice_requests_total", ns+"/web:80") > 0
	})
	// The control port is not the Service's. The API server asks, so that no client's sidecar learns of it.
	set := func(pod, mode string) {
		t.Helper()
		kube(t, "get", "--raw", "/api/v1/namespaces/"+ns+"/pods/"+pod+":8081/proxy/fault?set="+mode)
	}

	for _, fault := range []struct {
		title, mode string // without a mode the pod is deleted
		retried     bool   // requests that were sent are sent again
	}{
		{"a refuses connections", "refuse", false},
		{"b answers 500", "500", true},
		{"c answers 503", "503", true},
		{"d accepts and resets", "reset", true},
		{"e hangs", "hang", true},
		{"f is deleted", "", false},
		{"g answers a second later", "slow", true},
	} {
		for _, kept := range []bool{true, false} {
			flags := []string{"-q", "-l", "-r", "-c", "50", "-n", strconv.Itoa(requests), "http://web/pod"}
			if kept {
				flags = append([]string{"-k"}, flags...)
			}
			t.Run(fmt.Sprintf("%s/kept=%v", fault.title, kept), func(t *testing.T) {
				// Both pods are in use at the beginning: with the one that stays well alone nothing would be shown.
				pods := strings.Fields(kube(t, "-n", ns, "get", "pods", "-l", "app=web", "--field-selector=status.phase=Running",
					"-o", "jsonpath={.items[*].metadata.name}"))
				if len(pods) != 2 {
					t.Fatalf("pods are %v, want two", pods)
				}
				soon(t, time.Minute, "both pods are used", func() (string, bool) {
					out := kube(t, "-n", ns, "exec", "ab", "-c", "app", "--", "curl", "-sS", "-w", `\n`, "http://web/pod?[1-50]")
					return out, strings.Contains(out, pods[0]) && strings.Contains(out, pods[1])
				})
				bad := pods[0]
				retries := counted(t, ns, "ab", "sluice_retries_total", ns+"/web:80")

				type ended struct {
					out string
					err error
				}
				done, began := make(chan ended, 1), time.Now()
				go func() {
					out, err := run(2*time.Minute, nil, append([]string{"-n", ns, "exec", "ab", "-c", "app", "--", "ab"}, flags...)...)
					done <- ended{out, err}
				}()
				time.Sleep(time.Second)
				if fault.mode == "" {
					kube(t, "-n", ns, "delete", "pod", bad, "--wait=false")
				} else {
					set(bad, fault.mode)
				}
				meanwhile := len(done) == 0
				ab := <-done
				took := time.Since(began)
				// The next fault is a new pod's: one that turns bad again and again is left out for longer each time.
				kube(t, "-n", ns, "delete", "pod", bad, "--ignore-not-found", "--timeout=60s")
				available(t, ns, "web")

				complete, failed := abFigure(ab.out, "Complete requests"), abFigure(ab.out, "Failed requests")
				if ab.err != nil || complete != requests || failed != 0 || strings.Contains(ab.out, "Non-2xx") {
					t.Errorf("ab %s: %v\n%s", strings.Join(flags, " "), ab.err, ab.out)
				}
				if !meanwhile {
					t.Errorf("ab was done in %v, before the pod turned bad", took)
				}
				retries = counted(t, ns, "ab", "sluice_retries_total", ns+"/web:80") - retries
				if fault.retried && retries == 0 {
					t.Error("the sidecar counts no request sent again: the pod that turned bad was not asked")
				}
				t.Logf("%d complete, %d failed, %.0f sent again, %.1f s, longest %d ms", complete, failed, retries, took.Seconds(), abLongest(ab.out))
			})
		}
	}
}

var abLine = regexp.MustCompile(`(?m)^([A-Z][a-z0-9 -]+): +(\d+)`)

// abFigure reads a figure of ab's report; -1 when it is not there.
func abFigure(report, name string) int {
	for _, m := range abLine.FindAllStringSubmatch(report, -1) {
		if n, err := strconv.Atoi(m[2]); err == nil && m[1] == name {
			return n
		}
	}
	return -1
}

var abLast = regexp.MustCompile(`(?m)^ +100% +(\d+) \(longest request\)`)

// abLongest reads the time of the longest request off ab's report, in milliseconds; -1 when it is not there.
func abLongest(report string) int {
	if m := abLast.FindStringSubmatch(report); m != nil {
		if n, err := strconv.Atoi(m[1]); err == nil {
			return n
		}
	}
	return -1
}
