package balancer

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/sluice-mesh/sluice/sidecar/cluster"
)

// named makes n endpoints of pods web-0 and up.
func named(n int) []*cluster.Endpoint {
	es := endpoints(n)
	for i, e := range es {
		e.Name = fmt.Sprintf("web-%d", i)
	}
	return es
}

func client(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 4, byte(i >> 8), byte(i)}) }

// owners answers whom source-hash sends n clients to.
func owners(t *testing.T, es []*cluster.Endpoint, n int) []string {
	t.Helper()
	p, r := newPicker(t, SourceHash, es), request(0, 1)
	names := make([]string, n)
	for i := range names {
		r.Client = client(i)
		e := p.Pick(r)
		if again := p.Pick(r); again != e {
			t.Fatalf("client %v: first %s, then %s", r.Client, e.Name, again.Name)
		}
		names[i] = e.Name
	}
	return names
}

func TestAKeyHasTheSameEndpointEverywhere(t *testing.T) {
	es := named(20)
	want := owners(t, es, 1000)
	shuffled := slices.Clone(es)
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(es), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	if !slices.Equal(owners(t, shuffled, 1000), want) {
		t.Error("another order, other owners")
	}
	// As of every release: keys must not move on an update.
	if got := want[:8]; !slices.Equal(got, []string{"web-16", "web-6", "web-4", "web-11", "web-18", "web-14", "web-15", "web-11"}) {
		t.Errorf("owners are %q", got)
	}
}

// An address has one hash, by all its sixteen bytes, whichever way it is written.
func TestAddressesAreHashedWhole(t *testing.T) {
	for _, text := range []string{"10.4.0.1", "::ffff:10.4.0.1", "fd00::a04:1", "::", "::1", "2001:db8::ffff:10.4.0.1"} {
		a := netip.MustParseAddr(text)
		want := uint64(fnvBasis)
		for _, b := range a.As16() {
			want = (want ^ uint64(b)) * fnvPrime
		}
		if got := hashAddr(a); got != mix(want) {
			t.Errorf("%s: %x, want %x", text, got, mix(want))
		}
	}
}

// Whoever stands in is the open endpoint behind the shortest way from any of a key's places.
func TestTheNearestOpenEndpointStandsIn(t *testing.T) {
	es := named(40)
	for i, e := range es {
		if i%3 != 0 {
			e.Load[0].SuspectUntil = 1 << 60
		}
	}
	p, err := New(Options{Policy: SourceHash}, &cluster.EndpointSet{Endpoints: es})
	if err != nil {
		t.Fatal(err)
	}
	r := request(0, 1)
	for i := range 2000 {
		r.Client = client(i)
		var want *cluster.Endpoint
		least := ^uint64(0)
		for k := range uint64(probes) {
			place := mix(hashAddr(r.Client) + k*0x9e3779b97f4a7c15)
			var next *cluster.Endpoint
			way := ^uint64(0)
			for _, e := range es {
				if d := hashName(e.Name) - place; d < way {
					next, way = e, d
				}
			}
			if next.Load[0].SuspectUntil == 0 && way < least {
				want, least = next, way
			}
		}
		if got := p.Pick(r); want != nil && got != want {
			t.Fatalf("client %v: %s, want %s", r.Client, got.Name, want.Name)
		}
	}
}

func TestOnlyTheKeysOfAnEndpointThatGoesMove(t *testing.T) {
	const n, keys = 20, 5000
	es := named(n)
	all := owners(t, es, keys)
	for gone := range es {
		rest := slices.Delete(slices.Clone(es), gone, gone+1)
		for i, now := range owners(t, rest, keys) {
			if was := all[i]; was != es[gone].Name && now != was {
				t.Fatalf("%s goes, and client %v moves from %s to %s", es[gone].Name, client(i), was, now)
			}
		}
		// Suspect is as good as gone, and for the same successor.
		es[gone].Load[0].SuspectUntil = 1 << 60
		suspect := owners(t, es, keys)
		es[gone].Load[0].SuspectUntil = 0
		for i, now := range suspect {
			if was := all[i]; was != es[gone].Name && now != was || now == es[gone].Name {
				t.Fatalf("%s is suspect, and client %v moves from %s to %s", es[gone].Name, client(i), was, now)
			}
		}
	}
}

// Names hash to points at random, so shares differ even with all keys there are. With one probe the largest of 100 would be some
// five times the mean.
func TestKeysAreSpread(t *testing.T) {
	const keys = 30_000
	for _, n := range []int{2, 10, 100} {
		counts := map[string]int{}
		for _, name := range owners(t, named(n), keys) {
			counts[name]++
		}
		most := 0
		for _, c := range counts {
			most = max(most, c)
		}
		if got := float64(most) * float64(n) / keys; got > 1.45 || len(counts) != n {
			t.Errorf("%d endpoints: the most that one gets is %.2f times the mean, and %d get any", n, got, len(counts))
		}
	}
}

func TestSourceAndDestinationHashGoByTheirAddress(t *testing.T) {
	es := named(10)
	source, destination := newPicker(t, SourceHash, es), newPicker(t, DestinationHash, es)
	r := request(0, 1)
	bySource, byDestination := map[*cluster.Endpoint]bool{}, map[*cluster.Endpoint]bool{}
	for i := range 1000 {
		r.Client, r.Destination = client(i), netip.MustParseAddr("10.96.0.1")
		bySource[source.Pick(r)], byDestination[destination.Pick(r)] = true, true
	}
	if len(bySource) != 10 || len(byDestination) != 1 {
		t.Errorf("1000 clients of one address: %d endpoints by source, %d by destination", len(bySource), len(byDestination))
	}
}
