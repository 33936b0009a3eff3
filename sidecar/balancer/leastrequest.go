package balancer

import "github.com/sluice-mesh/sluice/sidecar/cluster"

// fewEndpoints is the number up to which a picker looks at every endpoint: eight loads are read as fast as a random
// number is drawn. It makes ties exact where unevenness shows most (see leastRequest).
const fewEndpoints = 8

// maxDraws is how often a random endpoint is drawn before all are gone through. With half of the endpoints suspect one
// pick in 2⁷ goes through them all.
const maxDraws = 8

// leastRequest is the power of two choices (Mitzenmacher 2001): of two distinct random endpoints the one with fewer
// attempts in flight. Two, and not the least of all, so that an endpoint that has just come and has nothing in flight
// is not sent everything until it has caught up.
//
// Equal ones are told apart by who was picked longer ago, so sequential traffic, where nothing is ever in flight, goes
// round. A new endpoint was never picked: it gets one pick before the others, not a burst. Up to fewEndpoints a tie is
// decided among all that are equally busy: two random ones of three would leave a standard deviation of 1 % over 3,000
// sequential requests, going round leaves none.
type leastRequest struct {
	endpoints []*cluster.Endpoint
}

func (p *leastRequest) Pick(r *Request) *cluster.Endpoint {
	n := len(p.endpoints)
	if n <= fewEndpoints {
		return p.pickFew(r)
	}
	a := p.drawOther(r, nil)
	if a == nil {
		return p.pickByScan(r)
	}
	b := p.drawOther(r, a)
	if b == nil {
		return p.pickByScan(r)
	}
	return r.taken(r.lighter(a, b))
}

// lighter answers which of two endpoints gets the attempt.
func (r *Request) lighter(a, b *cluster.Endpoint) *cluster.Endpoint {
	la, lb := &a.Load[r.Loop], &b.Load[r.Loop]
	if la.InFlight < lb.InFlight || la.InFlight == lb.InFlight && la.LastPick < lb.LastPick {
		return a
	}
	return b
}

// drawOther draws a random endpoint that is neither tried nor suspect nor the one given; nil when it met none.
func (p *leastRequest) drawOther(r *Request, not *cluster.Endpoint) *cluster.Endpoint {
	for range maxDraws {
		e := p.endpoints[r.draw(len(p.endpoints))]
		if e != not && !r.suspect(e) && !r.tried(e) {
			return e
		}
	}
	return nil
}

// pickFew is Pick over few endpoints: the choices are drawn from those that may be picked.
func (p *leastRequest) pickFew(r *Request) *cluster.Endpoint {
	var open [fewEndpoints]*cluster.Endpoint
	k := 0
	for _, e := range p.endpoints {
		if !r.suspect(e) && !r.tried(e) {
			open[k] = e
			k++
		}
	}
	if k == 0 {
		for _, e := range p.endpoints { // the untried ones are all suspect: better one of them than none
			if !r.tried(e) {
				open[k] = e
				k++
			}
		}
	}
	switch k {
	case 0:
		return nil
	case 1:
		return r.taken(open[0])
	}
	i := r.draw(k)
	j := r.draw(k - 1)
	if j >= i {
		j++
	}
	best := r.lighter(open[i], open[j])
	busy := best.Load[r.Loop].InFlight
	if open[i].Load[r.Loop].InFlight == open[j].Load[r.Loop].InFlight {
		for _, e := range open[:k] {
			if load := &e.Load[r.Loop]; load.InFlight == busy && load.LastPick < best.Load[r.Loop].LastPick {
				best = e
			}
		}
	}
	return r.taken(best)
}

// pickByScan goes through all endpoints once and keeps two random ones (reservoir sampling) of those that are not
// suspect, and two of those that are, in case there are no others. Tried ones are left out, so nil is answered only when
// all were tried.
func (p *leastRequest) pickByScan(r *Request) *cluster.Endpoint {
	var sound, suspect reservoir
	for _, e := range p.endpoints {
		switch {
		case r.tried(e):
		case r.suspect(e):
			suspect.add(r, e)
		default:
			sound.add(r, e)
		}
	}
	if sound.seen == 0 {
		sound = suspect
	}
	switch sound.seen {
	case 0:
		return nil
	case 1:
		return r.taken(sound.kept[0])
	}
	return r.taken(r.lighter(sound.kept[0], sound.kept[1]))
}

// reservoir keeps two of the endpoints it was shown, each pair equally likely.
type reservoir struct {
	kept [2]*cluster.Endpoint
	seen int
}

func (s *reservoir) add(r *Request, e *cluster.Endpoint) {
	s.seen++
	if s.seen <= len(s.kept) {
		s.kept[s.seen-1] = e
		return
	}
	if i := r.draw(s.seen); i < len(s.kept) {
		s.kept[i] = e
	}
}
