package assemble

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-mesh/sluice/sidecar/rules"
)

// What stays on the heap for a Service of 10,000 pods with one port, in a process of two loops, when the API's objects
// are gone. The design's bound is 500 B an endpoint; a Service that asks for the weights of its pods pays for their names, once more.
func TestMemoryOfAnEndpoint(t *testing.T) {
	t.Run("plain", func(t *testing.T) { memoryOfAnEndpoint(t, &Service{}, 500) })
	t.Run("with the weights of pods", func(t *testing.T) {
		memoryOfAnEndpoint(t, &Service{Selector: "app=cart", Rules: rulesWith(t, "weights", "pods")}, 600)
	})
}

func rulesWith(t *testing.T, name, value string) *rules.Rules {
	t.Helper()
	r, problems := rules.Parse(map[string]string{rules.Prefix + name: value}, nil)
	if problems != nil {
		t.Fatal(problems)
	}
	return r
}

func memoryOfAnEndpoint(t *testing.T, service *Service, bound uint64) {
	const n = 10_000
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	targets := Targets{Loops: 2}
	func() {
		addr := netip.MustParseAddr("10.1.0.0")
		port, portName := int32(8080), "http"
		var all []*Slice
		for i := 0; i < n; i += 100 {
			in := discoveryv1.EndpointSlice{AddressType: discoveryv1.AddressTypeIPv4,
				Ports: []discoveryv1.EndpointPort{{Name: &portName, Port: &port}}}
			in.Name = fmt.Sprintf("cart-%05d", i)
			for j := range 100 {
				addr = addr.Next()
				node, zone := fmt.Sprintf("node-%d.example.internal", j%50), fmt.Sprintf("zone-%d", j%3)
				in.Endpoints = append(in.Endpoints, discoveryv1.Endpoint{Addresses: []string{addr.String()}, NodeName: &node, Zone: &zone,
					TargetRef: &corev1.ObjectReference{Name: fmt.Sprintf("cart-6d4cf56db6-%05d", i+j),
						UID: types.UID(fmt.Sprintf("0a1b2c3d-0000-4000-8000-%012d", i+j))}})
				if service.Selector != "" {
					name := fmt.Sprintf("cart-6d4cf56db6-%05d", i+j)
					targets.Given.Pods.Set(name, map[string]string{rules.WeightAnnotation: fmt.Sprint(j)})
				}
			}
			s, problems := ParseSlice(&in)
			if problems != nil {
				t.Fatal(problems)
			}
			all = append(all, s)
		}
		service.Namespace, service.Name, service.Addrs = "shop", "cart", []netip.Addr{netip.MustParseAddr("10.96.0.1")}
		service.Ports = []ServicePort{{Name: "http", Port: 80}}
		targets.Update(*service, all)
	}()
	each := (heap() - before) / n
	t.Logf("%d B an endpoint", each)
	if each > bound {
		t.Errorf("%d B an endpoint, want at most %d", each, bound)
	}
	runtime.KeepAlive(targets)
}
