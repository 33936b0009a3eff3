package shard

import "math/bits"

// shiftOf answers the shift that leaves a slot's number of a hash.
func shiftOf(slots int) uint8 { return uint8(64 - bits.TrailingZeros(uint(max(slots, 1)))) }

// fillSlots answers who owns each slot: the member with the highest bid. Given the slots before a change it looks at what
// changed only: a newcomer's bid against the owner's, and a slot whose owner has gone by all bids. That takes two bids for
// each slot and newcomer, and as many bids as there are slots for each member gone.
func (m *Map) fillSlots(before []index, c change) []index {
	switch {
	case before == nil || c.moved || 2*len(c.come)+len(c.gone) >= m.n:
		return m.fillAllSlots()
	case !c.any():
		return before
	}
	gone := make([]bool, len(m.members))
	for _, i := range c.gone {
		gone[i] = true
	}
	slots := make([]index, len(before))
	for s, owner := range before {
		slot := slotHash(s)
		if gone[owner] {
			slots[s] = m.best(slot)
			continue
		}
		if len(c.come) > 0 {
			most := score(slot, m.hashes[owner])
			for _, i := range c.come {
				if bid := score(slot, m.hashes[i]); outbids(bid, m.members[i], most, m.members[owner]) {
					owner, most = i, bid
				}
			}
		}
		slots[s] = owner
	}
	return slots
}

func (m *Map) fillAllSlots() []index {
	slots := make([]index, m.spec.Slots)
	for s := range slots {
		slots[s] = m.best(slotHash(s))
	}
	return slots
}

// best answers the place of the member with the highest bid for a slot. There is one.
func (m *Map) best(slot uint64) index {
	best, most := -1, uint64(0)
	for i, h := range m.hashes {
		bid := score(slot, h)
		if bid < most {
			continue
		}
		if member := m.members[i]; member != nil && (best < 0 || outbids(bid, member, most, m.members[best])) {
			best, most = i, bid
		}
	}
	return index(best)
}
