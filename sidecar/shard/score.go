package shard

// score is what a member bids for a slot, given the hashes of both; the highest bid owns it. It is part of what must never
// change: every sidecar of every release has to bid the same. For one slot, different hashes never bid the same.
func score(slot, member uint64) uint64 {
	x := (slot ^ member) * 0xff51afd7ed558ccd
	x ^= x >> 32
	return x * 0xc4ceb9fe1a85ec53
}

// slotHash spreads the slots' numbers over 64 bits (the finaliser of SplitMix64).
func slotHash(slot int) uint64 {
	x := (uint64(slot) + 1) * 0x9e3779b97f4a7c15
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

// outbids says whether a comes before b in a slot's order, given their bids. Bids are equal only where two identities have
// the same hash; then the identities decide.
func outbids(scoreA uint64, a *Member, scoreB uint64, b *Member) bool {
	return scoreA > scoreB || scoreA == scoreB && a.ID < b.ID
}
