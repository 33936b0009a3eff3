package balancer

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/sluice-mesh/sluice/sidecar/cluster"
)

// endpoints makes n endpoints 10.0.0.0:8080 and up, for two loops.
func endpoints(n int) []*cluster.Endpoint {
	es := make([]*cluster.Endpoint, n)
	addr := netip.MustParseAddr("10.0.0.0")
	for i := range es {
		es[i] = cluster.NewEndpoint(netip.AddrPortFrom(addr, 8080), 2)
		addr = addr.Next()
	}
	return es
}

// request is a loop's view with a fixed seed.
func request(loop int, seed uint64) *Request {
	return &Request{Loop: loop, Now: 1000, Rand: rand.New(rand.NewPCG(seed, 1)), Seq: new(uint64)}
}

func newPicker(t testing.TB, policy string, es []*cluster.Endpoint) Picker {
	t.Helper()
	p, err := New(Options{Policy: policy}, &cluster.EndpointSet{Endpoints: es})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// count picks n times, nothing ever in flight, and answers how often each endpoint was picked.
func count(p Picker, r *Request, es []*cluster.Endpoint, n int) []int {
	index := map[*cluster.Endpoint]int{}
	for i, e := range es {
		index[e] = i
	}
	counts := make([]int, len(es))
	for range n {
		counts[index[p.Pick(r)]]++
	}
	return counts
}

func TestPolicyNames(t *testing.T) {
	for _, name := range append(Policies(), "", "rr", "lc", "sh", "dh", "sed", "nq") {
		if err := Check(name); err != nil {
			t.Errorf("Check(%q): %v", name, err)
		}
		newPicker(t, name, nil)
	}
	_, err := New(Options{Policy: "fastest"}, &cluster.EndpointSet{})
	const want = `balancing policy "fastest" is unknown; allowed are destination-hash, least-request, never-queue, peak-ewma, random, ` +
		`round-robin, shortest-expected-delay, source-hash, or IPVS's rr, lc, sh, dh, sed, nq`
	if err == nil || err.Error() != want {
		t.Errorf("New(fastest): %v\nwant: %s", err, want)
	}
	if !slices.IsSorted(Policies()) {
		t.Error("Policies are not sorted")
	}
}

// going are the policies that go round when nothing is in flight, spreading those that also spread what they do not see.
var (
	going     = []string{LeastRequest, NeverQueue, PeakEWMA, RoundRobin, ShortestExpectedDelay}
	spreading = append([]string{Random}, going...)
)

// What holds for every policy, whatever the number of endpoints: the sizes are on both sides of fewEndpoints.
func TestEveryPolicy(t *testing.T) {
	for _, policy := range Policies() {
		for _, n := range []int{1, 2, 3, 8, 9, 40} {
			t.Run(fmt.Sprintf("%s/%d", policy, n), func(t *testing.T) {
				es := endpoints(n)
				p := newPicker(t, policy, es)
				r := request(1, uint64(n))

				t.Run("each attempt of a request goes to another endpoint until all were tried", func(t *testing.T) {
					r := request(1, uint64(n))
					for i := range n {
						e := p.Pick(r)
						if e == nil {
							t.Fatalf("attempt %d of %d: nil", i+1, n)
						}
						if r.tried(e) {
							t.Fatalf("attempt %d: %v was tried already", i+1, e.Addr)
						}
						r.Tried = append(r.Tried, e)
					}
					if e := p.Pick(r); e != nil {
						t.Errorf("all tried: got %v, want nil", e.Addr)
					}
				})

				t.Run("a suspect endpoint is passed over while there are others", func(t *testing.T) {
					for _, bad := range es {
						bad.Load[1].SuspectUntil = r.Now + 1
						for range 50 {
							if e := p.Pick(r); e == bad && n > 1 {
								t.Fatalf("picked %v, which is suspect", bad.Addr)
							} else if e == nil {
								t.Fatal("nil because of a suspicion")
							}
						}
						bad.Load[1].SuspectUntil = r.Now // it has just ended
					}
				})

				t.Run("suspicion by another loop is not ours", func(t *testing.T) {
					if !slices.Contains(spreading, policy) {
						t.Skip("a key has one endpoint")
					}
					for _, e := range es {
						e.Load[0].SuspectUntil = r.Now + 1
						defer func() { e.Load[0].SuspectUntil = 0 }()
					}
					if got := count(p, r, es, 50*n); got[0] == 0 {
						t.Errorf("picks: %v; want some for each", got)
					}
				})

				t.Run("the last one left is picked, though suspect", func(t *testing.T) {
					for _, last := range es {
						r := request(1, 5)
						for _, e := range es {
							e.Load[1].SuspectUntil = r.Now + 1
							if e != last {
								r.Tried = append(r.Tried, e)
							}
						}
						if e := p.Pick(r); e != last {
							t.Fatalf("got %v, want %v", e, last.Addr)
						}
					}
					for _, e := range es {
						e.Load[1].SuspectUntil = 0
					}
				})

				t.Run("a pick is written down for its own loop only", func(t *testing.T) {
					seq := *r.Seq
					e := p.Pick(r)
					load := e.Load[1]
					if *r.Seq != seq+1 || load.LastPick != seq+1 || load.Picks == 0 || load.InFlight != 0 {
						t.Errorf("Seq %d → %d, load %+v", seq, *r.Seq, load)
					}
					if e.Load[0].LastPick != 0 || e.Load[0].Picks != 0 {
						t.Errorf("the other loop's load: %+v", e.Load[0])
					}
				})
			})
		}
	}
}

func TestNoEndpointsIsNil(t *testing.T) {
	for _, policy := range Policies() {
		if e := newPicker(t, policy, nil).Pick(request(0, 1)); e != nil {
			t.Errorf("%s: %v", policy, e)
		}
	}
}

func TestSequentialTrafficIsSpreadEvenly(t *testing.T) {
	for _, policy := range going {
		for seed := range uint64(300) {
			es := endpoints(3)
			for i, c := range count(newPicker(t, policy, es), request(0, seed), es, 3000) {
				if c < 970 || c > 1030 {
					t.Fatalf("%s, seed %d: endpoint %d got %d of 3,000; want 1,000 within 3 %%", policy, seed, i, c)
				}
			}
		}
		for seed := range uint64(50) {
			r, p := request(0, seed), newPicker(t, policy, endpoints(2))
			for last := p.Pick(r); *r.Seq < 100; {
				e := p.Pick(r)
				if e == last {
					t.Fatalf("%s, seed %d, pick %d: the same of two endpoints twice in a row", policy, seed, *r.Seq)
				}
				last = e
			}
		}
	}
}

// Two random ones of many, the longer unpicked wins: no endpoint is starved or favoured. The bound is six times the
// standard deviation of independent picks, which the tie rule only makes smaller.
func TestLargeSetsAreSpreadEvenly(t *testing.T) {
	for _, policy := range spreading {
		for seed := range uint64(5) {
			const n, each = 500, 200
			es := endpoints(n)
			bound := 6 * math.Sqrt(each)
			for i, c := range count(newPicker(t, policy, es), request(0, seed), es, n*each) {
				if math.Abs(float64(c-each)) > bound {
					t.Errorf("%s, seed %d: endpoint %d got %d; want %d ± %.0f", policy, seed, i, c, each, bound)
				}
			}
		}
	}
}

// Several proxies that start together must not all begin with the same endpoint.
func TestTheFirstPickIsRandom(t *testing.T) {
	for _, policy := range spreading {
		first := map[netip.AddrPort]int{}
		for seed := range uint64(3000) {
			first[newPicker(t, policy, endpoints(3)).Pick(request(0, seed)).Addr]++
		}
		for addr, c := range first {
			if c < 850 || c > 1150 {
				t.Errorf("%s: %v is the first pick of %d of 3,000 proxies; want about 1,000", policy, addr, c)
			}
		}
	}
}

// The proxy meets a scale-up, and every other change, as a new picker over old and new endpoints.
func TestANewEndpointGetsNoBurst(t *testing.T) {
	for _, policy := range going {
		for _, size := range []int{3, 20} {
			for seed := range uint64(100) {
				old := endpoints(size)
				r := request(0, seed)
				count(newPicker(t, policy, old), r, old, 1000*size)

				grown := endpoints(2 * size)
				copy(grown[size:], old) // so the new ones are the first of the order
				p := newPicker(t, policy, grown)
				window := count(p, r, grown, 2*size)
				for i, c := range window {
					if limit := 2 + size/10; c > limit { // going round: 1; two choices among many: a few by chance
						t.Fatalf("%s, %d endpoints doubled, seed %d: endpoint %d got %d of the first %d picks (%v)",
							policy, size, seed, i, c, 2*size, window)
					}
				}
				for i, c := range count(p, r, grown, 200*size) {
					if c < 50 || c > 150 {
						t.Fatalf("%s, %d endpoints doubled, seed %d: endpoint %d got %d of 100 expected picks", policy, size, seed, i, c)
					}
				}
			}
		}
	}
}

// A set that is published again and again, e.g. during a rolling update of something else in it, keeps the rhythm.
func TestSwappingTheSetKeepsTheSpread(t *testing.T) {
	for _, policy := range going {
		es := endpoints(3)
		r := request(0, 7)
		counts := make([]int, len(es))
		for range 300 {
			for i, c := range count(newPicker(t, policy, es), r, es, 1) {
				counts[i] += c
			}
		}
		if counts[0] != 100 || counts[1] != 100 || counts[2] != 100 {
			t.Errorf("%s: one pick of each of 300 pickers: %v; want 100 each", policy, counts)
		}
	}
}

// A Service whose calls alternate with another's must go round all the same, though both share the loop's counter.
func TestTwoServicesDoNotBeatTogether(t *testing.T) {
	for _, policy := range going {
		a, b := endpoints(2), endpoints(2)
		pa, pb := newPicker(t, policy, a), newPicker(t, policy, b)
		r := request(0, 3)
		for range 100 {
			pa.Pick(r)
			pb.Pick(r)
		}
		for _, e := range append(a, b...) {
			if e.Load[0].Picks != 50 {
				t.Errorf("%s: %v got %d of 100", policy, e.Addr, e.Load[0].Picks)
			}
		}
	}
}

func TestRoundRobinGoesRoundEvenWhenOthersAreBusy(t *testing.T) {
	es := endpoints(4)
	es[1].Load[0].InFlight = 100
	r := request(0, 9)
	p := newPicker(t, RoundRobin, es)
	for i, c := range count(p, r, es, 400) {
		if c != 100 {
			t.Errorf("endpoint %d got %d of 400", i, c)
		}
	}
	es[2].Load[0].SuspectUntil = r.Now + 1
	for i, c := range count(p, r, es, 300) {
		if want := map[int]int{0: 100, 1: 100, 3: 100}[i]; c != want {
			t.Errorf("with one suspect: endpoint %d got %d of 300, want %d", i, c, want)
		}
	}
}
