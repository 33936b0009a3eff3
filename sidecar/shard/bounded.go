package shard

import (
	"math"
	"time"
)

// MostInFlight answers how many attempts from the given loop may be in flight at a member; with as many, further ones go past it in their keys'
// order. That is Spec.Bound times the mean over the members that are there and not suspect at time now (of the loop's clock, in
// nanoseconds), the attempt that is to come included, rounded up (consistent hashing with bounded loads: Mirrokni, Thorup, Zadimoghaddam, 2018).
// Suspects take no attempts, and so no part in the mean. It is at least 1; 0 means that Bound is off. It allocates nothing, and is for
// that loop only.
//
// The load is this loop's own, so sidecars that send different loads send the same key to different pods: the price of the
// bound is that a key may have several owners while one is busy.
//
// Up to countsAlways members it is exact. With more of them it goes by a count of all that is as old as countsEvery at most, and at most as
// many picks as a sixteenth of the W well members it found; so it takes a constant time, shared among picks, while most members are well. Each
// pick since then, for which it was asked or Begin was told, is taken for an attempt that was begun and still runs. Before it is rounded up, what it
// answers differs from the exact number by
//
//	Bound × (N + E - X)/W + exact × (G - D)/W
//
// of what there was since the count: N picks that began nothing at a well member, fewer than W/16; E attempts that ended, or run at a member that
// has fallen ill; X that began otherwise (requests without keys, opaque connections, requests to all), or run at a member that has got well; G
// members that got well, and D that fell ill. So the bound is never too low for as long as X and D are 0, and keys do not move that need not; and it is one
// too high at most where E and G are 0, Bound being 10 at most.
//
// With X and D at 0 there is always a well member with fewer attempts than it answers, as there is with the exact number. Else there may be none, for
// countsEvery at most; a request then goes to the first well one in its key's order, as it does where all others were tried.
func (m *Map) MostInFlight(loop int, now int64) int64 {
	if m.spec.Bound <= 1 {
		return 0
	}
	if m.counts == nil {
		running, well := m.count(loop, now)
		return m.most(running+1, well)
	}
	c := &m.counts[loop]
	if c.picks == 0 || now >= c.until {
		c.running, c.well = m.count(loop, now)
		c.picks, c.until = max(c.well/countsPicks, 1), now+int64(countsEvery)
	}
	c.running++
	c.picks--
	return m.most(c.running, c.well)
}

// Begin notes a pick from the given loop for which MostInFlight was not asked, as the member that it came upon had nothing in flight.
// It is for that loop only.
func (m *Map) Begin(loop int) {
	if m.counts == nil {
		return
	}
	if c := &m.counts[loop]; c.picks > 0 {
		c.running++
		c.picks--
	}
}

const (
	// countsAlways is how many members are counted for each pick, in less than 100 ns.
	countsAlways = 64
	// countsEvery is how old a count may be. At 10,000 members, and 50 µs for a count, 100 of them a second are 0.5 % of a CPU. A new map begins
	// with one: 50 changes a second are 0.25 % more.
	countsEvery = 10 * time.Millisecond
	// countsPicks is the part of the well members that may be picked before they are counted anew: a count costs 5 ns a member at most, and so 80 ns
	// a pick.
	countsPicks = 16
)

// counted is what one loop has counted of a map's members. It fills a cache line, so that loops do not share any. The zero value is none.
type counted struct {
	running int64 // in flight at the well ones, and one for each pick since
	well    int64
	picks   int64 // how many may follow before the next count
	until   int64 // of the loop's clock: when the next count is due
	_       [32]byte
}

// countsOf answers room for each loop's count; nil where none is kept.
func (m *Map) countsOf() []counted {
	if m.spec.Bound <= 1 || m.n <= countsAlways {
		return nil
	}
	for _, ep := range m.at {
		if ep != nil {
			return make([]counted, len(ep.Load))
		}
	}
	return nil
}

// count looks at all members: how many attempts are in flight at the well ones, and how many these are.
func (m *Map) count(loop int, now int64) (running, well int64) {
	for _, ep := range m.at {
		if ep == nil {
			continue
		}
		if load := &ep.Load[loop]; load.SuspectUntil <= now {
			running += load.InFlight
			well++
		}
	}
	return running, well
}

func (m *Map) most(running, well int64) int64 {
	return int64(math.Ceil(m.spec.Bound * float64(running) / float64(max(well, 1))))
}
