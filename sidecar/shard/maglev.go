package shard

import (
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"
)

// fillMaglev fills Maglev's table (Eisenbud and others, NSDI 2016, section 3.4): members take turns, in the order of their
// identities, and each takes the first free entry of a permutation of its own. The permutation's offset and skip are XXH64 of
// the identity with the seeds 0 and 1, as in Envoy.
func (m *Map) fillMaglev() []index {
	size := uint64(m.spec.Size)
	next, skip := make([]uint64, len(m.byID)), make([]uint64, len(m.byID))
	for turn, i := range m.byID {
		next[turn] = m.hashes[i] % size
		skip[turn] = seeded(m.members[i].ID)%(size-1) + 1
	}
	table := make([]index, size)
	for e := range table {
		table[e] = nobody
	}
	for filled := uint64(0); ; {
		for turn, i := range m.byID {
			e, s := next[turn], skip[turn]
			for table[e] != nobody {
				if e += s; e >= size {
					e -= size
				}
			}
			table[e] = i
			if e += s; e >= size {
				e -= size
			}
			next[turn] = e
			if filled++; filled == size {
				return table
			}
		}
	}
}

// seeded answers XXH64 with the seed 1.
func seeded(id string) uint64 {
	var d xxhash.Digest
	d.ResetWithSeed(1)
	_, _ = d.WriteString(id)
	return d.Sum64()
}

// sort answers the members in the order of their identities, given that order before a change.
func (m *Map) sort(before []index, c change) []index {
	byID := make([]index, 0, m.n)
	if before == nil || c.moved || len(c.come) > scans {
		for i, member := range m.members {
			if member != nil {
				byID = append(byID, index(i))
			}
		}
		slices.SortFunc(byID, func(a, b index) int { return strings.Compare(m.members[a].ID, m.members[b].ID) })
		return byID
	}
	for _, i := range before {
		if m.members[i] != nil { // a place that became free is not taken in the same change
			byID = append(byID, i)
		}
	}
	for _, i := range c.come {
		at, _ := slices.BinarySearchFunc(byID, m.members[i].ID, func(b index, id string) int {
			return strings.Compare(m.members[b].ID, id)
		})
		byID = slices.Insert(byID, at, i)
	}
	return byID
}
