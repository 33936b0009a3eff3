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

// tally is what a loop knows of how many endpoints are not suspect, and which. It fills a cache line, so that loops do not share any.
type tally struct {
	until int64 // when it is out of date
	sound int
	heed  float64  // the part of the picks that heed health, see heeding
	all   bool     // none was suspect, or nothing was counted yet, or there are no bits
	bits  []uint64 // by the index of an endpoint, whether it was sound: a kilobyte for 10,000, whose loads are half a megabyte; nil for up to cheapScan
	_     [8]byte
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
	clear(c.bits)
	for i, load := range g.loads[r.Loop] {
		if load.SuspectUntil <= r.Now {
			c.sound++
			if c.bits != nil {
				c.bits[i>>6] |= 1 << (i & 63)
			}
		}
	}
	c.all = c.sound == len(g.endpoints) || c.bits == nil
	c.heed = heeding(c.sound, len(g.endpoints), g.threshold)
	c.until = r.Now + int64(len(g.endpoints))*countEvery
	return c.sound
}

// wasSound says whether an endpoint was not suspect when they were counted.
func (c *tally) wasSound(i int) bool { return c.bits[i>>6]>>(i&63)&1 != 0 }

// ignoresHealth decides, once for each pick and only when it meets a suspect, whether the pick passes suspects over.
func (g *group) ignoresHealth(r *Request) bool {
	if r.mood == undecided {
		r.mood = heed
		if len(g.endpoints) > fewEndpoints {
			g.sound(r)
			r.mood = moodOf(r, g.tallies[r.Loop].heed)
		}
	}
	return r.mood == ignore
}

// heeding answers the part of the picks that heed health when so many of n endpoints are sound. Below the threshold that is just as much
// that each sound one gets 1/threshold times its even share: with more it would go down, too, and at the threshold itself nothing jumps.
// (With share s sound and health heeded for x of the picks they get x + (1-x)s, which is to be s/threshold.)
func heeding(sound, n int, threshold float64) float64 {
	switch share := float64(sound) / float64(n); {
	case sound == 0:
		return 0
	case share >= threshold:
		return 1
	default:
		return share * (1/threshold - 1) / (1 - share)
	}
}

// moodOf decides for a pick.
func moodOf(r *Request, heeding float64) mood {
	switch {
	case heeding >= 1:
		return heed
	case heeding > 0 && r.chance(heeding):
		return heedIfEasy
	}
	return ignore
}
