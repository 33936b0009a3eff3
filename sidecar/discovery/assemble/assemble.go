package assemble

import (
	"net/netip"
	"slices"

	"github.com/sluice-mesh/sluice/sidecar/balancer"
	"github.com/sluice-mesh/sluice/sidecar/cluster"
	"github.com/sluice-mesh/sluice/sidecar/discovery"
)

// Port is what is published for one address and port of a Service.
type Port struct {
	Snapshot *discovery.Snapshot

	candidates candidates
}

// Assemble answers, for each address and TCP port of a Service, what is to be published: the previous snapshot itself
// where nothing changed, else a new one of the next generation. A Service that passes through has none.
//
// A wrong policy leaves that of the previous snapshot in force. Loops is the number of the process's loops. The list of
// slices is kept with the ports; the caller leaves it as it is.
func Assemble(s Service, all []*Slice, previous map[netip.AddrPort]Port, loops int) map[netip.AddrPort]Port {
	ports := make(map[netip.AddrPort]Port, len(s.Addrs)*len(s.Ports))
	if s.Reason != discovery.Found {
		return ports
	}
	for _, addr := range s.Addrs {
		for _, p := range s.Ports {
			dst := netip.AddrPortFrom(addr, p.Port)
			ports[dst] = assemblePort(s, p, addr.Is4(), all, previous[dst], loops)
		}
	}
	return ports
}

func assemblePort(s Service, p ServicePort, v4 bool, all []*Slice, previous Port, loops int) Port {
	set := &cluster.EndpointSet{}
	var port Port
	port.candidates = candidates{port: p.Name, v4: v4}
	if previous.candidates.port == p.Name && previous.candidates.v4 == v4 {
		port.candidates = previous.candidates
	}
	port.candidates = port.candidates.with(all)
	var before []*cluster.Endpoint
	if previous.Snapshot != nil {
		before = previous.Snapshot.Set.Endpoints
	}
	set.Endpoints, set.Terminating = endpointsOf(port.candidates.sorted, before, loops)

	policy := s.Policy
	if old := previous.Snapshot; old != nil {
		if s.BadPolicy {
			policy = old.Policy
		}
		set.Generation = old.Set.Generation + 1
	}
	if policy == "" {
		policy = balancer.Default
	}
	if old := previous.Snapshot; old != nil && old.Protocol == p.Protocol && old.Policy == policy &&
		old.Set.Terminating == set.Terminating && slices.Equal(old.Set.Endpoints, set.Endpoints) {
		port.Snapshot = old
		return port
	}

	picker, err := balancer.New(policy, set)
	if err != nil { // ParseService lets no unknown policy through
		panic(err)
	}
	port.Snapshot = &discovery.Snapshot{Protocol: p.Protocol, Policy: policy, Set: set, Picker: picker}
	return port
}
