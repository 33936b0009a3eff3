package balancer

// mood is what a pick makes of suspects.
type mood uint8

const (
	undecided  mood = iota // none was met so far
	heed                   // they are left out
	heedIfEasy             // they are left out unless the others are hard to find
	ignore                 // they are picked like any other
)

// fewEndpoints is the number up to which a picker looks at every endpoint: eight loads are read as fast as a random
// number is drawn. It makes ties exact where unevenness shows most (see choices), and health is never ignored.
const fewEndpoints = 8

// tally is what a loop knows of how many endpoints are not suspect. It fills a cache line, so that loops do not share any.
type tally struct {
	until int64 // when it is out of date
	sound int
	_     [48]byte
}

// countEvery is how long a count is good for, for each endpoint in it: counting 10,000 takes about 50 µs, once in 100 ms.
const countEvery = 10_000 // nanoseconds

// sound answers how many endpoints of the group are not suspect, as of a moment ago.
func (g *group) sound(r *Request) int {
	c := &g.tallies[r.Loop]
	if r.Now < c.until {
		return c.sound
	}
	c.sound = 0
	for _, load := range g.loads[r.Loop] {
		if load.SuspectUntil <= r.Now {
			c.sound++
		}
	}
	c.until = r.Now + int64(len(g.endpoints))*countEvery
	return c.sound
}

// ignoresHealth decides, once for each pick and only when it meets a suspect, whether the pick passes suspects over.
func (g *group) ignoresHealth(r *Request) bool {
	if r.mood == undecided {
		r.mood = heed
		if n := len(g.endpoints); n > fewEndpoints {
			r.mood = moodOf(r, g.sound(r), n, g.threshold)
		}
	}
	return r.mood == ignore
}

// moodOf decides for sound endpoints of n. Below the threshold health is heeded just so often that each sound endpoint gets
// 1/threshold times its even share: with more it would go down, too, and at the threshold itself nothing jumps. (With share s
// sound and health heeded for x of the picks they get x + (1-x)s, which is to be s/threshold.)
func moodOf(r *Request, sound, n int, threshold float64) mood {
	switch share := float64(sound) / float64(n); {
	case sound == 0:
		return ignore
	case share >= threshold:
		return heed
	case r.chance(share * (1/threshold - 1) / (1 - share)):
		return heedIfEasy
	}
	return ignore
}
