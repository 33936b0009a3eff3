package balancer

import (
	"strings"
	"unique"

	"github.com/sluice-mesh/sluice/sidecar/cluster"
)

// part is the endpoints that make a tier.
type part struct {
	endpoints []*cluster.Endpoint
	weights   []uint32 // nil where all are the same
}

// The distances of endpoints.
const (
	sameNode = iota
	sameZone
	elsewhere
	distances
)

// split parts a set by distance, the near ones first, and sets those aside that are to have no traffic unless there is nothing
// else. Each part has endpoints; when all are set aside none is.
func (o *Options) split(set *cluster.EndpointSet) (parts []part, spare []*cluster.Endpoint) {
	distance := o.distances(set)
	weighted := o.Weights != "" || set.Weights != nil
	if distance == nil && !weighted {
		return []part{{endpoints: set.Endpoints}}, nil
	}
	var by [distances]part
	for i, e := range set.Endpoints {
		p := &by[elsewhere]
		if distance != nil {
			p = &by[distance[i]]
		}
		if weighted {
			w := o.Weights.Of(set, i)
			if w == 0 {
				spare = append(spare, e)
				continue
			}
			if p.weights == nil {
				p.weights = make([]uint32, 0, len(set.Endpoints)-i)
			}
			p.weights = append(p.weights, w)
		}
		if p.endpoints == nil {
			p.endpoints = make([]*cluster.Endpoint, 0, len(set.Endpoints)-i)
		}
		p.endpoints = append(p.endpoints, e)
	}
	for _, p := range by {
		if len(p.endpoints) == 0 {
			continue
		}
		if o.hashes() || allSame(p.weights) {
			p.weights = nil
		}
		parts = append(parts, p)
	}
	if parts == nil {
		return []part{{endpoints: spare}}, nil
	}
	return parts, spare
}

// Of answers the weight of a set's endpoint: what the Service says of its name goes before what the set has for it.
func (w Weights) Of(set *cluster.EndpointSet, i int) uint32 {
	if n, said := w.of(set.Endpoints[i].Name); said {
		return n
	}
	if set.Weights != nil {
		return set.Weights[i]
	}
	return 1
}

func allSame(weights []uint32) bool {
	for _, w := range weights {
		if w != weights[0] {
			return false
		}
	}
	return true
}

// distances answers each endpoint's distance by its hints; nil where they say nothing to us. As for kube-proxy (KEP-2433,
// KEP-3015) hints count only when all endpoints have them and one is for us, those for nodes before those for zones. Unlike
// it, what is farther is kept, see tiered.
func (o *Options) distances(set *cluster.EndpointSet) []uint8 {
	if set.Hints == nil || set.Terminating || o.IgnoreZones || o.hashes() {
		return nil
	}
	zone := o.zone(set.Endpoints)
	memory := map[unique.Handle[cluster.Hints]]hinted{} // many endpoints have theirs in common
	all, some := hinted{forNodes: true, forZones: true}, hinted{}
	for _, h := range set.Hints {
		m, known := memory[h]
		if !known {
			hints := h.Value()
			m = hinted{hints.Nodes != "", names(hints.Nodes, o.Node), hints.Zones != "", names(hints.Zones, zone)}
			memory[h] = m
		}
		all.forNodes, all.forZones = all.forNodes && m.forNodes, all.forZones && m.forZones
		some.forNode, some.forZone = some.forNode || m.forNode, some.forZone || m.forZone
	}
	byNode, byZone := all.forNodes && some.forNode, all.forZones && some.forZone
	if !byNode && !byZone {
		return nil
	}
	distance := make([]uint8, len(set.Hints))
	for i, h := range set.Hints {
		switch m := memory[h]; {
		case byNode && m.forNode:
			distance[i] = sameNode
		case byZone && m.forZone:
			distance[i] = sameZone
		default:
			distance[i] = elsewhere
		}
	}
	return distance
}

// hinted is what one endpoint's hints say.
type hinted struct {
	forNodes, forNode bool // for any node, for ours
	forZones, forZone bool
}

// zone answers the zone of this pod; "" is unknown.
func (o *Options) zone(endpoints []*cluster.Endpoint) string {
	if o.Zone != "" || o.Node == "" {
		return o.Zone
	}
	for _, e := range endpoints {
		if at := e.At(); at.Node == o.Node && at.Zone != "" {
			return at.Zone
		}
	}
	return ""
}

// names says whether a list, with a space between two names, has a name.
func names(list, name string) bool {
	for name != "" && list != "" {
		var first string
		if first, list, _ = strings.Cut(list, " "); first == name {
			return true
		}
	}
	return false
}
