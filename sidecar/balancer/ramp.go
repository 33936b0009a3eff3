package balancer

import (
	"time"

	"github.com/sluice-mesh/sluice/sidecar/cluster"
)

// rampFloor is the part of its due that an endpoint starts with: too little for a cold one to hurt, enough to warm it. Envoy's.
const rampFloor = 0.1

// ramp is the slow start of a group's endpoints.
type ramp struct {
	over   float64  // nanoseconds
	end    int64    // of the last slow start; 0 where there is none
	oldest int64    // Since of the endpoint that is there longest
	late   []uint64 // by the index of an endpoint, a bit: whether it came after that one
}

func newRamp(endpoints []*cluster.Endpoint, over time.Duration) ramp {
	if over <= 0 {
		return ramp{}
	}
	oldest, youngest := endpoints[0].Since, endpoints[0].Since
	for _, e := range endpoints {
		oldest, youngest = min(oldest, e.Since), max(youngest, e.Since)
	}
	if oldest == youngest {
		return ramp{} // who came together starts together
	}
	p := ramp{over: float64(over), end: youngest + int64(over), oldest: oldest, late: make([]uint64, (len(endpoints)+63)/64)}
	for i, e := range endpoints {
		if e.Since > oldest {
			p.late[i>>6] |= 1 << (i & 63)
		}
	}
	return p
}

// runs says whether any endpoint is in its slow start.
func (p *ramp) runs(now int64) bool { return now < p.end }

// factor answers the part of its due that endpoint e, of index i, gets while the ramp runs, beside the one that is there longest.
func (p *ramp) factor(i int, e *cluster.Endpoint, now int64) float64 {
	if !p.joined(i) {
		return 1
	}
	return p.height(e.Since, now) / p.height(p.oldest, now)
}

func (p *ramp) height(since, now int64) float64 {
	if since == 0 {
		return 1
	}
	return min(1, max(rampFloor, float64(now-since)/p.over))
}

// joined says whether the endpoint of an index came after the one that is there longest.
func (p *ramp) joined(i int) bool { return p.late[i>>6]>>(i&63)&1 != 0 }
