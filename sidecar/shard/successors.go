package shard

import (
	"math"

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

// Successors appends a key's owner and those after it, n at most.
func (m *Map) Successors(dst []Owner, k shardkey.Key, n int) []Owner {
	var last *Member
	for range n {
		o := m.After(k, last)
		if o.Member == nil {
			break
		}
		dst = append(dst, o)
		last = o.Member
	}
	return dst
}

// Bounded answers the first in a key's order who can be reached and whose attempts in flight from the given loop are fewer
// than Spec.Bound times their mean over the members that can be reached, rounded up, this request included (consistent hashing
// with bounded loads: Mirrokni, Thorup, Zadimoghaddam, 2018). inFlight is the loop's attempts to all of them together. Where
// Bound is off, and where nobody is below the bound, it is the owner.
//
// The load is this loop's own, so sidecars that send different loads send the same key to different pods: the price of the
// bound is that a key may have several owners while one is busy.
func (m *Map) Bounded(k shardkey.Key, loop int, inFlight int64) Owner {
	owner := m.Owner(k)
	if m.spec.Bound <= 1 || m.up == 0 {
		return owner
	}
	limit := int64(math.Ceil(m.spec.Bound * float64(inFlight+1) / float64(m.up)))
	for o := owner; o.Member != nil; o = m.After(k, o.Member) {
		if o.Endpoint != nil && o.Endpoint.Load[loop].InFlight < limit {
			return o
		}
	}
	return owner
}
