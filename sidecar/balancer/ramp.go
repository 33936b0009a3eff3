package balancer

import (
	"time"

	"github.com/sluice-mesh/sluice/sidecar/cluster"
)

// rampFloor is the part of its due that an endpoint starts with: too little for a cold one to hurt, enough to warm it. Envoy's.
const rampFloor = 0.1

// ramp is the slow start of a group's endpoints.
type ramp struct {
	over   float64 // nanoseconds
	end    int64   // of the last slow start; 0 where there is none
	oldest int64   // Since of the endpoint that is there longest
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
	return ramp{over: float64(over), end: youngest + int64(over), oldest: oldest}
}

// runs says whether any endpoint is in its slow start.
func (p *ramp) runs(now int64) bool { return now < p.end }

// factor answers the part of its due that an endpoint gets while the ramp runs, beside the one that is there longest.
func (p *ramp) factor(e *cluster.Endpoint, now int64) float64 {
	return p.height(e.Since, now) / p.height(p.oldest, now)
}

func (p *ramp) height(since, now int64) float64 {
	if since == 0 {
		return 1
	}
	return min(1, max(rampFloor, float64(now-since)/p.over))
}
