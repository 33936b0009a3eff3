package balancer

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"
	"unique"

	"github.com/sluice-mesh/sluice/sidecar/cluster"
)

// variants are ways in which endpoints may differ.
var variants = []struct {
	name string
	// vary changes what a picker is made of; i is an endpoint's index.
	options Options
	vary    func(i int, e *cluster.Endpoint, hints *cluster.Hints)
}{
	{"plain", Options{}, func(int, *cluster.Endpoint, *cluster.Hints) {}},
	{"weighted", Options{Weights: "*1=5,*7=2,*=1"}, func(int, *cluster.Endpoint, *cluster.Hints) {}},
	{"one in ten joins", Options{SlowStart: time.Minute}, func(i int, e *cluster.Endpoint, _ *cluster.Hints) {
		if i%10 == 9 {
			e.Since = 1
		}
	}},
	{"a third is near", Options{Zone: "a"}, func(i int, e *cluster.Endpoint, h *cluster.Hints) {
		h.Zones = string("abc"[i%3])
	}},
	{"a third is suspect", Options{PanicThreshold: 0.5}, func(i int, e *cluster.Endpoint, _ *cluster.Hints) {
		if i%3 == 1 {
			e.Load[0].SuspectUntil = 1 << 60
		}
	}},
	{"most are suspect", Options{PanicThreshold: 0.5}, func(i int, e *cluster.Endpoint, _ *cluster.Hints) {
		if i%10 != 1 {
			e.Load[0].SuspectUntil = 1 << 60
		}
	}},
}

// varied makes n endpoints of variant v, with things in flight and answers seen.
func varied(v, n int) (Options, *cluster.EndpointSet) {
	set := &cluster.EndpointSet{Endpoints: endpoints(n)}
	rnd := rand.New(rand.NewPCG(3, 4))
	any := false
	hints := make([]unique.Handle[cluster.Hints], n)
	for i, e := range set.Endpoints {
		e.Name = fmt.Sprintf("web-%05d", i)
		e.Load[0].InFlight = int64(rnd.IntN(10))
		e.Load[0].Latency, e.Load[0].LatencyAt = float64(rnd.IntN(10)*int(time.Millisecond)), 1
		var h cluster.Hints
		variants[v].vary(i, e, &h)
		hints[i], any = unique.Make(h), any || h != cluster.Hints{}
	}
	if any {
		set.Hints = hints
	}
	return variants[v].options, set
}

func variedPicker(t testing.TB, policy string, v, n int) (Picker, *Request) {
	t.Helper()
	o, set := varied(v, n)
	o.Policy = policy
	p, err := New(o, set)
	if err != nil {
		t.Fatal(err)
	}
	r := request(0, 1)
	r.Client, r.Destination = netip.MustParseAddr("10.9.8.7"), netip.MustParseAddr("10.96.0.1")
	return p, r
}

func BenchmarkPick(b *testing.B) {
	for _, policy := range Policies() {
		for v := range variants {
			for _, n := range []int{3, 1000, 10_000} {
				b.Run(fmt.Sprintf("%s/%s/%d", policy, variants[v].name, n), func(b *testing.B) {
					p, r := variedPicker(b, policy, v, n)
					b.ReportAllocs()
					for b.Loop() {
						r.Now += 10_000 // as at 100,000 picks a second
						p.Pick(r)
					}
				})
			}
		}
	}
}

// Clients of a sidecar are its pod's: one or two addresses. A pick for another one each time takes longer by its hash.
func BenchmarkPickForAnother(b *testing.B) {
	for _, n := range []int{3, 1000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			p, r := variedPicker(b, SourceHash, 0, n)
			for b.Loop() {
				r.Now += 10_000
				r.Client = netip.AddrFrom4([4]byte{10, byte(r.Now >> 16), byte(r.Now >> 8), byte(r.Now)})
				p.Pick(r)
			}
		})
	}
}

// What a single change costs, off the loops.
func BenchmarkNew(b *testing.B) {
	for _, policy := range Policies() {
		for v := range variants[:4] {
			b.Run(fmt.Sprintf("%s/%s/10000", policy, variants[v].name), func(b *testing.B) {
				o, set := varied(v, 10_000)
				o.Policy = policy
				b.ReportAllocs()
				for b.Loop() {
					New(o, set)
				}
			})
		}
	}
}

func TestPickDoesNotAllocate(t *testing.T) {
	for _, policy := range Policies() {
		for v := range variants {
			for _, n := range []int{1, 3, 1000} {
				p, r := variedPicker(t, policy, v, n)
				r.Tried = []*cluster.Endpoint{p.Pick(r)}
				if a := testing.AllocsPerRun(100, func() { p.Pick(r) }); a != 0 {
					t.Errorf("%s over %d endpoints, %s: %v allocations", policy, n, variants[v].name, a)
				}
			}
		}
	}
}
