package loop

import (
	"sync/atomic"
	"time"
)

// TurnBuckets are the upper bounds of Stats.Turns, in the loop's order; a last bucket holds the longer ones.
var TurnBuckets = [...]time.Duration{
	10 * time.Microsecond, 50 * time.Microsecond, 100 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond,
}

// counters are written by the loop and read by anybody.
type counters struct {
	polls, busy, acceptFailures atomic.Uint64
	turns                       [len(TurnBuckets) + 1]atomic.Uint64
}

// turn counts one turn of the loop. Its length is the loop's lag: how long the last ready connection may have waited.
func (c *counters) turn(ns int64) {
	c.busy.Add(uint64(ns))
	i := 0
	for i < len(TurnBuckets) && ns > int64(TurnBuckets[i]) {
		i++
	}
	c.turns[i].Add(1)
}

// Stats are a loop's counters since it began.
type Stats struct {
	Polls          uint64                       // times the loop asked for events
	AcceptFailures uint64                       // times Accept had to wait for descriptors or memory
	Busy           time.Duration                // time spent in turns
	Turns          [len(TurnBuckets) + 1]uint64 // turns by length, see TurnBuckets
}

// Stats answers the counters. Safe for concurrent use.
func (l *Loop) Stats() Stats {
	s := Stats{Polls: l.stats.polls.Load(), AcceptFailures: l.stats.acceptFailures.Load(), Busy: time.Duration(l.stats.busy.Load())}
	for i := range s.Turns {
		s.Turns[i] = l.stats.turns[i].Load()
	}
	return s
}
