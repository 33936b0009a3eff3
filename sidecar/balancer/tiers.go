package balancer

import "github.com/sluice-mesh/sluice/sidecar/cluster"

// tier is a policy over some of the endpoints.
type tier struct {
	*group
	core
}

// single is a picker whose endpoints are all alike.
type single struct{ tier }

func (p *single) Pick(r *Request) *cluster.Endpoint {
	r.mood = undecided
	e := p.pick(r)
	if e == nil && r.mood != ignore {
		r.mood = ignore // the untried ones are all suspect: better one of them than none
		e = p.pick(r)
	}
	if e == nil {
		return nil
	}
	return r.taken(e)
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
}

// overprovisioning is how many times the endpoints of a tier can bear their usual load.
const overprovisioning = 1.4

func (p *tiered) Pick(r *Request) *cluster.Endpoint {
	e := p.pick(r)
	if e == nil {
		return nil
	}
	return r.taken(e)
}

func (p *tiered) pick(r *Request) *cluster.Endpoint {
	sound := 0
	for i := range p.tiers {
		sound += p.tiers[i].sound(r)
	}
	r.mood = heed
	if sound > 0 && p.size > fewEndpoints && moodOf(r, sound, p.size, p.threshold) == ignore {
		r.mood = ignore
		if e := p.anywhere(r); e != nil {
			return e
		}
		return p.inOrder(r)
	}

	last := len(p.tiers) - 1
	for i := range p.tiers {
		t := &p.tiers[i]
		if i < last && !r.chance(overprovisioning*float64(t.sound(r))/float64(len(t.endpoints))) {
			continue
		}
		if e := t.pick(r); e != nil {
			if i < last {
				if far := t.relief(r, e, &p.tiers[i+1]); far != nil {
					return far
				}
			}
			return e
		}
	}
	if e := p.inOrder(r); e != nil {
		return e
	}
	r.mood = ignore
	return p.inOrder(r)
}

// inOrder picks from the nearest tier that has anything.
func (p *tiered) inOrder(r *Request) *cluster.Endpoint {
	for i := range p.tiers {
		if e := p.tiers[i].pick(r); e != nil {
			return e
		}
	}
	if p.spare != nil {
		return p.spare.pick(r)
	}
	return nil
}

// anywhere picks from a tier by its size.
func (p *tiered) anywhere(r *Request) *cluster.Endpoint {
	i := r.draw(p.size)
	for t := range p.tiers {
		if i -= len(p.tiers[t].endpoints); i < 0 {
			return p.tiers[t].pick(r)
		}
	}
	return nil
}

// surplusLeast is the number of attempts in flight below which an endpoint is not busy.
const surplusLeast = 4

// relief answers an endpoint of the next tier when the one that was picked and another one of its tier are much busier, else nil.
// Many attempts in flight alone do not make a tier weak: a client may just have many. Nor do slow answers alone: what is
// asked may be slow. A far endpoint that was not heard of yet gets one attempt to find out.
func (t *tier) relief(r *Request, e *cluster.Endpoint, next *tier) *cluster.Endpoint {
	near := &e.Load[r.Loop]
	if near.InFlight < surplusLeast || near.LatencyAt == 0 {
		return nil
	}
	far := next.pick(r)
	if far == nil || !weak(r, near, &far.Load[r.Loop]) {
		return nil
	}
	if i := t.draw(r, -1, maxDraws); i >= 0 && !weak(r, &t.endpoints[i].Load[r.Loop], &far.Load[r.Loop]) {
		return nil
	}
	return far
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
