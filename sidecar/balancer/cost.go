package balancer

// measure is what makes one endpoint better than another.
type measure uint8

const (
	byRequests measure = iota // fewer attempts in flight
	byLatency                 // a smaller product of latency and attempts in flight
	byDelay                   // a smaller (attempts in flight + 1) / weight: IPVS's sed
	byIdleness                // nothing in flight, else byDelay: IPVS's nq
)

// better answers which of two endpoints gets the attempt; i was drawn first.
func (p *choices) better(r *Request, i, j int, uneven bool) int {
	a, b := p.load(r, i), p.load(r, j)
	if !uneven && p.by != byLatency {
		if a.InFlight < b.InFlight || a.InFlight == b.InFlight && a.LastPick < b.LastPick {
			return i
		}
		return j
	}

	// An endpoint that was never heard of is as fast as the one it is compared with, so a new one gets its share and no more.
	fastA, fastB := 1.0, 1.0
	if p.by == byLatency && a.LatencyAt != 0 && b.LatencyAt != 0 {
		fastA, fastB = latency(a, r.Now), latency(b, r.Now)
	}

	if !uneven {
		costA, costB := fastA*float64(a.InFlight+1), fastB*float64(b.InFlight+1)
		if costA < costB || costA == costB && a.LastPick < b.LastPick {
			return i
		}
		return j
	}

	idleA, idleB := a.InFlight == 0, b.InFlight == 0
	switch {
	case p.by == byIdleness && idleA != idleB:
		if idleA {
			return i
		}
		return j
	case idleA && idleB && p.by != byDelay:
		// The draw has heeded what is due.
		if fastB < fastA {
			return j
		}
		return i
	}
	// Shares are whole attempts: with a half the next one goes to who is furthest below its due (Webster's method), with a
	// whole, as IPVS counts, the heavier ones get more than theirs.
	next := 0.5
	if p.by == byDelay || p.by == byIdleness {
		next = 1
	}
	// Dues are multiplied with the other's cost: divisions take longer.
	costA := fastA * (float64(a.InFlight) + next) * p.due(r, j)
	costB := fastB * (float64(b.InFlight) + next) * p.due(r, i)
	if costB < costA {
		return j
	}
	return i
}
