package balancer

import (
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/cluster"
)

func TestTheRampIsLinearWithAFloor(t *testing.T) {
	const second = int64(time.Second)
	es := endpoints(3)
	es[1].Since, es[2].Since = 100*second, 105*second
	p := newRamp(es, 10*time.Second)
	for _, c := range []struct {
		at   int64
		runs bool
		want [3]float64
	}{
		{100 * second, true, [3]float64{1, 0.1, 0.1}},
		{101 * second, true, [3]float64{1, 0.1, 0.1}},
		{105 * second, true, [3]float64{1, 0.5, 0.1}},
		{110 * second, true, [3]float64{1, 1, 0.5}},
		{115 * second, false, [3]float64{1, 1, 1}},
	} {
		if got := p.runs(c.at); got != c.runs {
			t.Errorf("runs at %d s: %v", c.at/second, got)
		}
		for i, e := range es {
			if got := p.factor(i, e, c.at); got != c.want[i] {
				t.Errorf("endpoint %d at %d s: %v, want %v", i, c.at/second, got, c.want[i])
			}
		}
	}
}

func TestWhoComesTogetherStartsTogether(t *testing.T) {
	es := endpoints(2)
	es[0].Since, es[1].Since = 7, 7
	if p := newRamp(es, time.Minute); p.runs(8) {
		t.Error("two of the same age: a slow start")
	}
	es[1].Since += int64(time.Second)
	if p := newRamp(es, time.Minute); p.factor(1, es[1], int64(2*time.Second)) != 1 {
		t.Error("two that are both at the floor: one gets less")
	}
}

// slowStart is a set of old endpoints that one joins at a minute, over a slow start of ten seconds.
func slowStart(t *testing.T, policy string, old int, seed uint64) (*sim, *cluster.Endpoint) {
	es := endpoints(old + 1)
	es[old].Since = int64(time.Minute)
	s := newSim(t, mustNew(t, Options{Policy: policy, SlowStart: 10 * time.Second}, &cluster.EndpointSet{Endpoints: es}), seed)
	s.takes = always(5 * time.Millisecond)
	s.r.Now = int64(time.Minute)
	return s, es[old]
}

// Light traffic: nothing is in flight as a rule. Then the share is due/(old+due), due being the ramp's mean over the second.
func TestSlowStartUnderLightTraffic(t *testing.T) {
	for _, policy := range []string{LeastRequest, PeakEWMA, Random, RoundRobin} {
		for _, old := range []int{1, 3, 20} {
			const seed = 3
			s, e := slowStart(t, policy, old, seed)
			for second := range 12 {
				// Uneven peak-ewma chooses by latency, which is the same for all here.
				counts := s.open(s.now()+time.Second, time.Second/500)
				due := min(1, max(rampFloor, float64(second)/10+0.05))
				want := due / (float64(old) + due)
				if got, n := counts[e], total(counts); policy == PeakEWMA {
					if share := float64(got) / float64(n); share > want*1.5+0.02 {
						t.Errorf("%s, %d old ones, second %d: share %.3f, want at most about %.3f", policy, old, second, share, want)
					}
				} else if old == 20 || policy == Random || policy == RoundRobin {
					near(t, policy, got, n, want)
				} else if share := float64(got) / float64(n); share < want*0.6-0.02 || share > want*1.4+0.02 {
					// Few endpoints and two choices: what is in flight has its say.
					t.Errorf("%s, %d old ones, second %d: share %.3f, want about %.3f", policy, old, second, share, want)
				}
			}
		}
	}
}

// Busy traffic: without a slow start a new endpoint is filled up at once, as it has the fewest requests in flight.
func TestSlowStartUnderBusyTraffic(t *testing.T) {
	for _, policy := range []string{LeastRequest, PeakEWMA, NeverQueue, ShortestExpectedDelay} {
		for seed := range uint64(1) {
			s, e := slowStart(t, policy, 4, seed)
			for second := range 12 {
				counts := s.closed(s.now()+time.Second, 50)
				due := min(1, max(rampFloor, float64(second)/10+0.05))
				want := due / (4 + due)
				if got := share(counts, e); got < want*0.6-0.01 || got > want*1.4+0.01 {
					t.Errorf("%s, seed %d, second %d: share %.3f, want about %.3f", policy, seed, second, got, want)
				}
			}
		}
	}
}

// 97 join three: most draws meet one that is to be passed over.
func TestSlowStartOfMostOfTheSet(t *testing.T) {
	for _, policy := range []string{LeastRequest, Random, RoundRobin} {
		es := endpoints(100)
		for _, e := range es[3:] {
			e.Since = 1000
		}
		p := mustNew(t, Options{Policy: policy, SlowStart: time.Minute}, &cluster.EndpointSet{Endpoints: es})
		const n, seed = 20_000, 6
		counts := count(p, request(0, seed), es, n)
		for i := range 3 {
			// Each of the old is due 10 times what a new one is; one pick in eighty finds no old one in its draws.
			near(t, policy+", seed 6", counts[i], n, 1/(3+9.7))
		}
	}
}
