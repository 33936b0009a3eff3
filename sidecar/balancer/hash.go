package balancer

import (
	"cmp"
	"math/bits"
	"net/netip"
	"slices"

	"github.com/sluice-mesh/sluice/sidecar/cluster"
)

// hashed sends what has the same address, the client's or the destination's, to the same endpoint, and every process picks the
// same. It is multi-probe consistent hashing (Appleton and O'Reilly 2015): each endpoint is one point on a circle, the
// address is hashed to several points, and the probe with the nearest endpoint behind it wins. An endpoint that goes takes
// its own addresses with it and no others; a tenth above the mean is the most that one gets, for many addresses.
type hashed struct {
	*group
	byDestination bool
	points        []point  // by at
	guide         []uint32 // by the upper bits of a probe, the first point behind them
	shift         int      // of a probe, to its upper bits
}

// point is an endpoint's place on the circle.
type point struct {
	at    uint64
	index uint32
}

// probes is how many points an address is hashed to: peak to mean is about 1 + 1/(probes-1).
const probes = 11

func newHashed(g *group, byDestination bool) *hashed {
	p := &hashed{group: g, byDestination: byDestination, points: make([]point, len(g.endpoints))}
	for i, e := range g.endpoints {
		p.points[i] = point{hashName(e.Name), uint32(i)}
	}
	slices.SortFunc(p.points, func(a, b point) int { return cmp.Compare(a.at, b.at) })
	parts := bits.Len(uint(len(p.points))) // twice as many parts as points at most
	p.shift = 64 - parts
	p.guide = make([]uint32, 1<<parts)
	i := 0
	for part := range p.guide {
		for i < len(p.points) && p.points[i].at < uint64(part)<<p.shift {
			i++
		}
		p.guide[part] = uint32(i)
	}
	return p
}

func (p *hashed) pick(r *Request) *cluster.Endpoint {
	addr := r.Client
	if p.byDestination {
		addr = r.Destination
	}
	probe := hashAddr(addr)
	nearest, best, distance := -1, -1, uint64(0)
	var way uint64
	for range probes {
		probe += 0x9e3779b97f4a7c15 // 2⁶⁴ by the golden section
		at := mix(probe)
		i := p.behind(at)
		d := p.points[i].at - at
		if nearest < 0 || d < way {
			nearest, way = i, d
		}
		if best < 0 || d < distance {
			if p.open(r, int(p.points[i].index)) {
				best, distance = i, d
			}
		}
	}
	if best >= 0 {
		return p.endpoints[p.points[best].index]
	}
	for i := range p.points {
		at := nearest + i
		if at >= len(p.points) {
			at -= len(p.points)
		}
		if index := int(p.points[at].index); p.open(r, index) {
			return p.endpoints[index]
		}
	}
	return nil
}

// behind answers the first point at or behind a place of the circle.
func (p *hashed) behind(at uint64) int {
	i := int(p.guide[at>>p.shift])
	for i < len(p.points) && p.points[i].at < at {
		i++
	}
	if i == len(p.points) {
		return 0
	}
	return i
}

// hashName and hashAddr are FNV-1a, mixed: the same in every process and every release, as keys would move otherwise.
func hashName(name string) uint64 {
	h := uint64(0xcbf29ce484222325)
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * 0x100000001b3
	}
	return mix(h)
}

func hashAddr(a netip.Addr) uint64 {
	h := uint64(0xcbf29ce484222325)
	for _, b := range a.As16() {
		h = (h ^ uint64(b)) * 0x100000001b3
	}
	return mix(h)
}

// mix is the finalizer of SplitMix64.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
