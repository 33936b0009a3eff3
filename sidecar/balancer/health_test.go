package balancer

import (
	"fmt"
	"testing"

	"github.com/sluice-mesh/sluice/sidecar/cluster"
)

// suspects makes the first k of n endpoints suspect.
func suspects(n, k int) []*cluster.Endpoint {
	es := endpoints(n)
	for _, e := range es[:k] {
		e.Load[0].SuspectUntil = 1 << 60
	}
	return es
}

func TestPanicThreshold(t *testing.T) {
	for _, c := range []struct {
		name       string
		n, suspect int
		threshold  float64
		want       float64 // share of picks that go to suspects
	}{
		{"one of two", 2, 1, 0.5, 0},
		{"three of four: a small set prefers health", 4, 3, 0.5, 0},
		{"seven of eight: a small set prefers health", 8, 7, 0.5, 0},
		{"half of twenty is not below a half", 20, 10, 0.5, 0},
		{"three quarters of twenty: half of the picks", 20, 15, 0.5, 0.5},
		{"nine tenths of a hundred: four fifths", 100, 90, 0.5, 0.8},
		{"always ignored", 100, 30, 1, 0.3},
		{"nine tenths, never to be ignored", 100, 90, 0, 0},
		{"three quarters, and a quarter is enough", 100, 75, 0.25, 0},
		{"all of two", 2, 2, 0.5, 1},
		{"all of a hundred", 100, 100, 0.5, 1},
		{"all of a hundred, never to be ignored", 100, 100, 0, 1},
	} {
		for _, policy := range spreading {
			t.Run(c.name+"/"+policy, func(t *testing.T) {
				es := suspects(c.n, c.suspect)
				const picks, seed = 20_000, 2
				r := request(0, seed)
				counts := count(mustNew(t, Options{Policy: policy, PanicThreshold: c.threshold}, &cluster.EndpointSet{Endpoints: es}), r, es, picks)
				bad := 0
				for _, n := range counts[:c.suspect] {
					bad += n
				}
				if share := float64(bad) / picks; policy != Random && c.want > 0 && c.want < 1 {
					// Choices between a suspect and another are no longer even: the less used one wins. And round robin's turns.
					if share < c.want-0.01 || share > c.want*1.3 {
						t.Errorf("seed %d: %.3f of the picks go to suspects, want %.3f or a little more", seed, share, c.want)
					}
				} else {
					near(t, fmt.Sprintf("seed %d, to suspects", seed), bad, picks, c.want)
				}
			})
		}
	}
}

// No endpoint in good health gets more than 1/threshold times its even share, and nothing jumps at the threshold.
func TestPanicProtectsThoseThatAreLeft(t *testing.T) {
	const n, picks, threshold = 60, 20_000, 0.5
	for suspect := 1; suspect < n; suspect++ {
		es := suspects(n, suspect)
		p := mustNew(t, Options{Policy: Random, PanicThreshold: threshold}, &cluster.EndpointSet{Endpoints: es})
		share := float64(n-suspect) / n
		near(t, fmt.Sprintf("seed 1, %d of %d suspect, to the others", suspect, n),
			sum(count(p, request(0, 1), es, picks)[suspect:]), picks, min(1, share/threshold))
	}
}

// Counting is rare, yet what it says is at most a moment old.
func TestTheCountIsRenewed(t *testing.T) {
	const n = 1000
	es := suspects(n, n)
	r := request(0, 1)
	p := mustNew(t, Options{PanicThreshold: 0.5}, &cluster.EndpointSet{Endpoints: es})
	p.Pick(r)
	for _, e := range es[:n/2] {
		e.Load[0].SuspectUntil = 0
	}
	r.Now += n * countEvery
	if c := count(p, r, es, 1000); sum(c[n/2:]) != 0 {
		t.Errorf("%d of 1000 go to suspects, though half of the others are well again", sum(c[n/2:]))
	}
}

func sum(ns []int) (s int) {
	for _, n := range ns {
		s += n
	}
	return s
}

// In a set that is not small a suspect that is drawn is told by what was counted. Those who stand in are drawn as evenly, wherever the suspects
// are; one that has become suspect since the count is passed over all the same, and one that is well again comes back with the next count.
func TestWhoStandsInForSuspectsIsDrawnEvenly(t *testing.T) {
	const n, picks = 200, 40_000
	for name, suspect := range map[string]func(i int) bool{
		"every third":    func(i int) bool { return i%3 == 1 },
		"the first half": func(i int) bool { return i < n/2 },
		"all but a few":  func(i int) bool { return i%20 != 7 },
	} {
		for _, policy := range spreading {
			for _, weights := range []Weights{"", "*0=3,*=1"} {
				t.Run(fmt.Sprintf("%s/%s/%s", name, policy, weights), func(t *testing.T) {
					es := named(n)
					due, total := make([]float64, n), 0.0
					for i, e := range es {
						if suspect(i) {
							e.Load[0].SuspectUntil = 1 << 60
							continue
						}
						due[i] = float64(weights.Of(&cluster.EndpointSet{Endpoints: es}, i))
						total += due[i]
					}
					p, r := mustNew(t, Options{Policy: policy, Weights: weights}, &cluster.EndpointSet{Endpoints: es}), request(0, 5)
					p.Pick(r) // counts
					for i, c := range count(p, r, es, picks) {
						if due[i] > 0 && (policy == RoundRobin || policy == ShortestExpectedDelay && weights != "") {
							continue // those behind a suspect have its turns; the heavier get more than their due
						}
						if want := picks * due[i] / total; due[i] == 0 && c > 0 || float64(c) < want*0.6 || float64(c) > want*1.4+1 {
							t.Fatalf("endpoint %d got %d of %d, want about %.0f", i, c, picks, want)
						}
					}

					fallen := 0
					for suspect(fallen) {
						fallen++
					}
					es[fallen].Load[0].SuspectUntil = 1 << 60
					if c := count(p, r, es, 1000); c[fallen] != 0 {
						t.Errorf("endpoint %d has become suspect, and got %d", fallen, c[fallen])
					}
					es[fallen].Load[0].SuspectUntil = 0
					r.Now += n * countEvery
					if c := count(p, r, es, picks); c[fallen] == 0 {
						t.Errorf("endpoint %d is well again, and got nothing", fallen)
					}
				})
			}
		}
	}
}
