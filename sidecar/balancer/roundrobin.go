package balancer

import "github.com/sluice-mesh/sluice/sidecar/cluster"

// maxResume is the number of endpoints up to which a new picker looks for the place where the one before it stood. In
// larger sets it starts anywhere: reading 10,000 cold loads at each change would cost a millisecond.
const maxResume = 256

// roundRobin goes through the endpoints in their order, each loop at its own place. The place is kept per loop in the
// picker, not per endpoint: a loop's pick counter runs over all Services, so its remainder would not go round.
//
// After a change of the set each loop goes on behind the endpoint it picked last, so neither a new endpoint nor the first
// of the order gets more than its turn.
type roundRobin struct {
	endpoints []*cluster.Endpoint
	places    []place // one for each loop
}

// place is a loop's next index; it fills a cache line, so that loops do not share any.
type place struct {
	next    int
	started bool
	_       [48]byte
}

func newRoundRobin(endpoints []*cluster.Endpoint) *roundRobin {
	p := &roundRobin{endpoints: endpoints}
	if len(endpoints) > 0 {
		p.places = make([]place, len(endpoints[0].Load))
	}
	return p
}

func (p *roundRobin) Pick(r *Request) *cluster.Endpoint {
	if len(p.endpoints) == 0 {
		return nil
	}
	at := &p.places[r.Loop]
	if !at.started {
		at.started, at.next = true, p.start(r)
	}
	suspect := -1
	for range p.endpoints {
		i := at.next
		if at.next++; at.next == len(p.endpoints) {
			at.next = 0
		}
		switch e := p.endpoints[i]; {
		case r.tried(e):
		case r.suspect(e):
			if suspect < 0 {
				suspect = i
			}
		default:
			return r.taken(e)
		}
	}
	if suspect < 0 {
		return nil
	}
	if at.next = suspect + 1; at.next == len(p.endpoints) {
		at.next = 0
	}
	return r.taken(p.endpoints[suspect])
}

// start answers where a loop begins: behind its latest pick, or anywhere when it has not picked any of these yet, so
// that not every proxy of a cluster begins with the same endpoint.
func (p *roundRobin) start(r *Request) int {
	if len(p.endpoints) <= maxResume {
		latest, last := 0, uint64(0)
		for i, e := range p.endpoints {
			if pick := e.Load[r.Loop].LastPick; pick > last {
				latest, last = i, pick
			}
		}
		if last > 0 {
			return (latest + 1) % len(p.endpoints)
		}
	}
	return r.draw(len(p.endpoints))
}
