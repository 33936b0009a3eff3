package sidecar

import (
	"context"
	"runtime/debug"
	"time"
)

// scavenger says when to give memory back to the system. A process that has become quiet allocates nothing, so Go's collector
// would not run for two minutes after many connections have gone.
type scavenger struct{ peak int64 }

// scavengeFrom is how many connections must have been open for their memory to be worth a collection.
const scavengeFrom = 500

// look is told how many connections are open and reports whether to collect now: when fewer than half of the most are left.
func (s *scavenger) look(open int64) bool {
	s.peak = max(s.peak, open)
	if s.peak < scavengeFrom || open > s.peak/2 {
		return false
	}
	s.peak = open
	return true
}

// scavenge runs until ctx is done.
func (p *process) scavenge(ctx context.Context) {
	var s scavenger
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if s.look(p.open()) {
				debug.FreeOSMemory()
			}
		case <-ctx.Done():
			return
		}
	}
}
