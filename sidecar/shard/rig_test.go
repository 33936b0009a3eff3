package shard

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/cluster"
	"github.com/sluice-mesh/sluice/sidecar/shardkey"
)

func keyOf(text string) shardkey.Key { return shardkey.Of([]byte(text)) }

func mustSpec(t testing.TB, text string) Spec {
	t.Helper()
	s, err := ParseSpec(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// pod makes an endpoint of a StatefulSet's pod, or of a Deployment's when ordinal is negative.
func pod(name string, address int) *cluster.Endpoint {
	e := cluster.NewEndpoint(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(address >> 16), byte(address >> 8), byte(address)}), 80), 1)
	e.Name = name
	if _, n := split(name); n < 0 {
		e.UID = "uid-of-" + name
	}
	return e
}

func setOf(endpoints ...*cluster.Endpoint) *cluster.EndpointSet {
	s := &cluster.EndpointSet{Endpoints: slices.Clone(endpoints)}
	slices.SortFunc(s.Endpoints, func(a, b *cluster.Endpoint) int { return a.Addr.Compare(b.Addr) })
	return s
}

// pods makes n endpoints of a Deployment.
func pods(n int) []*cluster.Endpoint {
	var all []*cluster.Endpoint
	for i := range n {
		all = append(all, pod(fmt.Sprintf("web-7d4b9c-%05dx", i), i+1))
	}
	return all
}

// replicas makes the endpoints web-0 to web-(n-1).
func replicas(n int) []*cluster.Endpoint {
	var all []*cluster.Endpoint
	for i := range n {
		all = append(all, pod(fmt.Sprintf("web-%d", i), i+1))
	}
	return all
}

// owners answers the owner's identity for each of n keys.
func owners(m *Map, n int) []string {
	all := make([]string, n)
	for i := range all {
		if o := m.Owner(sampleKey(m, i)); o.Member != nil {
			all[i] = o.Member.ID
		}
	}
	return all
}

// sampleKey answers the i-th key of a kind the map understands.
func sampleKey(m *Map, i int) shardkey.Key {
	if m.spec.Kind == S2 {
		return keyOf(fmt.Sprintf("%.4f,%.4f", 48+float64(i%100)/40, 16+float64(i/100)/40))
	}
	return keyOf(fmt.Sprintf("account-%d", i))
}

// hashedSpecs are the maps that spread keys by hash.
var hashedSpecs = []string{"rendezvous", "maglev", "ring", "s2", "rendezvous,slots=1024", "ring,size=100", "maglev,size=251"}

func shuffled[T any](r *rand.Rand, all []T) []T {
	all = slices.Clone(all)
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

func seedOf(t *testing.T) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}
