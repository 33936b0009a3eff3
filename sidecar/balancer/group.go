package balancer

import (
	"time"

	"github.com/sluice-mesh/sluice/sidecar/cluster"
)

// group is the endpoints among which a core chooses.
type group struct {
	endpoints []*cluster.Endpoint
	loads     [][]*cluster.Load // by loop, and by endpoint: a pick reads loads, and of 10,000 endpoints nothing is in the caches
	weights   []uint32          // none is 0; nil where all are the same
	columns   []column          // draws by weight; nil with weights
	ramp      ramp
	threshold float64 // Options.PanicThreshold
	tallies   []tally // one for each loop
}

func newGroup(p part, slowStart time.Duration, threshold float64) *group {
	g := &group{endpoints: p.endpoints, weights: p.weights, threshold: threshold, ramp: newRamp(p.endpoints, slowStart)}
	loops := len(p.endpoints[0].Load)
	g.tallies = make([]tally, loops)
	g.loads = make([][]*cluster.Load, loops)
	for loop := range g.loads {
		g.loads[loop] = make([]*cluster.Load, len(p.endpoints))
		g.tallies[loop] = tally{all: true}
		if len(p.endpoints) > cheapScan {
			g.tallies[loop].bits = make([]uint64, (len(p.endpoints)+63)/64)
		}
	}
	for i, e := range p.endpoints {
		for loop := range e.Load {
			g.loads[loop][i] = &e.Load[loop]
		}
	}
	if g.weights != nil {
		g.columns = newColumns(g.weights)
	}
	return g
}

// maxDraws is how often an endpoint is drawn before all are gone through. With half of the endpoints suspect one draw in 2³²
// fails, with nine of ten one in thirty.
const maxDraws = 32

// cheapScan is the number of endpoints that are gone through rather than leave a pick with fewer choices.
const cheapScan = 64

// draw draws an endpoint by weight that is open and is not the one given; -1 when it met none in so many attempts. One in its
// slow start is passed over as often as it says, unless nothing else is met.
func (g *group) draw(r *Request, not, attempts int) int {
	for {
		late := -1
		for range attempts {
			i := g.any(r)
			if c := &g.tallies[r.Loop]; !c.all && !g.ignoresHealth(r) {
				if c.sound == 0 {
					break // nobody was well a moment ago: whoever has recovered since is found by going through all
				}
				i = g.likely(r, i)
			}
			if i == not || !g.open(r, i) {
				continue
			}
			if g.itsTurn(r, i) {
				return i
			}
			late = i
		}
		if late >= 0 {
			return late
		}
		if r.mood != heedIfEasy || len(g.endpoints) <= cheapScan {
			return -1
		}
		r.mood = ignore
	}
}

// any draws an endpoint by weight.
func (g *group) any(r *Request) int {
	if g.columns == nil {
		return r.draw(len(g.endpoints))
	}
	return drawColumn(g.columns, r.Rand.Uint64())
}

// two draws twice, independently.
func (g *group) two(r *Request) (a, b int) {
	if g.columns != nil {
		a, b = g.any(r), g.any(r)
	} else {
		n, x := uint64(len(g.endpoints)), r.Rand.Uint64()
		a, b = int(x>>32*n>>32), int(x&(1<<32-1)*n>>32)
	}
	if !g.tallies[r.Loop].all && !g.ignoresHealth(r) {
		a, b = g.likely(r, a), g.likely(r, b)
	}
	return a, b
}

// likely answers an endpoint that was drawn, or another one drawn in its place where it was suspect when they were counted last: a
// look at what was counted waits for no memory. Who is suspect is asked of its load all the same. It is for groups whose tally is not of all.
func (g *group) likely(r *Request, i int) int {
	c := &g.tallies[r.Loop]
	if c.wasSound(i) {
		return i
	}
	n, x := uint64(len(g.endpoints)), r.Rand.Uint64()
	for range maxDraws {
		if g.columns != nil {
			i = g.any(r)
		} else {
			i = int(x >> 32 * n >> 32)
			x = x*0x5851f42d4c957f2d + 0x14057b7ef767814f // Knuth's; its upper half is good enough to draw again by
		}
		if c.wasSound(i) {
			break
		}
	}
	return i
}

// open says whether an endpoint may be picked.
func (g *group) open(r *Request, i int) bool {
	return (g.load(r, i).SuspectUntil <= r.Now || g.ignoresHealth(r)) && (len(r.Tried) == 0 || !r.tried(g.endpoints[i]))
}

// load answers what the loop that picks knows of an endpoint.
func (g *group) load(r *Request, i int) *cluster.Load { return g.loads[r.Loop][i] }

// itsTurn says, at random, whether an endpoint that was drawn may be picked as far as its slow start is concerned.
func (g *group) itsTurn(r *Request, i int) bool {
	return !g.ramp.runs(r.Now) || r.chance(g.ramp.factor(i, g.endpoints[i], r.Now))
}

// joins says whether either of two endpoints may be in its slow start.
func (g *group) joins(r *Request, a, b int) bool {
	return g.ramp.runs(r.Now) && (g.ramp.joined(a) || g.ramp.joined(b))
}

// uneven says whether endpoints differ in what is due to them.
func (g *group) uneven(r *Request) bool { return g.weights != nil || g.ramp.runs(r.Now) }

// due answers an endpoint's weight, as far as its slow start allows.
func (g *group) due(r *Request, i int) float64 {
	w := 1.0
	if g.weights != nil {
		w = float64(g.weights[i])
	}
	if g.ramp.runs(r.Now) {
		w *= g.ramp.factor(i, g.endpoints[i], r.Now)
	}
	return w
}

// scan goes through all endpoints once and draws two by what is due to them, without putting the first back; -1 for what
// there is not. Each open one gets a random time, exponentially distributed with its due as the rate, and the two
// earliest win (Efraimidis and Spirakis 2006).
func (g *group) scan(r *Request) (first, second int) {
	first, second = -1, -1
	var t1, t2 float64
	uneven := g.uneven(r)
	for i := range g.endpoints {
		if !g.open(r, i) {
			continue
		}
		t := r.Rand.ExpFloat64()
		if uneven {
			t /= g.due(r, i)
		}
		switch {
		case first < 0 || t < t1:
			first, second, t1, t2 = i, first, t, t1
		case second < 0 || t < t2:
			second, t2 = i, t
		}
	}
	return first, second
}
