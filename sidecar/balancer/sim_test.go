package balancer

import (
	"container/heap"
	"math"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/cluster"
)

// sim is a client of one loop and its servers, in a time of its own.
type sim struct {
	t    *testing.T
	r    *Request
	pick func(*Request) *cluster.Endpoint
	// takes answers how long an endpoint takes for a request that it is sent now.
	takes func(e *cluster.Endpoint, now time.Duration) time.Duration

	under  answers
	counts map[*cluster.Endpoint]int // of requests sent
	// waits are how long answers took.
	waits []time.Duration
}

// answer is one on its way.
type answer struct {
	at, sent time.Duration
	from     *cluster.Endpoint
}

type answers []answer

func (a answers) Len() int           { return len(a) }
func (a answers) Less(i, j int) bool { return a[i].at < a[j].at }
func (a answers) Swap(i, j int)      { a[i], a[j] = a[j], a[i] }
func (a *answers) Push(x any)        { *a = append(*a, x.(answer)) }
func (a *answers) Pop() any {
	last := (*a)[len(*a)-1]
	*a = (*a)[:len(*a)-1]
	return last
}

func newSim(t *testing.T, p Picker, seed uint64) *sim {
	return &sim{t: t, r: request(0, seed), pick: p.Pick, counts: map[*cluster.Endpoint]int{}}
}

func (s *sim) now() time.Duration { return time.Duration(s.r.Now) }

// send sends one request now.
func (s *sim) send() {
	e := s.pick(s.r)
	e.Load[0].InFlight++
	s.counts[e]++
	heap.Push(&s.under, answer{s.now() + s.takes(e, s.now()), s.now(), e})
}

// next lets time pass to the next answer, or to the given time when there is none before; it reports whether there was one.
func (s *sim) next(until time.Duration) bool {
	if len(s.under) == 0 || s.under[0].at > until {
		s.r.Now = int64(until)
		return false
	}
	a := heap.Pop(&s.under).(answer)
	s.r.Now = int64(a.at)
	load := &a.from.Load[0]
	load.InFlight--
	Observe(load, int64(a.at-a.sent), s.r.Now)
	s.waits = append(s.waits, a.at-a.sent)
	return true
}

// open sends requests at random times with a mean distance, whatever is answered, until a time, and answers how many
// each endpoint got meanwhile.
func (s *sim) open(until, every time.Duration) map[*cluster.Endpoint]int {
	s.counts = map[*cluster.Endpoint]int{}
	for {
		at := s.now() + time.Duration(s.r.Rand.ExpFloat64()*float64(every))
		for s.next(min(at, until)) {
		}
		if s.now() >= until {
			return s.counts
		}
		s.send()
	}
}

// closed keeps so many requests under way until a time, and answers how many each endpoint got meanwhile.
func (s *sim) closed(until time.Duration, clients int) map[*cluster.Endpoint]int {
	s.counts = map[*cluster.Endpoint]int{}
	for len(s.under) < clients {
		s.send()
	}
	for s.next(until) {
		s.send()
	}
	return s.counts
}

// always answers a takes function that knows one time for all.
func always(d time.Duration) func(*cluster.Endpoint, time.Duration) time.Duration {
	return func(*cluster.Endpoint, time.Duration) time.Duration { return d }
}

// near fails the test unless a count of n independent draws with probability p is within five standard deviations, which one in
// two million is not.
func near(t *testing.T, what string, got, n int, p float64) {
	t.Helper()
	bound := 5*math.Sqrt(float64(n)*p*(1-p)) + 1
	if d := float64(got) - float64(n)*p; math.Abs(d) > bound {
		t.Errorf("%s: %d of %d, want %.0f ± %.0f", what, got, n, float64(n)*p, bound)
	}
}

func total(counts map[*cluster.Endpoint]int) (n int) {
	for _, c := range counts {
		n += c
	}
	return n
}

func share(counts map[*cluster.Endpoint]int, e *cluster.Endpoint) float64 {
	return float64(counts[e]) / float64(max(total(counts), 1))
}

// mustNew makes a picker over endpoints and fails the test where that does not go.
func mustNew(t testing.TB, o Options, set *cluster.EndpointSet) Picker {
	t.Helper()
	p, err := New(o, set)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
