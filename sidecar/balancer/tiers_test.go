package balancer

import (
	"strings"
	"testing"
	"time"
	"unique"

	"github.com/sluice-mesh/sluice/sidecar/cluster"
)

// hintedSet makes endpoints with hints: "a" is for zone a, "a b" for both, "@n1 a" for node n1 and zone a, "-" for nobody.
func hintedSet(hints ...string) *cluster.EndpointSet {
	set := &cluster.EndpointSet{Endpoints: named(len(hints))}
	for _, h := range hints {
		var zones, nodes []string
		for word := range strings.FieldsSeq(h) {
			if node, ok := strings.CutPrefix(word, "@"); ok {
				nodes = append(nodes, node)
			} else if word != "-" {
				zones = append(zones, word)
			}
		}
		set.Hints = append(set.Hints, unique.Make(cluster.Hints{Zones: strings.Join(zones, " "), Nodes: strings.Join(nodes, " ")}))
	}
	return set
}

func TestWhichHintsCount(t *testing.T) {
	for _, c := range []struct {
		name   string
		o      Options
		hints  []string
		change func(*cluster.EndpointSet)
		want   []int // picked ones
	}{
		{"our zone", Options{Zone: "a"}, []string{"a", "b", "a"}, nil, []int{0, 2}},
		{"a hint for several zones", Options{Zone: "a"}, []string{"b a", "b", "c"}, nil, []int{0}},
		{"zone names are compared whole", Options{Zone: "a"}, []string{"aa", "b"}, nil, []int{0, 1}},
		{"one without a hint: none counts", Options{Zone: "a"}, []string{"a", "b", "-"}, nil, []int{0, 1, 2}},
		{"none for our zone", Options{Zone: "c"}, []string{"a", "b"}, nil, []int{0, 1}},
		{"our zone is unknown", Options{}, []string{"a", "b"}, nil, []int{0, 1}},
		{"zones are ignored", Options{Zone: "a", IgnoreZones: true}, []string{"a", "b"}, nil, []int{0, 1}},
		{"our node", Options{Zone: "a", Node: "n1"}, []string{"@n1 a", "@n2 a", "@n3 b"}, nil, []int{0}},
		{"none for our node, but for our zone", Options{Zone: "a", Node: "n9"}, []string{"@n1 a", "@n2 a", "@n3 b"}, nil, []int{0, 1}},
		{"one without a node's: zones count", Options{Zone: "a", Node: "n1"}, []string{"@n1 a", "a", "@n3 b"}, nil, []int{0, 1}},
		{"the zone is read off an endpoint on our node", Options{Node: "n1"}, []string{"a", "b", "c"}, func(s *cluster.EndpointSet) {
			s.Endpoints[2].Location = unique.Make(cluster.Location{Node: "n1", Zone: "b"})
		}, []int{1}},
		{"hints are for ready endpoints", Options{Zone: "a"}, []string{"a", "b"}, func(s *cluster.EndpointSet) { s.Terminating = true }, []int{0, 1}},
	} {
		for _, policy := range spreading {
			set := hintedSet(c.hints...)
			if c.change != nil {
				c.change(set)
			}
			c.o.Policy = policy
			counts := count(mustNew(t, c.o, set), request(0, 1), set.Endpoints, 500)
			for i, n := range counts {
				wanted := false
				for _, w := range c.want {
					wanted = wanted || w == i
				}
				if wanted != (n > 0) {
					t.Errorf("%s, %s: %v, want %v picked", c.name, policy, counts, c.want)
					break
				}
			}
		}
	}
	set := hintedSet("a", "b", "b", "b")
	p := mustNew(t, Options{Policy: SourceHash, Zone: "a"}, set)
	if got := count(p, request(0, 1), set.Endpoints, 10); got[0] == 10 && owners(t, set.Endpoints, 1)[0] != "web-0" {
		t.Error("source-hash follows hints; a key's endpoint would not be the same from everywhere")
	}
}

// split3 is three near endpoints and six far ones.
func split3() *cluster.EndpointSet { return hintedSet("a", "a", "a", "b", "b", "b", "c", "c", "c") }

func toFar(counts map[*cluster.Endpoint]int, set *cluster.EndpointSet) float64 {
	far := 0.0
	for _, e := range set.Endpoints[3:] {
		far += share(counts, e)
	}
	return far
}

func TestOverflowWhenTheZoneIsNotWell(t *testing.T) {
	for _, policy := range spreading {
		for suspect, want := range []float64{0, 1 - 1.4*2/3, 1 - 1.4/3, 1} {
			set := split3()
			for _, e := range set.Endpoints[:suspect] {
				e.Load[0].SuspectUntil = 1 << 60
			}
			const n, seed = 20_000, 9
			counts := count(mustNew(t, Options{Policy: policy, Zone: "a"}, set), request(0, seed), set.Endpoints, n)
			near(t, policy+", seed 9, to other zones", sum(counts[3:]), n, want)
			if sum(counts[:suspect]) != 0 {
				t.Errorf("%s: %v, and %d are suspect", policy, counts, suspect)
			}
		}
	}
}

func TestTriedOnesOfTheZoneAreFollowedByOthers(t *testing.T) {
	for _, policy := range spreading {
		set := split3()
		p := mustNew(t, Options{Policy: policy, Zone: "a"}, set)
		r := request(0, 2)
		r.Tried = set.Endpoints[:3]
		if c := count(p, r, set.Endpoints, 1000); sum(c[:3]) != 0 {
			t.Errorf("%s: %v, and three were tried", policy, c)
		}
		// Suspects of other zones are left for the very last.
		for _, e := range set.Endpoints[3:] {
			e.Load[0].SuspectUntil = 1 << 60
		}
		r.Tried = set.Endpoints[:2]
		if e := p.Pick(r); e != set.Endpoints[2] {
			t.Errorf("%s: picked %s", policy, e.Name)
		}
		r.Tried = set.Endpoints[:3]
		if e := p.Pick(r); e == nil {
			t.Errorf("%s: none, though six were not tried", policy)
		}
		r.Tried = set.Endpoints
		if e := p.Pick(r); e != nil {
			t.Errorf("%s: %s, though all were tried", policy, e.Name)
		}
	}
}

// A zone that is as fast as ever keeps all of its requests, however many there are; one whose answers take long because too much is
// asked of it is relieved, and one that answers slowly whatever is asked of it as well, but only while that is busy.
func TestOverflowWhenTheZoneIsMuchBusier(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		name        string
		clients     int
		takes       func(near bool, inFlight int64) time.Duration
		least, most float64 // to other zones
	}{
		{"many clients, fast answers", 100, func(bool, int64) time.Duration { return 5 * ms }, 0, 0},
		{"many clients, slow answers everywhere", 200, func(bool, int64) time.Duration { return 500 * ms }, 0, 0.1},
		{"few clients, near ones slow", 3, func(near bool, _ int64) time.Duration {
			if near {
				return 50 * ms
			}
			return 5 * ms
		}, 0, 0},
		{"many clients, near ones slow", 100, func(near bool, _ int64) time.Duration {
			if near {
				return 100 * ms
			}
			return 5 * ms
		}, 0.5, 1},
		{"near ones overloaded: each takes 5 ms for each request that it has", 100, func(near bool, n int64) time.Duration {
			if near {
				return time.Duration(n+1) * 5 * ms
			}
			return 5 * ms
		}, 0.5, 1},
	} {
		for _, policy := range spreading {
			for seed := range uint64(1) {
				set := split3()
				s := newSim(t, mustNew(t, Options{Policy: policy, Zone: "a"}, set), seed)
				isNear := map[*cluster.Endpoint]bool{}
				for _, e := range set.Endpoints[:3] {
					isNear[e] = true
				}
				s.takes = func(e *cluster.Endpoint, _ time.Duration) time.Duration {
					d := c.takes(isNear[e], e.Load[0].InFlight)
					return d + time.Duration(s.r.Rand.Int64N(int64(d/4)))
				}
				s.closed(time.Second, c.clients)
				if got := toFar(s.closed(2*time.Second, c.clients), set); got < c.least || got > c.most {
					t.Errorf("%s, %s, seed %d: %.3f of the requests leave the zone, want %.2f to %.2f", c.name, policy, seed, got, c.least, c.most)
				}
			}
		}
	}
}

// One busy endpoint does not make a zone weak.
func TestOneBusyEndpointIsNoReasonToLeaveTheZone(t *testing.T) {
	set := split3()
	load := &set.Endpoints[1].Load[0]
	load.InFlight, load.Latency, load.LatencyAt = 50, 1e9, 1000
	for _, policy := range []string{LeastRequest, PeakEWMA} {
		if c := count(mustNew(t, Options{Policy: policy, Zone: "a"}, set), request(0, 1), set.Endpoints, 1000); sum(c[3:]) != 0 {
			t.Errorf("%s: %v", policy, c)
		}
	}
}

// The panic threshold is of all endpoints, near and far.
func TestPanicAcrossZones(t *testing.T) {
	set := hintedSet(strings.Split(strings.Repeat("a,b,b,", 20)[:119], ",")...)
	for i, e := range set.Endpoints {
		if i%4 != 0 {
			e.Load[0].SuspectUntil = 1 << 60
		}
	}
	const n, seed = 20_000, 3
	counts := count(mustNew(t, Options{Policy: Random, Zone: "a", PanicThreshold: 0.5}, set), request(0, seed), set.Endpoints, n)
	sound := 0
	for i, c := range counts {
		if i%4 == 0 {
			sound += c
		}
	}
	near(t, "seed 3, to those in good health", sound, n, 0.5)
}
