package assemble

import (
	"net/netip"
	"slices"

	"github.com/sluice-mesh/sluice/sidecar/cluster"
)

// candidate is a slice's endpoint on one of the slice's ports.
type candidate struct {
	*record
	slice *Slice
	at    netip.AddrPort
}

// collect gathers the candidates of a Service port in one address family, sorted by address. Slice ports are matched by
// name, and their number may differ from slice to slice (a named target port). An address and port that is in several
// slices, as happens while the controller moves it from one to another, is one candidate.
func collect(port string, v4 bool, all []*Slice) []candidate {
	n := 0
	for _, s := range all {
		n += len(s.records)
	}
	candidates := make([]candidate, 0, n)
	for _, s := range all {
		for _, p := range s.ports {
			if p.name != port {
				continue
			}
			for i := range s.records {
				if r := &s.records[i]; r.addr.Is4() == v4 {
					candidates = append(candidates, candidate{r, s, netip.AddrPortFrom(r.addr, p.port)})
				}
			}
		}
	}
	slices.SortFunc(candidates, func(a, b candidate) int {
		if c := a.at.Compare(b.at); c != 0 {
			return c
		}
		if better(a, b) {
			return -1
		}
		return 1
	})
	return slices.CompactFunc(candidates, func(a, b candidate) bool { return a.at == b.at })
}

// endpointsOf answers the endpoints to pick from: the ready candidates, or if there are none those that still serve while
// they terminate. Known endpoints that are candidates keep their pointers, and stay known. All lists are sorted by
// address.
func endpointsOf(candidates []candidate, known []*cluster.Endpoint, loops int) (
	endpoints, stillKnown []*cluster.Endpoint, areTerminating bool) {

	best := terminating
	usable := 0
	for _, c := range candidates {
		best = max(best, c.condition)
	}
	for _, c := range candidates {
		if c.condition == best {
			usable++
		}
	}
	endpoints = make([]*cluster.Endpoint, 0, usable)
	stillKnown = make([]*cluster.Endpoint, 0, usable)
	for _, c := range candidates {
		for len(known) > 0 && known[0].Addr.Compare(c.at) < 0 {
			known = known[1:]
		}
		var e *cluster.Endpoint
		switch {
		case len(known) > 0 && same(known[0], c):
			e = known[0]
		case c.condition == best:
			e = newEndpoint(c, loops)
		default:
			continue
		}
		stillKnown = append(stillKnown, e)
		if c.condition == best {
			endpoints = append(endpoints, e)
		}
	}
	if len(stillKnown) == len(endpoints) { // as nearly always
		stillKnown = endpoints
	}
	return endpoints, stillKnown, best == terminating && len(endpoints) > 0
}

// same reports whether an endpoint is the candidate: the same pod (or, without pods, the same name) at the same address.
func same(e *cluster.Endpoint, c candidate) bool {
	return e.Addr == c.at && e.UID == c.uid && (c.uid != "" || e.Name == nameOf(c))
}

func nameOf(c candidate) string {
	if c.name == "" {
		return c.at.String()
	}
	return c.name
}

func newEndpoint(c candidate, loops int) *cluster.Endpoint {
	return &cluster.Endpoint{
		Addr: c.at, Name: nameOf(c), UID: c.uid, Hostname: c.hostname, Node: c.node, Zone: c.zone,
		Load: make([]cluster.Load, loops),
	}
}
