package assemble

import (
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/sluice-mesh/sluice/sidecar/balancer"
	"github.com/sluice-mesh/sluice/sidecar/cluster"
	"github.com/sluice-mesh/sluice/sidecar/discovery"
	"github.com/sluice-mesh/sluice/sidecar/rules"
)

var hintsDst = netip.MustParseAddrPort("10.96.0.1:80")

// hinted makes a slice of pods p1, p2, … with hints as "zone/node", each of which may be empty; "" is no hint.
func hinted(t *testing.T, hints ...string) *Slice {
	t.Helper()
	port := int32(8080)
	in := discoveryv1.EndpointSlice{AddressType: discoveryv1.AddressTypeIPv4, Ports: []discoveryv1.EndpointPort{{Port: &port}}}
	in.Name = "cart-1"
	addr := netip.MustParseAddr("10.1.0.0")
	for _, h := range hints {
		addr = addr.Next()
		e := discoveryv1.Endpoint{Addresses: []string{addr.String()}, TargetRef: &corev1.ObjectReference{Name: "p", UID: "uid"}}
		if zone, node, _ := strings.Cut(h, "/"); h != "" {
			e.Hints = &discoveryv1.EndpointHints{}
			if zone != "" {
				e.Hints.ForZones = []discoveryv1.ForZone{{Name: zone}, {Name: zone + "2"}}
			}
			if node != "" {
				e.Hints.ForNodes = []discoveryv1.ForNode{{Name: node}}
			}
		}
		in.Endpoints = append(in.Endpoints, e)
	}
	s, problems := ParseSlice(&in)
	if problems != nil {
		t.Fatal(problems)
	}
	return s
}

// picked answers which endpoints get picks, as "1.3.".
func picked(r *balancer.Request, s *discovery.Snapshot) string {
	got := map[*cluster.Endpoint]bool{}
	for range 100 {
		got[s.Picker.Pick(r)] = true
	}
	var b strings.Builder
	for i, e := range s.Set.Endpoints {
		if got[e] {
			b.WriteString(string(rune('1'+i)) + ".")
		}
	}
	return b.String()
}

func TestHintsChangeWhatIsPickedAndNoEndpoint(t *testing.T) {
	service := Service{Namespace: "shop", Name: "cart", Addrs: []netip.Addr{hintsDst.Addr()}, Ports: []ServicePort{{Port: 80}}, Rules: rules.Default()}
	r := &balancer.Request{Now: 1, Rand: rand.New(rand.NewPCG(1, 2)), Seq: new(uint64)}
	targets := Targets{Loops: 1, Zone: "a", Node: "n1"}
	var last *discovery.Snapshot
	for _, c := range []struct {
		hints []string
		want  string
		same  bool // as the snapshot before
	}{
		{[]string{"", "", ""}, "1.2.3.", false},
		{[]string{"a", "b", "a"}, "1.3.", false},
		{[]string{"a", "b", "a"}, "1.3.", true},
		{[]string{"b", "a", "a"}, "2.3.", false},
		{[]string{"a", "b", ""}, "1.2.3.", false},
		{[]string{"", "b", "a"}, "1.2.3.", false},
		{[]string{"b/n1", "a/n2", "a/n3"}, "1.", false},
		{[]string{"", "", ""}, "1.2.3.", false},
	} {
		targets.Update(service, []*Slice{hinted(t, c.hints...)})
		s := targets.ports[hintsDst].Snapshot
		if got := picked(r, s); got != c.want {
			t.Errorf("hints %q: %s are picked, want %s", c.hints, got, c.want)
		}
		if (s == last) != c.same {
			t.Errorf("hints %q: the same snapshot: %v", c.hints, s == last)
		}
		for i, e := range s.Set.Endpoints {
			if last != nil && e != last.Set.Endpoints[i] {
				t.Errorf("hints %q: endpoint %d is a new one", c.hints, i)
			}
		}
		if n := len(s.Set.Hints); n != 0 && n != len(c.hints) {
			t.Errorf("hints %q: %d of them", c.hints, n)
		}
		last = s
	}
}

func TestSinceIsWhenAnEndpointJoined(t *testing.T) {
	service := Service{Namespace: "shop", Name: "cart", Addrs: []netip.Addr{hintsDst.Addr()}, Ports: []ServicePort{{Port: 80}}}
	targets := Targets{Loops: 1}
	since := func(hints ...string) (all []int64) {
		targets.Update(service, []*Slice{hinted(t, hints...)})
		for _, e := range targets.ports[hintsDst].Snapshot.Set.Endpoints {
			all = append(all, e.Since)
		}
		return all
	}
	if got := since("", ""); got[0] != 0 || got[1] != 0 {
		t.Errorf("the first set: %v, want zeros: their age is not known", got)
	}
	first := since("", "", "")
	if first[0] != 0 || first[1] != 0 || first[2] <= 0 {
		t.Errorf("one joins: %v", first)
	}
	if second := since("", "", "", ""); second[2] != first[2] || second[3] < first[2] {
		t.Errorf("another joins: %v, and before %v", second, first)
	}
}
