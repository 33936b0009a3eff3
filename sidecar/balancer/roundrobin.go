package balancer

import (
	"math"
)

// maxResume is the number of endpoints up to which a new picker looks for the place where the one before it stood. In
// larger sets it starts anywhere: reading 10,000 cold loads at each change would cost a millisecond.
const maxResume = 256

// roundRobin goes through a circle on which each endpoint has as many places as its weight, each loop at its own. It goes by
// strides that have no divisor in common with the circle, so that it comes to every place once before it comes to one again:
// in each round an endpoint gets just its weight. A stride is near the golden section of the circle, so an endpoint's turns
// are spread over the round, and those who stand in for a suspect are not always its neighbours.
//
// The place is kept per loop in the picker, not per endpoint: a loop's pick counter runs over all Services, so its remainder
// would not go round. After a change of the set each loop goes on behind the endpoint it picked last, so neither a new
// endpoint nor the first of the order gets more than its turn; with weights it goes on anywhere.
type roundRobin struct {
	*group
	circle uint64   // places
	stride uint64   // less than circle, unless that is 1
	ends   []uint64 // the place behind each endpoint's; nil where each has one place
	guide  []uint32 // by a place's part of the circle, the first endpoint that has one in that part
	places []place  // one for each loop
}

// place is where a loop has its next turn; it fills a cache line, so that loops do not share any.
type place struct {
	next    uint64
	started bool
	_       [48]byte
}

func newRoundRobin(g *group) *roundRobin {
	p := &roundRobin{group: g, circle: uint64(len(g.endpoints)), places: make([]place, len(g.tallies))}
	if g.weights != nil {
		p.layOut()
	}
	p.stride = strideOf(p.circle)
	return p
}

// layOut gives each endpoint as many places as its weight, by their greatest common divisor.
func (p *roundRobin) layOut() {
	divisor := uint64(0)
	for _, w := range p.weights {
		divisor = gcd(uint64(w), divisor)
	}
	p.circle = 0
	p.ends = make([]uint64, len(p.weights))
	for i, w := range p.weights {
		p.circle += uint64(w) / divisor
		p.ends[i] = p.circle
	}
	n := uint64(len(p.weights))
	p.guide = make([]uint32, n+1)
	for c, i := uint64(0), 0; c < n; c++ {
		for first := (c*p.circle + n - 1) / n; p.ends[i] <= first && i < len(p.ends)-1; {
			i++
		}
		p.guide[c] = uint32(i)
	}
	p.guide[n] = uint32(n - 1)
}

// at answers the endpoint at a place of the circle.
func (p *roundRobin) at(place uint64) int {
	if p.ends == nil {
		return int(place)
	}
	part := place * uint64(len(p.ends)) / p.circle
	low, high := p.guide[part], p.guide[part+1] // the answer is in [low, high]
	for low < high {
		if mid := (low + high) / 2; p.ends[mid] <= place {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return int(low)
}

func (p *roundRobin) pick(r *Request) int {
	at := &p.places[r.Loop]
	if !at.started {
		at.started, at.next = true, p.start(r)
	}
	for {
		for range maxDraws {
			i := p.at(at.next)
			at.next = p.after(at.next)
			if p.open(r, i) && p.itsTurn(r, i) {
				return i
			}
		}
		if r.mood != heedIfEasy || len(p.endpoints) <= cheapScan {
			break
		}
		r.mood = ignore
	}
	i, _ := p.scan(r)
	return i
}

func (p *roundRobin) after(place uint64) uint64 {
	if place += p.stride; place >= p.circle {
		place -= p.circle
	}
	return place
}

// start answers where a loop begins: behind its latest pick, or anywhere when it has not picked any of these yet, so
// that not every proxy of a cluster begins with the same endpoint.
func (p *roundRobin) start(r *Request) uint64 {
	if len(p.endpoints) <= maxResume && p.ends == nil {
		latest, last := 0, uint64(0)
		for i, load := range p.loads[r.Loop] {
			if pick := load.LastPick; pick > last {
				latest, last = i, pick
			}
		}
		if last > 0 {
			return p.after(uint64(latest))
		}
	}
	return r.Rand.Uint64N(p.circle)
}

// strideOf answers a number near the golden section of the circle that has no divisor in common with it, and of those near
// the one that leaves the smallest gaps: whose ratio to the circle has the smallest partial quotients.
func strideOf(circle uint64) uint64 {
	const window = 16
	golden := int64(float64(circle) * 0.6180339887498949)
	stride, worst := uint64(1), uint64(math.MaxUint64)
	for d := int64(0); worst == math.MaxUint64 || d <= window; d++ {
		for _, s := range [2]int64{golden + d, golden - d} {
			if s < 0 || uint64(s) >= circle {
				continue
			}
			if divisor, quotient := euclid(circle, uint64(s)); divisor == 1 && quotient < worst {
				stride, worst = uint64(s), quotient
			}
		}
	}
	return stride
}

// euclid answers the greatest common divisor of a and b < a, and the largest partial quotient on the way.
func euclid(a, b uint64) (divisor, quotient uint64) {
	for b != 0 {
		quotient = max(quotient, a/b)
		a, b = b, a%b
	}
	return a, quotient
}

func gcd(a, b uint64) uint64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
