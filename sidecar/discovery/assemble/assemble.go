package assemble

import (
	"net/netip"
	"slices"

	"github.com/sluice-mesh/sluice/sidecar/balancer"
	"github.com/sluice-mesh/sluice/sidecar/cluster"
	"github.com/sluice-mesh/sluice/sidecar/discovery"
	"github.com/sluice-mesh/sluice/sidecar/loop"
	"github.com/sluice-mesh/sluice/sidecar/rules"
)

// Port is what is published for one address and port of a Service.
type Port struct {
	Snapshot *discovery.Snapshot

	candidates candidates
	sharding   *sharding // nil without a map
}

// Home is what assembling has to know of the process it is done in.
type Home struct {
	Loops      int
	Zone, Node string // where its pod runs; "" is unknown
}

// Assemble answers, for each address and TCP port of a Service, what is to be published: the previous snapshot itself
// where nothing changed, else a new one of the next generation. A Service that passes through has none.
//
// It makes no maps of keys; Targets do, which have all that these need. A wrong annotation of the Service leaves what the previous
// snapshot has in force, a wrong one of a slice says nothing. The list of slices is kept with the ports; the caller
// leaves it as it is.
func Assemble(s Service, all []*Slice, previous map[netip.AddrPort]Port, home Home) map[netip.AddrPort]Port {
	return assemble(s, s.rulesAfter(rulesOf(previous)), all, weights{}.after(all, nil), previous, home, nil)
}

// rulesOf answers the rules in force.
func rulesOf(ports map[netip.AddrPort]Port) *rules.Rules {
	for _, p := range ports { // all have the same
		return p.Snapshot.Rules
	}
	return nil
}

func assemble(s Service, r *rules.Rules, all []*Slice, w weights, previous map[netip.AddrPort]Port, home Home,
	sh *sharding) map[netip.AddrPort]Port {
	ports := make(map[netip.AddrPort]Port, len(s.Addrs)*len(s.Ports))
	if s.Reason != discovery.Found {
		return ports
	}
	for _, addr := range s.Addrs {
		for _, p := range s.Ports {
			dst := netip.AddrPortFrom(addr, p.Port)
			ports[dst] = assemblePort(r, p, addr.Is4(), all, w, previous[dst], home, sh)
		}
	}
	return ports
}

func assemblePort(r *rules.Rules, p ServicePort, v4 bool, all []*Slice, w weights, previous Port, home Home, sh *sharding) Port {
	set := &cluster.EndpointSet{}
	port := Port{sharding: sh}
	port.candidates = candidates{port: p.Name, v4: v4}
	if previous.candidates.port == p.Name && previous.candidates.v4 == v4 {
		port.candidates = previous.candidates
	}
	port.candidates = port.candidates.with(all)
	var before []*cluster.Endpoint
	var since int64
	if previous.Snapshot != nil {
		before, since = previous.Snapshot.Set.Endpoints, loop.Clock()
	}
	fill(set, port.candidates.sorted, w, before, since, home.Loops)

	if old := previous.Snapshot; old != nil {
		set.Generation = old.Set.Generation + 1
		if old.Protocol == p.Protocol && old.Rules == r && old.Set.Terminating == set.Terminating &&
			slices.Equal(old.Set.Endpoints, set.Endpoints) && slices.Equal(old.Set.Hints, set.Hints) && slices.Equal(old.Set.Weights, set.Weights) &&
			sh.same(previous.sharding, old.Shard) {
			port.Snapshot = old
			return port
		}
	}

	picker, err := balancer.New(balancer.Options{
		Policy:         r.Policy,
		Weights:        balancer.Weights(r.Weights),
		SlowStart:      r.SlowStart,
		PanicThreshold: float64(r.PanicThreshold) / 100,
		Zone:           home.Zone,
		Node:           home.Node,
		IgnoreZones:    r.Zone == rules.ZoneIgnore,
	}, set)
	if err != nil { // rules know no policy that balancer does not
		panic(err)
	}
	port.Snapshot = &discovery.Snapshot{Protocol: p.Protocol, Rules: r, Set: set, Picker: picker}
	if sh != nil {
		port.Snapshot.Shard = sh.next(previous.Snapshot, previous.sharding, port.Snapshot)
	}
	return port
}
