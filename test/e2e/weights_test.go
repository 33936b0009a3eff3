//go:build e2e

package e2e

import (
	"strings"
	"testing"
	"time"
)

// A Service leaves it to its pods how much of its traffic they get: what somebody annotates on a running pod shifts the requests of running
// sidecars, which may read pods where a Service asks for it and nowhere else.
func TestPodsHaveTheirWeights(t *testing.T) {
	ns, other := namespace(t, optIn), namespace(t, optIn)
	servers(t, ns, "web", 2)
	sleeper(t, ns, "client")
	mayList := func(in string) bool {
		out, _ := run(10*time.Second, nil, "auth", "can-i", "list", "pods", "-n", in, "--as=system:serviceaccount:"+ns+":default",
			"--as-group=system:serviceaccounts", "--as-group=system:serviceaccounts:"+ns)
		return strings.TrimSpace(out) == "yes"
	}
	if mayList(ns) {
		t.Error("sidecars may read pods before a Service asks for it")
	}
	pods := strings.Fields(kube(t, "-n", ns, "get", "pods", "-l", "app=web", "-o", "jsonpath={.items[*].metadata.name}"))
	kube(t, "-n", ns, "annotate", "service", "web", "sluice.mesh/weights=pods")
	soon(t, 30*time.Second, "sidecars may read pods", func() (string, bool) { return "", mayList(ns) })
	if mayList(other) {
		t.Error("sidecars may read pods of a namespace whose Services do not ask for it")
	}

	for _, step := range []struct {
		annotation string
		is         func(share float64) bool // of the first pod
	}{
		{"sluice.mesh/weight=0", func(s float64) bool { return s == 0 }},
		{"sluice.mesh/weight=3", func(s float64) bool { return s > 0.7 && s < 0.8 }},
		{"sluice.mesh/weight-", func(s float64) bool { return s > 0.45 && s < 0.55 }},
	} {
		kube(t, "-n", ns, "annotate", "pod", pods[0], "--overwrite", step.annotation)
		soon(t, 30*time.Second, step.annotation+" is heeded", func() (string, bool) {
			s := runLoad(t, ns, "client", "--url=http://web/pod", "--requests=400")
			s.mustBeWhole(t, 400)
			return "", step.is(float64(s.Pods[pods[0]]) / 400)
		})
	}
}
