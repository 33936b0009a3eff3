package inject

import (
	"bytes"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/sluice-mesh/sluice/webhook/config"
)

var update = flag.Bool("update", false, "write the golden files anew")

// scenario is what a golden test's input may say besides the pod, in a document of its own.
type scenario struct {
	Kind         string   // "Scenario"
	Classic      bool     // the cluster does not know native sidecars
	ServiceCIDRs []string // 10.96.0.0/16 when absent
	Flags        []string // of the webhook
}

// TestPods reads testdata/pods/CASE.yaml (a Pod, and where wanted a Namespace and a Scenario) and compares the answer
// with CASE.golden.yaml.
func TestPods(t *testing.T) {
	files, err := filepath.Glob("testdata/pods/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, ".golden.yaml") {
			continue
		}
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		t.Run(name, func(t *testing.T) {
			request := readCase(t, file)
			before := request.Pod.DeepCopy()
			pod, decision := Pod(request)
			if !reflect.DeepEqual(before, request.Pod) {
				t.Error("the request's own pod was changed")
			}
			compare(t, strings.TrimSuffix(file, ".yaml")+".golden.yaml", render(t, pod, decision))
			if decision.Outcome == Inject {
				checkInjected(t, request, pod)
			}
		})
	}
}

func render(t *testing.T, pod *corev1.Pod, d Decision) []byte {
	t.Helper()
	var b bytes.Buffer
	fmt.Fprintf(&b, "# %s, reason %s\n", d.Outcome, d.Reason)
	for _, line := range append(strings.Split(d.Message, "\n"), d.Warnings...) {
		if line != "" {
			fmt.Fprintf(&b, "# %s\n", line)
		}
	}
	if d.Outcome == Inject {
		out, err := yaml.Marshal(pod)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(out)
	}
	return b.Bytes()
}

func compare(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v (go test -update writes it)", err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("answer differs from %s (go test -update writes it):\n%s", file, got)
	}
}

func readCase(t *testing.T, file string) Request {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pod := &corev1.Pod{}
	ns := &corev1.Namespace{}
	s := scenario{ServiceCIDRs: []string{"10.96.0.0/16"}}
	for _, document := range strings.Split(string(data), "\n---\n") {
		var head struct{ Kind string }
		if err := yaml.Unmarshal([]byte(document), &head); err != nil {
			t.Fatal(err)
		}
		into, ok := map[string]any{"Pod": pod, "Namespace": ns, "Scenario": &s}[head.Kind]
		if !ok {
			t.Fatalf("%s: kind %q; allowed are Pod, Namespace, Scenario", file, head.Kind)
		}
		if err := yaml.UnmarshalStrict([]byte(document), into); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
	}
	if ns.Name == "" {
		ns.Name = "shop"
	}
	options, err := config.ParseOptions(append([]string{"--inject-proxy-image=sluice:test"}, s.Flags...),
		func(string) (string, bool) { return "", false }, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	r := Request{Pod: pod, Namespace: config.Namespace{Name: ns.Name, Labels: ns.Labels, Annotations: ns.Annotations},
		Defaults: options.Inject, NativeSidecars: !s.Classic, IgnorePodSecurity: !options.PodSecurity}
	for _, c := range s.ServiceCIDRs {
		r.ServiceCIDRs = append(r.ServiceCIDRs, netip.MustParsePrefix(c))
	}
	return r
}
