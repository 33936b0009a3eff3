package config

import (
	"strings"
	"testing"
)

// TestWeight: what is said of the annotation that pods and EndpointSlices have in common, and of where it does not belong.
func TestWeight(t *testing.T) {
	type m = map[string]string
	pod := func(a m) error { _, err := ForPod(Defaults(), Namespace{Name: "shop"}, a); return err }
	namespace := func(a m) error {
		_, err := ForPod(Defaults(), Namespace{Name: "shop", Annotations: a}, nil)
		return err
	}
	service := func(a m) error { return CheckService(a, nil) }
	for _, c := range []struct {
		name  string
		check func(m) error
		given m
		want  string
	}{
		{"a pod's weight", pod, m{"sluice.mesh/weight": "3"}, ""},
		{"no traffic for a pod", pod, m{"sluice.mesh/weight": "0"}, ""},
		{"as YAML blocks end", pod, m{"sluice.mesh/weight": "1000\n"}, ""},
		{"too heavy a pod", pod, m{"sluice.mesh/weight": "1001"},
			`annotation sluice.mesh/weight of the pod: "1001": want a whole number from 0 to 1000`},
		{"a share of a pod", pod, m{"sluice.mesh/weight": "10%"}, `annotation sluice.mesh/weight of the pod: "10%": want a whole number`},
		{"no weight at all", pod, m{"sluice.mesh/weight": ""}, `annotation sluice.mesh/weight of the pod: "": want a whole number`},
		{"a slip on a pod", pod, m{"sluice.mesh/wieght": "3"}, `sluice.mesh/wieght of the pod: unknown annotation; did you mean sluice.mesh/weight?`},
		{"weights on a pod", pod, m{"sluice.mesh/weights": "3"},
			`annotation sluice.mesh/weights of the pod: this annotation belongs on a Service; a pod has sluice.mesh/weight`},
		{"on a namespace", namespace, m{"sluice.mesh/weight": "3"},
			`annotation sluice.mesh/weight of namespace "shop": this annotation belongs on pods, in their templates, and on EndpointSlices`},
		{"on a Service", service, m{"sluice.mesh/weight": "3"},
			`annotation sluice.mesh/weight of the Service: this annotation belongs on pods and EndpointSlices; a Service has sluice.mesh/weights`},
		{"pods", service, m{"sluice.mesh/weights": "pods"}, ""},
		{"pods behind patterns", service, m{"sluice.mesh/weights": "canary-*=1\npods\n"}, ""},
		{"pods before patterns", service, m{"sluice.mesh/weights": "pods,canary-*=1"},
			`annotation sluice.mesh/weights of the Service: "pods,canary-*=1": "canary-*=1" never counts: "pods" before it matches every pod already`},
		{"one pod", service, m{"sluice.mesh/weights": "pod"}, `"pod" has no weight: want POD-NAME-PATTERN=WEIGHT, e.g. canary-*=1, or the word pods`},
		{"a slice's", CheckSlice, m{"sluice.mesh/weight": "3", "example.com/x": "y"}, ""},
		{"a wrong one of a slice", CheckSlice, m{"sluice.mesh/weight": "x"},
			`annotation sluice.mesh/weight of the EndpointSlice: "x": want a whole number from 0 to 1000`},
		{"a slip on a slice", CheckSlice, m{"sluice.mesh/wieght": "3"}, "unknown annotation; did you mean sluice.mesh/weight?"},
		{"a Service's on a slice", CheckSlice, m{"sluice.mesh/policy": "random"}, "this annotation belongs on a Service"},
	} {
		got := ""
		if err := c.check(c.given); err != nil {
			got = err.Error()
		}
		if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
