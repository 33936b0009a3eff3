package balancer

// choices is the power of two choices (Mitzenmacher 2001): of two distinct random endpoints the better one. Two, and not the
// best of all, so that an endpoint that has just come and has nothing in flight is not sent everything until it has caught up.
//
// Where all endpoints have the same due, equal ones are told apart by who was picked longer ago, so sequential traffic, where
// nothing is ever in flight, goes round. A new endpoint was never picked: it gets one pick before the others, not a burst. Up
// to fewEndpoints a tie is decided among all that are equally busy: two random ones of three would leave a standard deviation
// of 1 % over 3,000 sequential requests, going round leaves none.
//
// Where they differ, both are drawn by what is due to them, and of two idle ones the first is taken, so shares are right
// when nothing is in flight; when something is, what is in flight is divided by the due (see better).
type choices struct {
	*group
	by measure
}

func (p *choices) pick(r *Request) int {
	uneven := p.uneven(r)
	switch n := len(p.endpoints); {
	case n > fewEndpoints:
		return p.ofMany(r, uneven)
	case uneven:
		return p.ofFewUneven(r)
	}
	return p.ofFew(r)
}

func (p *choices) ofMany(r *Request, uneven bool) int {
	// Both are drawn before either is looked at, so that the processor fetches both loads at a time.
	a, b := p.two(r)
	if a != b && len(r.Tried) == 0 && !p.joins(r, a, b) && (r.mood == ignore || max(p.load(r, a).SuspectUntil, p.load(r, b).SuspectUntil) <= r.Now) {
		return p.better(r, a, b, uneven) // as nearly always
	}
	openA, openB := p.open(r, a) && p.itsTurn(r, a), p.open(r, b) && p.itsTurn(r, b)
	if !openA {
		a = p.draw(r, -1, maxDraws)
	}
	if a >= 0 && (!openB || a == b) {
		// Of weights like 1,000 to 1 the draw may meet the first one again and again.
		b = p.draw(r, a, maxDraws/4)
	}
	if a < 0 || b < 0 && len(p.endpoints) <= cheapScan {
		a, b = p.scan(r)
	}
	if b < 0 {
		return a
	}
	return p.better(r, a, b, uneven)
}

func (p *choices) ofFew(r *Request) int {
	var open [fewEndpoints]int
	k := 0
	for i := range p.endpoints {
		if p.open(r, i) {
			open[k] = i
			k++
		}
	}
	switch k {
	case 0:
		return -1
	case 1:
		return open[0]
	}
	i := r.draw(k)
	j := r.draw(k - 1)
	if j >= i {
		j++
	}
	best := p.better(r, open[i], open[j], false)
	if a, b := p.load(r, open[i]), p.load(r, open[j]); a.InFlight != b.InFlight || p.by == byLatency && a.LatencyAt|b.LatencyAt != 0 {
		return best
	}
	last := p.load(r, best)
	for _, i := range open[:k] {
		if load := p.load(r, i); load.InFlight == last.InFlight && load.LastPick < last.LastPick {
			best, last = i, load
		}
	}
	return best
}

func (p *choices) ofFewUneven(r *Request) int {
	var open [fewEndpoints]int
	var due [fewEndpoints]float64
	k, total := 0, 0.0
	for i := range p.endpoints {
		if p.open(r, i) {
			open[k], due[k] = i, p.due(r, i)
			total += due[k]
			k++
		}
	}
	switch k {
	case 0:
		return -1
	case 1:
		return open[0]
	}
	first := drawDue(due[:k], total*r.Rand.Float64())
	total -= due[first]
	due[first] = 0
	second := drawDue(due[:k], total*r.Rand.Float64())
	if second == first { // by rounding
		second = (first + 1) % k
	}
	return p.better(r, open[first], open[second], true)
}

// drawDue answers the index into which x falls when the dues are laid end to end; the last but for zeros for an x beyond.
func drawDue(due []float64, x float64) int {
	last := 0
	for i, d := range due {
		if d == 0 {
			continue
		}
		if x < d {
			return i
		}
		x -= d
		last = i
	}
	return last
}
