package balancer

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/sluice-mesh/sluice/sidecar/cluster"
)

func TestARoundGivesEachEndpointItsWeight(t *testing.T) {
	rnd := rand.New(rand.NewPCG(8, 9))
	for round := range 200 {
		weights := make([]uint32, 1+rnd.IntN(30))
		for i := range weights {
			weights[i] = 1 + uint32(rnd.IntN(20))
		}
		o, es := byWeight(RoundRobin, weights)
		p := mustNew(t, o, &cluster.EndpointSet{Endpoints: es})
		r := request(0, uint64(round))
		divisor, total := uint64(0), 0
		for _, w := range weights {
			divisor = gcd(uint64(w), divisor)
			total += int(w)
		}
		if allSame(weights) {
			divisor = uint64(weights[0])
		}
		// From anywhere, one whole round, and at no time far off.
		count(p, r, es, rnd.IntN(total))
		so := make([]int, len(es))
		n := total / int(divisor)
		for k := 1; k <= n; k++ {
			for i, c := range count(p, r, es, 1) {
				so[i] += c
			}
			for i := range so {
				due := float64(k) * float64(weights[i]) / float64(total)
				// An interval's visits by a golden stride are off by little; random ones would be off by √k.
				if d := math.Abs(float64(so[i]) - due); d > 3.5 {
					t.Fatalf("round %d, weights %v: endpoint %d had %d of the first %d turns, want %.1f", round, weights, i, so[i], k, due)
				}
			}
		}
		for i := range so {
			if so[i] != int(weights[i])/int(divisor) {
				t.Fatalf("round %d, weights %v: turns in a round: %v", round, weights, so)
			}
		}
	}
}

func TestStridesComeToEveryPlace(t *testing.T) {
	for circle := uint64(1); circle < 3000; circle++ {
		s := strideOf(circle)
		if gcd(s, circle) != 1 && circle > 1 || s >= circle && circle > 1 || math.Abs(float64(s)-0.618*float64(circle)) > 17 {
			t.Errorf("circle %d: stride %d", circle, s)
		}
	}
}

// With weights and a set that is published again before each pick, shares are right all the same.
func TestSwappingAWeightedSetKeepsTheShares(t *testing.T) {
	for _, policy := range []string{RoundRobin, LeastRequest, Random} {
		o, es := byWeight(policy, []uint32{5, 3, 2})
		r := request(0, 7)
		so := make([]int, len(es))
		const n = 20_000
		for range n {
			for i, c := range count(mustNew(t, o, &cluster.EndpointSet{Endpoints: es}), r, es, 1) {
				so[i] += c
			}
		}
		for i, p := range []float64{0.5, 0.3, 0.2} {
			near(t, policy+", seed 7, endpoint "+es[i].Name, so[i], n, p)
		}
	}
}

// Those who stand in for a suspect share its turns.
func TestASuspectsTurnsAreShared(t *testing.T) {
	for _, policy := range spreading {
		for _, n := range []int{5, 40} {
			es := endpoints(n)
			r := request(0, 4)
			es[2].Load[0].SuspectUntil = r.Now + 1
			const each = 1000
			counts := count(newPicker(t, policy, es), r, es, each*(n-1))
			for i, c := range counts {
				if want := float64(each); i != 2 && math.Abs(float64(c)-want) > 6*math.Sqrt(want) || i == 2 && c > 0 {
					t.Errorf("%s over %d, seed 4: endpoint %d got %d, want %d", policy, n, i, c, each)
				}
			}
		}
	}
}
