package shard

import (
	"math"
	"slices"

	"github.com/sluice-mesh/sluice/sidecar/shardkey"
)

// After answers who comes after last in a key's order of failover; the owner itself when last is nil, and no Member after the
// last one. The order is the same in every sidecar: the owner, then the others by their bids for the key's slot, as if those
// before had gone (a rendezvous map gives the key to exactly that one when they have); on a ring, the other members in the
// order of their points. It depends on nobody's health. Each answer takes time in proportion to the number of members.
func (m *Map) After(k shardkey.Key, last *Member) Owner {
	owner, hash := m.own(k)
	if last == nil || owner.Member == nil {
		return owner
	}
	if m.spec.Kind == Ring {
		return m.afterOnRing(hash, last)
	}
	slot := slotHash(int(hash >> m.shift))
	ceiling := uint64(math.MaxUint64)
	if last != owner.Member {
		ceiling = score(slot, last.hash)
	}
	best, most := -1, uint64(0)
	for i, h := range m.hashes {
		bid := score(slot, h)
		member := m.members[i]
		if bid < most || bid > ceiling || member == nil || member == owner.Member {
			continue
		}
		if last != owner.Member && !outbids(ceiling, last, bid, member) {
			continue
		}
		if best < 0 || outbids(bid, member, most, m.members[best]) {
			best, most = i, bid
		}
	}
	if best < 0 {
		return Owner{Why: NoMembers}
	}
	return m.whoIs(index(best))
}

// Walk goes along a key's order, as After would if it was asked again and again. The first few steps take as long as After; then it works
// out the rest at once, so that the whole of n members takes n log n. Nobody else may use it meanwhile.
type Walk struct {
	m     *Map
	key   shardkey.Key
	at    Owner
	steps int
	rest  []index // those to come, once they are worked out
}

// oneByOne is how many steps of a Walk do without memory: as a rule one of the first few can be used.
const oneByOne = 8

// From begins a Walk whose first step leads to who comes after o in a key's order.
func (m *Map) From(k shardkey.Key, o Owner) Walk { return Walk{m: m, key: k, at: o} }

// Next answers who comes next, and no Member after the last one.
func (w *Walk) Next() Owner {
	if w.at.Member == nil {
		return w.at
	}
	if w.steps++; w.steps <= oneByOne {
		w.at = w.m.After(w.key, w.at.Member)
		return w.at
	}
	if w.steps == oneByOne+1 {
		w.rest = w.m.allAfter(w.key, w.at.Member)
	}
	if len(w.rest) == 0 {
		w.at = Owner{Why: NoMembers}
	} else {
		w.at, w.rest = w.m.whoIs(w.rest[0]), w.rest[1:]
	}
	return w.at
}

// allAfter answers everybody who comes after last in a key's order.
func (m *Map) allAfter(k shardkey.Key, last *Member) []index {
	owner, hash := m.own(k)
	if owner.Member == nil {
		return nil
	}
	if m.spec.Kind == Ring {
		return m.allAfterOnRing(hash, last)
	}
	slot := slotHash(int(hash >> m.shift))
	bids := make([]uint64, len(m.hashes))
	var all []index
	for i, h := range m.hashes {
		member := m.members[i]
		if member == nil || member == owner.Member {
			continue
		}
		bids[i] = score(slot, h)
		if last == owner.Member || outbids(score(slot, last.hash), last, bids[i], member) {
			all = append(all, index(i))
		}
	}
	slices.SortFunc(all, func(a, b index) int {
		if outbids(bids[a], m.members[a], bids[b], m.members[b]) {
			return -1
		}
		return 1
	})
	return all
}

// Successors appends a key's owner and those after it, n at most.
func (m *Map) Successors(dst []Owner, k shardkey.Key, n int) []Owner {
	w := m.From(k, m.After(k, nil))
	for o := w.at; n > 0 && o.Member != nil; o = w.Next() {
		dst = append(dst, o)
		n--
	}
	return dst
}
