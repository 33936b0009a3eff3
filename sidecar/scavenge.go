package sidecar

import (
	"context"
	"runtime/debug"
	"time"
)

// scavenger says when to give memory back to the system. A process that has become quiet allocates nothing, so Go's collector
// would not run for two minutes after many connections have gone.
type scavenger struct {
	peak  int64 // since the last collection
	crowd bool  // there have been scavengeFrom at a time, and they have not all gone
}

// scavengeFrom is how many connections must have been open for their memory to be worth a collection.
const scavengeFrom = 500

// scavengeStep is how many have to have gone, unless nobody is left.
const scavengeStep = 50

// look is told how many connections are open and reports whether to collect now: when no more than half of the most are left, until
// none is.
func (s *scavenger) look(open int64) bool {
	s.peak = max(s.peak, open)
	s.crowd = s.crowd || s.peak >= scavengeFrom
	if !s.crowd || open > s.peak/2 || open > 0 && s.peak-open < scavengeStep {
		return false
	}
	s.peak, s.crowd = open, open > 0
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
				p.trim(ctx)
				debug.FreeOSMemory()
			}
		case <-ctx.Done():
			return
		}
	}
}

// trim lets the loops end the coroutines that they keep for reuse; their stacks are most of what is left of a crowd.
func (p *process) trim(ctx context.Context) {
	for _, l := range p.loops {
		done := make(chan struct{})
		if !l.Post(func() { l.Trim(); close(done) }) {
			continue
		}
		select {
		case <-done:
		case <-l.Done():
		case <-ctx.Done():
		}
	}
}
