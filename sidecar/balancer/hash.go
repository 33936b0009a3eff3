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
	places        []uint64 // where the endpoints' points are, ascending, and one behind all of them
	owners        []uint32 // by the index of a place; the last one's is the first point's, as it is a circle
	guide         []uint32 // by the upper bits of a probe, the first point behind them
	shift         uint     // of a probe, to its upper bits
	latest        []latest // one for each loop
}

// probes is how many points an address is hashed to; each takes some 6 ns.
const probes = 7

func newHashed(g *group, byDestination bool) *hashed {
	type point struct {
		at    uint64
		index uint32
	}
	points := make([]point, len(g.endpoints))
	for i, e := range g.endpoints {
		points[i] = point{hashName(e.Name), uint32(i)}
	}
	slices.SortFunc(points, func(a, b point) int { return cmp.Compare(a.at, b.at) })
	p := &hashed{group: g, byDestination: byDestination, places: make([]uint64, len(points)+1), owners: make([]uint32, len(points)+1)}
	for i, point := range points {
		p.places[i], p.owners[i] = point.at, point.index
	}
	p.places[len(points)], p.owners[len(points)] = 1<<64-1, points[0].index
	parts := bits.Len(uint(len(points))) + 1 // 2 to 4 parts a point: few have one before the place that is looked for
	p.shift = uint(64 - parts)
	p.guide = make([]uint32, 1<<parts)
	i := 0
	for part := range p.guide {
		for i < len(points) && points[i].at < uint64(part)<<p.shift {
			i++
		}
		p.guide[part] = uint32(i)
	}
	p.latest = make([]latest, len(g.loads))
	for loop := range p.latest {
		p.latest[loop].six.index = p.owner(hashAddr(netip.Addr{}))
	}
	return p
}

func (p *hashed) pick(r *Request) int {
	addr := r.Client
	if p.byDestination {
		addr = r.Destination
	}
	// In a sidecar it is always the same one or two: the pod's own, or the Service's.
	l := &p.latest[r.Loop].six
	if addr.Is4() {
		l = &p.latest[r.Loop].four
	}
	if l.of != addr {
		*l = memory{of: addr, index: p.owner(hashAddr(addr))}
	}
	if index := int(l.index); p.open(r, index) {
		return index
	}
	return p.another(r, l)
}

// latest is what is remembered of the last address of each family. It is more than a cache line, so that loops do not share any.
type latest struct {
	four, six memory
	_         [64]byte
}

// memory is whom an address has for its endpoint, and for those who stand in for it.
type memory struct {
	of      netip.Addr
	index   uint32         // of the endpoint
	ordered bool           // the places are known
	places  [probes]uint32 // the nearest first
}

// owner answers the endpoint of a key's nearest probe.
func (p *hashed) owner(key uint64) uint32 {
	// What is found is random, so a branch that depended on it would be foretold wrongly as often as not: seven of these take longer
	// than all else.
	var place [probes]uint64
	var at [probes]uint32
	for k := range place {
		place[k] = placeOf(key, uint64(k))
		at[k] = p.guide[place[k]>>(p.shift&63)]
	}
	best, least := uint32(0), ^uint64(0)
	for k := range place {
		i := p.behind(place[k], at[k])
		way := p.way(place[k], i)
		_, nearer := bits.Sub64(way, least, 0)
		least = min(least, way)
		best ^= (best ^ i) & -uint32(nearer)
	}
	return p.owners[best]
}

// behind answers the index of the first place that is not before the one given, from where the guide says.
func (p *hashed) behind(place uint64, i uint32) uint32 {
	// One step without a branch, which is enough but for one in thirty.
	_, before := bits.Sub64(p.places[i], place, 0)
	i += uint32(before)
	for p.places[i] < place {
		i++
	}
	return i
}

// way answers how far it is from a place to the point at an index, round the circle from the last one.
func (p *hashed) way(place uint64, i uint32) uint64 {
	if int(i) == len(p.endpoints) {
		return p.places[0] - place
	}
	return p.places[i] - place
}

// placeOf is the k-th place of a key.
func placeOf(key, k uint64) uint64 { return mix(key + k*golden) }

// golden is 2⁶⁴ by the golden section.
const golden = 0x9e3779b97f4a7c15

// another stands in for the endpoint of the nearest probe, which is closed: the one of the next nearest or, when all of these are closed,
// the next on the circle.
func (p *hashed) another(r *Request, l *memory) int {
	if !l.ordered {
		l.ordered, l.places = true, p.order(hashAddr(l.of))
	}
	for _, at := range l.places {
		if index := int(p.owners[at]); p.open(r, index) {
			return index
		}
	}
	for i := range p.endpoints {
		at := int(l.places[0]) + i
		if at >= len(p.endpoints) {
			at -= len(p.endpoints)
		}
		if index := int(p.owners[at]); p.open(r, index) {
			return index
		}
	}
	return -1
}

// order answers the indexes of the places that a key's probes lead to, the nearest first.
func (p *hashed) order(key uint64) (at [probes]uint32) {
	var way [probes]uint64
	for k := range at {
		place := placeOf(key, uint64(k))
		i := p.behind(place, p.guide[place>>(p.shift&63)])
		d, j := p.way(place, i), k
		for ; j > 0 && way[j-1] > d; j-- {
			at[j], way[j] = at[j-1], way[j-1]
		}
		at[j], way[j] = i, d
	}
	return at
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
