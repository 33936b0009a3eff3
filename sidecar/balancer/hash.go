package balancer

import (
	"cmp"
	"math/bits"
	"net/netip"
	"slices"
)

// hashed sends what has the same address, the client's or the destination's, to the same endpoint, and every process picks the
// same. It is multi-probe consistent hashing (Appleton and O'Reilly 2015): each endpoint is one point on a circle, the
// address is hashed to several points, and the probe with the nearest endpoint behind it wins. An endpoint that goes takes
// its own addresses with it and no others; of many addresses none gets much more than 1.4 times the mean.
type hashed struct {
	*group
	byDestination bool
	points        []point  // by at, and one behind all places
	guide         []uint32 // by the upper bits of a probe, the first point behind them
	shift         uint     // of a probe, to its upper bits
}

// point is an endpoint's place on the circle.
type point struct {
	at    uint64
	index uint32
}

// probes is how many points an address is hashed to; each takes some 10 ns.
const probes = 7

func newHashed(g *group, byDestination bool) *hashed {
	p := &hashed{group: g, byDestination: byDestination, points: make([]point, len(g.endpoints), len(g.endpoints)+1)}
	for i, e := range g.endpoints {
		p.points[i] = point{hashName(e.Name), uint32(i)}
	}
	slices.SortFunc(p.points, func(a, b point) int { return cmp.Compare(a.at, b.at) })
	parts := bits.Len(uint(len(p.points))) + 2 // 4 to 8 parts a point: few have one before the place that is looked for
	p.shift = uint(64 - parts)
	p.guide = make([]uint32, 1<<parts)
	i := 0
	for part := range p.guide {
		for i < len(p.points) && p.points[i].at < uint64(part)<<p.shift {
			i++
		}
		p.guide[part] = uint32(i)
	}
	p.points = append(p.points, point{at: 1<<64 - 1})
	return p
}

func (p *hashed) pick(r *Request) int {
	addr := r.Client
	if p.byDestination {
		addr = r.Destination
	}
	key := hashAddr(addr)
	// No branch depends on what is found: nobody could foretell it.
	nearest := p.probe(key, 0)
	for k := uint64(1); k < probes; k++ {
		found := p.probe(key, k)
		if found.way < nearest.way {
			nearest.way = found.way
		}
		if found.way == nearest.way {
			nearest.at = found.at
		}
	}
	if index := int(p.points[nearest.at].index); p.open(r, index) {
		return index
	}
	return p.another(r, key)
}

// probed is the point that one of a key's places leads to.
type probed struct {
	at  int    // among the points
	way uint64 // from the place to the point
}

// another stands in for the endpoint of the nearest probe, which is closed: the one of the next nearest or, when all of these are closed,
// the next on the circle.
func (p *hashed) another(r *Request, key uint64) int {
	const closed = ^uint64(0)
	var found [probes]probed
	for k := range found {
		found[k] = p.probe(key, uint64(k))
	}
	first := -1
	for {
		nearest := 0
		for k := range found {
			if found[k].way < found[nearest].way {
				nearest = k
			}
		}
		if found[nearest].way == closed {
			break
		}
		found[nearest].way = closed
		at := found[nearest].at
		if first < 0 {
			first = at
		}
		if index := int(p.points[at].index); p.open(r, index) {
			return index
		}
	}
	for i := range p.endpoints {
		at := first + i
		if at >= len(p.endpoints) {
			at -= len(p.endpoints)
		}
		if index := int(p.points[at].index); p.open(r, index) {
			return index
		}
	}
	return -1
}

// probe answers the first point at or behind the k-th place of a key.
func (p *hashed) probe(key, k uint64) probed {
	at := mix(key + k*0x9e3779b97f4a7c15) // 2⁶⁴ by the golden section
	i := int(p.guide[at>>p.shift])
	for p.points[i].at < at {
		i++
	}
	if i == len(p.endpoints) {
		i = 0
	}
	return probed{i, p.points[i].at - at}
}

// hashName and hashAddr are FNV-1a, mixed: the same in every process and every release, as keys would move otherwise.
func hashName(name string) uint64 {
	h := uint64(fnvBasis)
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * fnvPrime
	}
	return mix(h)
}

const (
	fnvBasis = 0xcbf29ce484222325
	fnvPrime = 0x100000001b3
	// fnvMapped is the hash of the twelve bytes before an IPv4 address in IPv6, ::ffff:0:0.
	fnvMapped = 0x540b81da1cc1b60b
)

func hashAddr(a netip.Addr) uint64 {
	b, h := a.As16(), uint64(fnvBasis)
	rest := b[:]
	if a.Is4() || a.Is4In6() {
		h, rest = fnvMapped, b[12:]
	}
	for _, c := range rest {
		h = (h ^ uint64(c)) * fnvPrime
	}
	return mix(h)
}

// mix is the finalizer of SplitMix64.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
