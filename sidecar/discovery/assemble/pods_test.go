package assemble

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-mesh/sluice/sidecar/discovery"
	"github.com/sluice-mesh/sluice/sidecar/rules"
)

// Pods come and go for ever, under names of their own: none of those that are gone is kept for longer than slices have it.
func TestPodsThatAreGoneAreForgotten(t *testing.T) {
	targets := Targets{Loops: 1}
	service := Service{Namespace: "shop", Name: "cart", Selector: "app=cart", Addrs: []netip.Addr{netip.MustParseAddr("10.96.0.1")},
		Ports: []ServicePort{{Port: 80}}, Rules: rulesWith(t, "weights", "pods")}
	pods := &targets.Given.Pods
	for i := range 100 {
		name := fmt.Sprintf("p%d", i)
		pods.Set(name, map[string]string{rules.WeightAnnotation: []string{"3", "x"}[i%2]})
		s, problems := ParseSlice(sliceOf(t, []string{"a", "ports=-:8080", name + "@10.1.0.1", "other@10.1.0.2"}))
		if problems != nil {
			t.Fatal(problems)
		}
		targets.Update(service, []*Slice{s})
		pods.Delete(name)
	}
	if len(pods.by) != 1 || len(pods.wrong) != 0 || pods.gone != 1 {
		t.Errorf("%d pods, %d wrong ones, %d gone; want the last one only, which is in the slice", len(pods.by), len(pods.wrong), pods.gone)
	}
	service.Rules = rules.Default()
	targets.Update(service, nil)
	if pods.by != nil {
		t.Errorf("nobody asks for %v", pods.by)
	}
}

// While a list of pods has not come to its end for the first time, those that it had so far would get nearly all there is.
func TestHalfAListOfPodsWeighsNothing(t *testing.T) {
	targets := Targets{Loops: 1}
	service := Service{Namespace: "shop", Name: "cart", Selector: "app=cart", Addrs: []netip.Addr{netip.MustParseAddr("10.96.0.1")},
		Ports: []ServicePort{{Port: 80}}, Rules: rulesWith(t, "weights", "pods")}
	s, problems := ParseSlice(sliceOf(t, []string{"a", "ports=-:8080", "p0@10.1.0.1", "p1@10.1.0.2"}))
	if problems != nil {
		t.Fatal(problems)
	}
	pods := &targets.Given.Pods
	weigh := func(what string, want ...uint32) {
		t.Helper()
		targets.Update(service, []*Slice{s})
		slices.SortFunc(s.records, func(a, b record) int { return strings.Compare(a.name, b.name) })
		for i := range want {
			if got := targets.weights.of(&candidate{record: &s.records[i], slice: s}); got != want[i] {
				t.Errorf("%s: p%d has weight %d, want %d", what, i, got, want[i])
			}
		}
	}
	hundred := map[string]string{rules.WeightAnnotation: "100"}
	pods.Begin()
	pods.Set("p0", hundred)
	weigh("a page of two", 1, 1)
	pods.Set("p1", hundred)
	pods.End()
	weigh("all", 100, 100)
	pods.Begin()
	pods.Set("p0", map[string]string{rules.WeightAnnotation: "7"})
	weigh("listed again", 7, 100)
}

// A Service may be out of use for a while, as its followers are refused. What was last right of its annotations holds behind that, too, and its pods
// have their weights: who follows them is not asked to list them again.
func TestTheLastRightRulesOutlastARefusal(t *testing.T) {
	targets := Targets{Loops: 1}
	right := Service{Namespace: "shop", Name: "cart", Selector: "app=cart", Addrs: []netip.Addr{netip.MustParseAddr("10.96.0.1")},
		Ports: []ServicePort{{Port: 80}}, Rules: rulesWith(t, "weights", "pods")}
	wrong := right
	wrong.Rules, wrong.wrong = nil, map[string]string{rules.Prefix + "weights": "web=many"}
	s, problems := ParseSlice(sliceOf(t, []string{"a", "ports=-:8080", "p0@10.1.0.1", "p1@10.1.0.2"}))
	if problems != nil {
		t.Fatal(problems)
	}
	all := []*Slice{s}
	pods := &targets.Given.Pods
	pods.Begin()
	pods.Set("p0", map[string]string{rules.WeightAnnotation: "3"})
	pods.Set("p1", map[string]string{rules.WeightAnnotation: "4"})
	pods.End()
	for i, step := range []struct {
		what    string
		service Service
		refused bool
	}{
		{"right", right, false}, {"wrong", wrong, false}, {"refused", wrong, true}, {"refused, and updated again", wrong, true},
		{"permitted", wrong, false}, {"right again", right, false}, {"refused, right", right, true}, {"refused, wrong", wrong, true},
		{"refused, wrong, again", wrong, true}, {"refused, right again", right, true}, {"permitted, right", right, false},
	} {
		service := step.service
		if need := targets.Needs(service, all).Pods; need != "app=cart" {
			t.Errorf("step %d, %s: the pods with %q are needed, want those of the Service", i, step.what, need)
		}
		if step.refused {
			service.Reason = discovery.Forbidden
		}
		targets.Update(service, all)
		for _, p := range targets.ports {
			if got := fmt.Sprint(p.Snapshot.Set.Weights); got != "[3 4]" {
				t.Errorf("step %d, %s: the weights are %s, want [3 4]", i, step.what, got)
			}
		}
		if len(targets.ports) == 0 != step.refused {
			t.Errorf("step %d, %s: %d ports", i, step.what, len(targets.ports))
		}
	}
	targets.Update(Service{Addrs: right.Addrs, Ports: right.Ports, Rules: rules.Default()}, all)
	if pods.by != nil {
		t.Error("what pods say is kept though nobody asks")
	}
}
