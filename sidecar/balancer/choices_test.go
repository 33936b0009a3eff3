package balancer

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/cluster"
)

// twin is least request as one would explain it: list who may be picked, draw two, compare, and on a tie ask everybody
// (if there are few) or the two (if there are many) who waited longest. It keeps its books by index.
type twin struct {
	inFlight []int
	lastPick []int
	suspect  []bool
	seq      int
}

func (w *twin) pick(rnd *rand.Rand, tried map[int]bool) int {
	var may, doubtful []int
	for i := range w.inFlight {
		switch {
		case tried[i]:
		case w.suspect[i]:
			doubtful = append(doubtful, i)
		default:
			may = append(may, i)
		}
	}
	if len(may) == 0 {
		may = doubtful
	}
	if len(may) == 0 {
		return -1
	}
	perm := rnd.Perm(len(may))
	two := []int{may[perm[0]]}
	if len(may) > 1 {
		two = append(two, may[perm[1]])
	}
	if len(two) == 2 && w.inFlight[two[0]] != w.inFlight[two[1]] {
		if w.inFlight[two[1]] < w.inFlight[two[0]] {
			two[0] = two[1]
		}
		two = two[:1]
	}
	if len(two) == 2 && len(w.inFlight) <= fewEndpoints {
		level := w.inFlight[two[0]]
		for _, i := range may {
			if w.inFlight[i] == level {
				two = append(two, i)
			}
		}
	}
	best := two[0]
	for _, i := range two {
		if w.lastPick[i] < w.lastPick[best] {
			best = i
		}
	}
	w.seq++
	w.lastPick[best] = w.seq
	return best
}

// closedLoop runs clients that each send the next request when the last was answered, over endpoints of which endpoint i
// takes service[i] ticks, and answers the shares.
func closedLoop(n, clients, requests int, service []int, pick func() int, flight func(i, delta int)) []float64 {
	type running struct{ endpoint, end int }
	var run []running
	counts := make([]float64, n)
	for tick, sent := 0, 0; sent < requests; tick++ {
		rest := run[:0]
		for _, x := range run {
			if x.end == tick {
				flight(x.endpoint, -1)
			} else {
				rest = append(rest, x)
			}
		}
		for run = rest; len(run) < clients && sent < requests; sent++ {
			i := pick()
			flight(i, 1)
			counts[i] += 1 / float64(requests)
			run = append(run, running{i, tick + service[i]})
		}
	}
	return counts
}

func TestLeastRequestSharesLikeItsDumbTwin(t *testing.T) {
	const requests = 40_000
	for _, c := range []struct {
		name    string
		service []int // ticks an endpoint takes for a request
		suspect int   // index of a suspect endpoint, or -1
	}{
		{"three equal endpoints", []int{5, 5, 5}, -1},
		{"one of two is ten times slower", []int{5, 50}, -1},
		{"one of three is ten times slower", []int{5, 5, 50}, -1},
		{"one of four is suspect, another is slow", []int{5, 20, 5, 5}, 0},
		{"one of twelve is ten times slower", []int{5, 5, 5, 5, 50, 5, 5, 5, 5, 5, 5, 5}, -1},
		{"one of twelve is suspect", []int{5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5}, 3},
		{"one endpoint", []int{5}, -1},
		{"one endpoint, which is suspect", []int{5}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := len(c.service)
			es := endpoints(n)
			index := map[*cluster.Endpoint]int{}
			for i, e := range es {
				index[e] = i
			}
			r := request(0, 42)
			w := &twin{inFlight: make([]int, n), lastPick: make([]int, n), suspect: make([]bool, n)}
			if c.suspect >= 0 {
				es[c.suspect].Load[0].SuspectUntil = r.Now + 1
				w.suspect[c.suspect] = true
			}
			p := newPicker(t, LeastRequest, es)
			ours := closedLoop(n, 4*n, requests, c.service, func() int { return index[p.Pick(r)] },
				func(i, d int) { es[i].Load[0].InFlight += int64(d) })
			rnd := rand.New(rand.NewPCG(43, 1))
			theirs := closedLoop(n, 4*n, requests, c.service, func() int { return w.pick(rnd, nil) },
				func(i, d int) { w.inFlight[i] += d })
			for i := range ours {
				// Two samples of a share p differ by more than five deviations of independent draws once in a million.
				bound := 5 * math.Sqrt(2*theirs[i]*(1-theirs[i])/requests)
				if math.Abs(ours[i]-theirs[i]) > bound+1e-9 {
					t.Errorf("endpoint %d: share %.4f, the twin's %.4f ± %.4f", i, ours[i], theirs[i], bound)
				}
			}
			t.Logf("shares %.3f", ours)
			slowest := 0
			for i, s := range c.service {
				if s > c.service[slowest] {
					slowest = i
				}
			}
			if s := c.service[slowest]; s > 5 && ours[slowest] > 0.7/float64(n) {
				t.Errorf("the slow endpoint got %.3f of the requests, hardly less than its even share", ours[slowest])
			}
		})
	}
}

// Step by step, where no choice is left to chance, the picker and the twin must agree exactly.
func TestLeastRequestAgreesWithItsTwinWhereNothingIsRandom(t *testing.T) {
	rnd := rand.New(rand.NewPCG(11, 12))
	for round := range 2000 {
		n := 1 + rnd.IntN(fewEndpoints+4)
		es := endpoints(n)
		w := &twin{inFlight: make([]int, n), lastPick: make([]int, n), suspect: make([]bool, n)}
		r := request(0, uint64(round))
		tried := map[int]bool{}
		for i, e := range es {
			e.Load[0].InFlight = int64(rnd.IntN(3))
			e.Load[0].LastPick = uint64(i + 1)
			w.inFlight[i], w.lastPick[i] = int(e.Load[0].InFlight), i+1
			if w.suspect[i] = rnd.IntN(3) == 0; w.suspect[i] {
				e.Load[0].SuspectUntil = r.Now + 1
			}
		}
		// All but two of the endpoints were tried: no choice among more than two.
		for _, i := range rnd.Perm(n)[min(n, 2):] {
			tried[i] = true
			r.Tried = append(r.Tried, es[i])
		}
		got, want := newPicker(t, LeastRequest, es).Pick(r), w.pick(rnd, tried)
		if got != es[want] {
			t.Fatalf("round %d: %v, the twin picks %v; twin %+v, tried %v", round, got.Addr, es[want].Addr, w, tried)
		}
	}
}

// The scan is the rare way: with nearly all endpoints suspect it still picks evenly among the rest.
func TestTheScanIsEvenToo(t *testing.T) {
	es := endpoints(400)
	r := request(0, 8)
	for _, e := range es[4:] {
		e.Load[0].SuspectUntil = r.Now + 1
	}
	counts := count(newPicker(t, LeastRequest, es), r, es, 4000)
	for i, c := range counts {
		if i >= 4 && c > 0 || i < 4 && (c < 850 || c > 1150) {
			t.Errorf("endpoint %d got %d of 4,000; the first four are the only ones not suspect", i, c)
		}
	}
}

// Two distinct ones of two are both: with two endpoints the choice is no longer random but the least request itself. (A picker
// that may draw the same one twice is half random here.)
func TestTwoChoicesOfTwoAreLeastRequest(t *testing.T) {
	rnd := rand.New(rand.NewPCG(21, 22))
	for _, policy := range []string{LeastRequest, NeverQueue, PeakEWMA, ShortestExpectedDelay} {
		for round := range 5000 {
			es := endpoints(2)
			es[0].Load[0].InFlight, es[1].Load[0].InFlight = int64(rnd.IntN(5)), int64(rnd.IntN(5))
			es[0].Load[0].LastPick, es[1].Load[0].LastPick = 1, 2
			want := es[0]
			if es[1].Load[0].InFlight < es[0].Load[0].InFlight {
				want = es[1]
			}
			if got := newPicker(t, policy, es).Pick(request(0, uint64(round))); got != want {
				t.Fatalf("%s, round %d: %d and %d in flight, picked %v", policy, round, es[0].Load[0].InFlight, es[1].Load[0].InFlight, got.Addr)
			}
		}
	}
}

// One slow endpoint of three, every policy: those that look at loads or latencies leave it, those that do not go on.
func TestASlowEndpointsShare(t *testing.T) {
	for _, c := range []struct {
		policy      string
		least, most float64 // of the requests, to the slow one
	}{
		// 30 clients, of whom ten to twelve wait for the slow one at any time, as requests to it end last: between 10/50 ms
		// against 20/5 ms and 12/50 ms against 18/5 ms.
		{LeastRequest, 0.045, 0.065},
		{NeverQueue, 0.045, 0.065},
		{ShortestExpectedDelay, 0.045, 0.065},
		{PeakEWMA, 0, 0.015},
		{RoundRobin, 0.33, 0.34},
		{Random, 0.31, 0.36},
	} {
		for seed := range uint64(2) {
			es := endpoints(3)
			s := newSim(t, newPicker(t, c.policy, es), seed)
			s.takes = func(e *cluster.Endpoint, _ time.Duration) time.Duration {
				if e == es[1] {
					return 50 * time.Millisecond
				}
				return 5 * time.Millisecond
			}
			s.closed(time.Second, 30)
			if got := share(s.closed(6*time.Second, 30), es[1]); got < c.least || got > c.most {
				t.Errorf("%s, seed %d: %.4f of the requests go to the slow one, want %.3f to %.3f", c.policy, seed, got, c.least, c.most)
			}
		}
	}
}
