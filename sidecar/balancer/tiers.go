package balancer

import (
	"math"

	"github.com/sluice-mesh/sluice/sidecar/cluster"
)

// tier is a policy over some of the endpoints.
type tier struct {
	*group
	core
}

// single is a picker whose endpoints are all alike.
type single struct{ tier }

func (p *single) Pick(r *Request) *cluster.Endpoint {
	r.mood = undecided
	i := p.pick(r)
	if i < 0 && r.mood != ignore {
		r.mood = ignore // the untried ones are all suspect: better one of them than none
		i = p.pick(r)
	}
	return p.take(r, i)
}

// take answers the endpoint that was picked, and leaves the pick in its books; nil for -1.
func (t *tier) take(r *Request, i int) *cluster.Endpoint {
	if i < 0 {
		return nil
	}
	r.taken(t.load(r, i))
	return t.endpoints[i]
}

// tiered is a picker that prefers some endpoints to others: those that are near, by the hints of EndpointSlices, and, before any
// suspect, but after all others, those of weight 0. What is near is not always enough, so a pick goes farther
//
//   - when fewer than five in seven of the near endpoints are in good health: the near ones keep 7/5 times that share
//     of the picks (Envoy's overprovisioning factor of 1.4), so each bears at most 1.4 times what it did;
//   - when two near endpoints have at least surplusLeast attempts in flight each and more than twice as many more than a far
//     one, and their answers take more than twice as long (see relief);
//   - when a request has been to all of the near ones.
type tiered struct {
	tiers     []tier // the nearest first; at least one
	size      int    // endpoints in tiers
	spare     *tier  // weight 0; may be nil
	threshold float64
	plans     []plan // one for each loop
}

// plan is what follows from how many endpoints of each tier are sound, as of a moment ago. It fills a cache line, so that loops do not share any.
type plan struct {
	until int64 // when it is out of date
	heed  float64
	keep  [distances]float64 // by tier, the part of the picks that do not go past it
	_     [24]byte
}

// overprovisioning is how many times the endpoints of a tier can bear their usual load.
const overprovisioning = 1.4

func (p *tiered) Pick(r *Request) *cluster.Endpoint {
	t, i := p.pick(r)
	if i < 0 {
		return nil
	}
	return t.take(r, i)
}

// pick answers a tier and an endpoint of it, or -1.
func (p *tiered) pick(r *Request) (*tier, int) {
	now := p.plan(r)
	r.mood = heed
	if now.heed < 1 && moodOf(r, now.heed) == ignore {
		r.mood = ignore
		if t, i := p.anywhere(r); i >= 0 {
			return t, i
		}
		return p.inOrder(r)
	}

	last := len(p.tiers) - 1
	for k := range p.tiers {
		t := &p.tiers[k]
		if k < last && !r.chance(now.keep[k]) {
			continue
		}
		if i := t.pick(r); i >= 0 {
			if k < last {
				if far := t.relief(r, i, &p.tiers[k+1]); far >= 0 {
					return &p.tiers[k+1], far
				}
			}
			return t, i
		}
	}
	if t, i := p.inOrder(r); i >= 0 {
		return t, i
	}
	r.mood = ignore
	return p.inOrder(r)
}

func (p *tiered) plan(r *Request) *plan {
	now := &p.plans[r.Loop]
	if r.Now < now.until {
		return now
	}
	sound := 0
	now.until = math.MaxInt64
	for k := range p.tiers {
		t := &p.tiers[k]
		n := t.sound(r)
		sound += n
		now.keep[k] = overprovisioning * float64(n) / float64(len(t.endpoints))
		now.until = min(now.until, t.tallies[r.Loop].until)
	}
	now.heed = 1
	if sound > 0 && p.size > fewEndpoints {
		now.heed = heeding(sound, p.size, p.threshold)
	}
	return now
}

// inOrder picks from the nearest tier that has anything.
func (p *tiered) inOrder(r *Request) (*tier, int) {
	for k := range p.tiers {
		if i := p.tiers[k].pick(r); i >= 0 {
			return &p.tiers[k], i
		}
	}
	if p.spare != nil && !r.NoSpare {
		return p.spare, p.spare.pick(r)
	}
	return nil, -1
}

// anywhere picks from a tier by its size.
func (p *tiered) anywhere(r *Request) (*tier, int) {
	n := r.draw(p.size)
	for k := range p.tiers {
		if n -= len(p.tiers[k].endpoints); n < 0 {
			return &p.tiers[k], p.tiers[k].pick(r)
		}
	}
	return nil, -1
}

// surplusLeast is the number of attempts in flight below which an endpoint is not busy.
const surplusLeast = 4

// relief answers an endpoint of the next tier when the one that was picked and another one of its tier are much busier, else -1.
// Many attempts in flight alone do not make a tier weak: a client may just have many. Nor do slow answers alone: what is
// asked may be slow. A far endpoint that was not heard of yet gets one attempt to find out.
func (t *tier) relief(r *Request, picked int, next *tier) int {
	near := t.load(r, picked)
	if near.InFlight < surplusLeast || near.LatencyAt == 0 {
		return -1
	}
	if !weak(r, near, next.load(r, next.any(r))) { // most of the time: one look is enough
		return -1
	}
	i := next.pick(r)
	if i < 0 {
		return -1
	}
	far := next.load(r, i)
	if !weak(r, near, far) {
		return -1
	}
	if j := t.draw(r, -1, maxDraws); j >= 0 && !weak(r, t.load(r, j), far) {
		return -1
	}
	return i
}

func weak(r *Request, near, far *cluster.Load) bool {
	if near.InFlight < surplusLeast+2*far.InFlight {
		return false
	}
	if far.LatencyAt == 0 {
		return far.InFlight == 0
	}
	return latency(near, r.Now) > 2*latency(far, r.Now)
}
