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

// The founding test: ab through a Service of two pods, of which one answers every request with 500. No request fails.
func TestOneOfTwoPodsAnswers500(t *testing.T) {
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
	bad := strings.Fields(kube(t, "-n", ns, "get", "pods", "-l", "app=web", "-o", "jsonpath={.items[*].metadata.name}"))[0]
	// The control port is not the Service's. The API server asks, so that no client's sidecar learns of it.
	kube(t, "get", "--raw", "/api/v1/namespaces/"+ns+"/pods/"+bad+":8081/proxy/fault?set=500")
	for _, kept := range []bool{true, false} {
		flags := []string{"-q", "-l", "-c", "50", "-n", "5000", "http://web/pod"}
		if kept {
			flags = append([]string{"-k"}, flags...)
		}
		began := time.Now()
		out := kube(t, append([]string{"-n", ns, "exec", "ab", "-c", "app", "--", "ab"}, flags...)...)
		complete, failed := abFigure(out, "Complete requests"), abFigure(out, "Failed requests")
		if complete != 5000 || failed != 0 || strings.Contains(out, "Non-2xx") {
			t.Errorf("ab %s\n%s", strings.Join(flags, " "), out)
		}
		t.Logf("ab %s: %d complete, %d failed, %.1f s", strings.Join(flags, " "), complete, failed, time.Since(began).Seconds())
	}
	// Both were asked: the one that is well alone would prove nothing.
	if n := counted(t, ns, "ab", "sluice_retries_total", ns+"/web:80"); n == 0 {
		t.Error("the sidecar counts no request sent again: the pod that answers 500 was never asked")
	}
	// Well again, it is used again.
	kube(t, "get", "--raw", "/api/v1/namespaces/"+ns+"/pods/"+bad+":8081/proxy/fault?set=none")
	soon(t, time.Minute, "the pod is used again", func() (string, bool) {
		out := kube(t, "-n", ns, "exec", "ab", "-c", "app", "--", "curl", "-sS", "-w", `\n`, "http://web/pod?[1-50]")
		return out, strings.Contains(out, bad)
	})
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
