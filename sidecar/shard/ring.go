package shard

import (
	"cmp"
	"math/bits"
	"slices"
	"strconv"

	"github.com/cespare/xxhash/v2"
)

// fillRing places every member at as many points as make the ring at least Size points long: XXH64 of "ID_0", "ID_1", … as
// Envoy does it. So the number of points of each changes with the number of members, and then some keys of members that
// stayed move too (envoyproxy/envoy, issue 22558); rendezvous does not do that.
func (m *Map) fillRing() ([]uint64, []index) {
	type point struct {
		at    uint64
		owner index
	}
	each := (m.spec.Size + m.n - 1) / m.n
	all := make([]point, 0, each*m.n)
	var text []byte
	for i, member := range m.members {
		if member == nil {
			continue
		}
		text = append(append(text[:0], member.ID...), '_')
		for p := range each {
			all = append(all, point{xxhash.Sum64(strconv.AppendInt(text, int64(p), 10)), index(i)})
		}
	}
	slices.SortFunc(all, func(a, b point) int {
		if c := cmp.Compare(a.at, b.at); c != 0 {
			return c
		}
		return cmp.Compare(m.members[a.owner].ID, m.members[b.owner].ID)
	})
	points, owners := make([]uint64, len(all)), make([]index, len(all))
	for i, p := range all {
		points[i], owners[i] = p.at, p.owner
	}
	return points, owners
}

// startsOf has about as many entries as there are points, which are spread evenly: from a hash's entry on, its point is the first or second.
func startsOf(points []uint64) []uint32 {
	size := bits.Len(uint(len(points)))
	starts := make([]uint32, 1<<size)
	at := 0
	for i := range starts {
		for at < len(points) && points[at]>>(64-size) < uint64(i) {
			at++
		}
		starts[i] = uint32(at)
	}
	return starts
}

// point answers the first point at or behind a hash.
func (m *Map) point(hash uint64) int {
	size := bits.Len(uint(len(m.points)))
	at := int(m.starts[hash>>(64-size)])
	for at < len(m.points) && m.points[at] < hash {
		at++
	}
	if at == len(m.points) {
		return 0
	}
	return at
}

// afterOnRing answers the member whose first point behind a hash comes next after last's.
func (m *Map) afterOnRing(hash uint64, last *Member) Owner {
	start, passed := m.point(hash), false
	for d := range m.owners {
		i := m.owners[(start+d)%len(m.owners)]
		switch {
		case m.members[i] == last:
			passed = true
		case passed && !m.seen(start, d, i):
			return m.whoIs(i)
		}
	}
	return Owner{Why: NoMembers}
}

// allAfterOnRing answers all whose first points behind a hash come after last's, in their order.
func (m *Map) allAfterOnRing(hash uint64, last *Member) (all []index) {
	start, passed := m.point(hash), false
	seen := make([]bool, len(m.members))
	for d := range m.owners {
		i := m.owners[(start+d)%len(m.owners)]
		if seen[i] {
			continue
		}
		seen[i] = true
		if passed {
			all = append(all, i)
		}
		passed = passed || m.members[i] == last
	}
	return all
}

// seen says whether one of the d points from start on is a member's.
func (m *Map) seen(start, d int, i index) bool {
	for e := range d {
		if m.owners[(start+e)%len(m.owners)] == i {
			return true
		}
	}
	return false
}
