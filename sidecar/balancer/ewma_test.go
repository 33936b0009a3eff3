package balancer

import (
	"math"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/cluster"
)

func TestLatencyJumpsUpAndComesDownSlowly(t *testing.T) {
	const ms = float64(time.Millisecond)
	second := int64(time.Second)
	var l cluster.Load
	near := func(what string, got, want float64) {
		t.Helper()
		if math.Abs(got-want) > want*1e-6 {
			t.Errorf("%s: %.6f ms, want %.6f", what, got/ms, want/ms)
		}
	}
	Observe(&l, int64(5*ms), 1)
	near("the first answer", l.Latency, 5*ms)
	Observe(&l, int64(100*ms), 1+second)
	near("a slower one counts at once", l.Latency, 100*ms)
	near("it fades to 1/e in ten seconds without any", latency(&l, 1+11*second), 100*ms/math.E)
	near("just after, it is nearly all there", latency(&l, 1+second+second/20), 100*ms*math.Exp(-0.005))
	Observe(&l, int64(5*ms), 1+11*second)
	near("a faster one counts as far as it has faded", l.Latency, 5*ms+95*ms/math.E)

	// As of a busy endpoint: 1,000 fast answers a second for ten seconds.
	l = cluster.Load{}
	Observe(&l, int64(100*ms), 1)
	for i := range int64(10_000) {
		Observe(&l, int64(5*ms), 1+(i+1)*second/1000)
	}
	near("the same however many fast answers come", l.Latency, 5*ms+95*ms/math.E)
}

func TestAnEndpointThatOwesAnAnswerIsAsSlowAsItLetsWait(t *testing.T) {
	second := int64(time.Second)
	es := endpoints(1)
	l := &es[0].Load[0]
	p := newPicker(t, PeakEWMA, es)
	r := request(0, 1)
	r.Now = second
	Observe(l, int64(time.Millisecond), r.Now)
	p.Pick(r)
	l.InFlight++
	if l.AskedAt != second {
		t.Fatalf("asked at %d, want %d", l.AskedAt, second)
	}
	r.Now += second / 2
	p.Pick(r)
	l.InFlight++
	if got := latency(l, r.Now+second/2); got != float64(second) {
		t.Errorf("after a second without an answer: %v", time.Duration(got))
	}
	l.InFlight--
	Observe(l, int64(time.Millisecond), r.Now)
	if got := latency(l, r.Now+10); got > float64(2*time.Millisecond) {
		t.Errorf("after an answer: %v", time.Duration(got))
	}
	l.InFlight--
	p.Pick(r) // and nobody counts it as in flight: its connect failed
	if got := latency(l, r.Now+second); got > float64(time.Millisecond) {
		t.Errorf("nothing in flight: %v", time.Duration(got))
	}
}

func TestGivingUpNeverMakesAnEndpointFaster(t *testing.T) {
	second := int64(time.Second)
	for _, c := range []struct {
		name         string
		known, waits time.Duration
		want         time.Duration
	}{
		{"of an unknown one that fails fast nothing is known", 0, time.Millisecond, 0},
		{"an unknown one that kept somebody waiting is slow", 0, time.Second, time.Second},
		{"a known one that fails fast is no faster", 50 * time.Millisecond, time.Millisecond, 50 * time.Millisecond},
		{"a known one that kept somebody waiting is slower", 50 * time.Millisecond, time.Second, time.Second},
	} {
		var l cluster.Load
		if c.known != 0 {
			Observe(&l, int64(c.known), second)
		}
		l.AskedAt = second
		GaveUp(&l, int64(c.waits), second)
		if got := time.Duration(l.Latency); got != c.want || (l.LatencyAt == 0) != (c.want == 0) || l.AskedAt != 0 {
			t.Errorf("%s: %v as of %d, asked at %d, want %v", c.name, got, l.LatencyAt, l.AskedAt, c.want)
		}
	}
}

// turnsSlow is three pods that take 5 ms, the first of which takes a second from the tenth second on.
func turnsSlow(t *testing.T, policy string, seed uint64) (*sim, *cluster.Endpoint) {
	es := endpoints(3)
	s := newSim(t, newPicker(t, policy, es), seed)
	s.takes = func(e *cluster.Endpoint, now time.Duration) time.Duration {
		if e == es[0] && now >= 10*time.Second {
			return time.Second
		}
		return 5 * time.Millisecond
	}
	return s, es[0]
}

// The pod's first slow answer comes a second after it turned slow. Long before, it has to have lost its load.
func TestPeakEWMALeavesAPodThatTurnsSlow(t *testing.T) {
	const second = time.Second
	for seed := range uint64(20) {
		s, slow := turnsSlow(t, PeakEWMA, seed)
		s.open(9*second, second/1000)
		if got := share(s.open(10*second, second/1000), slow); got < 0.2 || got > 0.5 {
			t.Errorf("seed %d: %.3f of the requests while all are equally fast, want about a third", seed, got)
		}
		first := s.open(10*second+second/10, second/1000)
		if got := share(first, slow); got > 0.1 {
			t.Errorf("seed %d: %.3f of the requests in the first 100 ms", seed, got)
		}
		if got := share(s.open(11*second, second/1000), slow); got > 0.01 {
			t.Errorf("seed %d: %.4f of the requests in the rest of the first second", seed, got)
		}
		if got := share(s.open(40*second, second/1000), slow); got > 0.001 {
			t.Errorf("seed %d: %.5f of the requests in the next half minute", seed, got)
		}
	}
}

// 50 clients that wait for their answers, as ab does: with least-request half of them sit on the slow one of two pods.
func TestPeakEWMAKeepsWaitingClientsOffASlowPod(t *testing.T) {
	const second = time.Second
	for _, c := range []struct {
		policy string
		most   int64 // in flight to the slow pod, a second after it turned
	}{{LeastRequest, 26}, {PeakEWMA, 2}} {
		for seed := range uint64(5) {
			es := endpoints(2)
			s := newSim(t, newPicker(t, c.policy, es), seed)
			s.takes = func(e *cluster.Endpoint, now time.Duration) time.Duration {
				if e == es[0] && now >= 2*second {
					return second
				}
				return 5 * time.Millisecond
			}
			s.closed(2*second, 50)
			s.closed(2*second+second/2, 50)
			half := es[0].Load[0].InFlight
			s.closed(4*second, 50)
			after := es[0].Load[0].InFlight
			if after > c.most || c.policy == LeastRequest && after < 24 {
				t.Errorf("%s, seed %d: %d of 50 wait for the slow pod after two seconds, want at most %d", c.policy, seed, after, c.most)
			}
			t.Logf("%s, seed %d: %d in flight to the slow pod after half a second, %d after two", c.policy, seed, half, after)
		}
	}
}

func TestPeakEWMAComesBackToAPodThatIsFastAgain(t *testing.T) {
	const second = time.Second
	s, slow := turnsSlow(t, PeakEWMA, 3)
	s.open(12*second, second/1000)
	s.takes = always(5 * time.Millisecond)
	s.open(100*second, second/1000)
	if got := share(s.open(130*second, second/1000), slow); got < 0.2 {
		t.Errorf("%.3f of the requests, want about a third", got)
	}
}

// Others take a second for each request; with a fixed guess of 30 ms a new endpoint would get 33 requests at once.
func TestPeakEWMADoesNotFloodANewEndpoint(t *testing.T) {
	for seed := range uint64(20) {
		old := endpoints(3)
		s := newSim(t, newPicker(t, PeakEWMA, old), seed)
		s.takes = always(time.Second)
		s.open(20*time.Second, 20*time.Millisecond)
		es := endpoints(4)
		copy(es, old)
		p := newPicker(t, PeakEWMA, es)
		others := int64(0) // most in flight to any other so far
		s.pick = func(r *Request) *cluster.Endpoint {
			for _, e := range old {
				others = max(others, e.Load[0].InFlight)
			}
			return p.Pick(r)
		}
		s.open(20*time.Second+900*time.Millisecond, 20*time.Millisecond)
		if n := es[3].Load[0].InFlight; n > others+1 {
			t.Errorf("seed %d: %d in flight to the new one before its first answer, never more than %d to another", seed, n, others)
		}
	}
}

func TestForgottenIsAnExponential(t *testing.T) {
	for age := int64(0); age < int64(20*time.Minute); age += 1 + age/7 {
		got, want := forgotten(age), math.Exp(-float64(age)/float64(decay))
		if math.Abs(got-want) > want*2e-7 {
			t.Errorf("after %v: %v, want %v", time.Duration(age), got, want)
		}
	}
	if got := forgotten(math.MaxInt64); got != 0 {
		t.Errorf("after centuries: %v", got)
	}
	if got := forgotten(-1000); got < 1 || got > 1.001 {
		t.Errorf("of an answer that another clock reading puts in the future: %v", got)
	}
}
