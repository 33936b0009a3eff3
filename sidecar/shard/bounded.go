package shard

import "math"

// MostInFlight answers how many attempts from the given loop may be in flight at a member; with as many, further ones go past it in their keys'
// order. That is Spec.Bound times the mean over the members that are there and not suspect at time now (of the loop's clock, in
// nanoseconds), the attempt that is to come included, rounded up (consistent hashing with bounded loads: Mirrokni, Thorup, Zadimoghaddam, 2018).
// Suspects take no attempts, and so no part in the mean. It is at least 1; 0 means that Bound is off. It takes time in proportion to the
// number of members.
//
// The load is this loop's own, so sidecars that send different loads send the same key to different pods: the price of the
// bound is that a key may have several owners while one is busy.
func (m *Map) MostInFlight(loop int, now int64) int64 {
	if m.spec.Bound <= 1 {
		return 0
	}
	running, well := int64(1), 0
	for _, ep := range m.at {
		if ep == nil {
			continue
		}
		if load := &ep.Load[loop]; load.SuspectUntil <= now {
			running += load.InFlight
			well++
		}
	}
	return int64(math.Ceil(m.spec.Bound * float64(running) / float64(max(well, 1))))
}
