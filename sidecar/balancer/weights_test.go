package balancer

import (
	"fmt"
	"math/rand/v2"
	"path"
	"strings"
	"testing"
	"unique"

	"github.com/sluice-mesh/sluice/sidecar/cluster"
)

func TestWeightsByName(t *testing.T) {
	for _, c := range []struct {
		list, name string
		want       uint32
	}{
		{"web-0=3", "web-0", 3},
		{"web-0=3", "web-00", 1},
		{"web-0=3", "web-1", 1},
		{"canary-*=1,web-*=9", "web-6d4cf-x2x", 9},
		{"canary-*=1 web-*=9", "canary-6d4cf-x2x", 1},
		{"web-0=5\n*=2\n", "web-1", 2},
		{"web-0=5,web-*=2", "web-0", 5},
		{"web-*=2,web-0=5", "web-0", 2},
		{"*-canary-*=0,*=10", "shop-canary-x", 0},
		{"*=1000", "anything", 1000},
		{"10.1.0.7:8080=4", "10.1.0.7:8080", 4},
		{"pods", "web-0", 1},
		{"pods=3", "pods", 3},
		{"web-*=5\npods\n", "web-1", 5},
		{"web-*=5,pods", "canary-1", 1},
		{"web-*=5,pods", "pods", 1},
	} {
		w, err := ParseWeights(c.list)
		if err != nil {
			t.Errorf("%q: %v", c.list, err)
		} else if got := weightOf(w, c.name); got != c.want {
			t.Errorf("%q: %q has %d, want %d", c.list, c.name, got, c.want)
		}
	}
	if got := weightOf("", "web-0"); got != 1 {
		t.Errorf("no weights: %d", got)
	}
}

// weightOf answers the weight of the endpoint of that name in a set without weights.
func weightOf(w Weights, name string) uint32 {
	return w.Of(&cluster.EndpointSet{Endpoints: []*cluster.Endpoint{{Name: name}}}, 0)
}

func TestWeightsThatPodsHaveThemselves(t *testing.T) {
	for list, want := range map[Weights]bool{"": false, "pods": true, "web-0=1,pods": true, "pods=1": false, "*pods=1": false} {
		if got := list.EachPod(); got != want {
			t.Errorf("%q: %v", list, got)
		}
	}
}

// Weights of the set are shares, and go behind those that the Service gives by name.
func TestWeightsOfTheSet(t *testing.T) {
	const picks, seed = 20_000, 3
	for _, policy := range []string{LeastRequest, PeakEWMA, Random, RoundRobin} {
		for _, c := range []struct {
			weights Weights
			set     []uint32
			want    []float64
		}{
			{"", []uint32{1, 3}, []float64{0.25, 0.75}},
			{"", []uint32{7, 7}, []float64{0.5, 0.5}},
			{"", []uint32{1, 0}, []float64{1, 0}},
			{"pods", []uint32{4, 1}, []float64{0.8, 0.2}},
			{"pods", nil, []float64{0.5, 0.5}},
			{"w-0=9,pods", []uint32{4, 1}, []float64{0.9, 0.1}},
			{"w-0=0,pods", []uint32{4, 1}, []float64{0, 1}},
			{"w-1=3", []uint32{0, 1}, []float64{0, 1}},
			{"w-*=1", []uint32{4, 0}, []float64{0.5, 0.5}},
		} {
			es := endpoints(len(c.want))
			for i := range es {
				es[i].Name = fmt.Sprintf("w-%d", i)
			}
			set := &cluster.EndpointSet{Endpoints: es, Weights: c.set}
			p := mustNew(t, Options{Policy: policy, Weights: c.weights}, set)
			for i, n := range count(p, request(0, seed), es, picks) {
				near(t, fmt.Sprintf("%s, seed %d, %q and %v, endpoint %d", policy, seed, c.weights, c.set, i), n, picks, c.want[i])
			}
		}
	}
	for _, policy := range []string{SourceHash, DestinationHash} {
		es := endpoints(2)
		p := mustNew(t, Options{Policy: policy}, &cluster.EndpointSet{Endpoints: es, Weights: []uint32{0, 5}})
		if n := count(p, request(0, seed), es, 100); n[0] != 0 {
			t.Errorf("%s: %v, want all at the one that is not of weight 0", policy, n)
		}
	}
}

// Weights of the set stay with their endpoints where hints part them.
func TestWeightsOfTheSetWithHints(t *testing.T) {
	es := endpoints(4)
	var hints []unique.Handle[cluster.Hints]
	for _, zone := range []string{"b", "a", "a", "b"} {
		hints = append(hints, unique.Make(cluster.Hints{Zones: zone}))
	}
	p := mustNew(t, Options{Policy: RoundRobin, Zone: "a"}, &cluster.EndpointSet{Endpoints: es, Hints: hints, Weights: []uint32{9, 1, 4, 2}})
	n := count(p, request(0, 1), es, 1000)
	if n[0] != 0 || n[1] != 200 || n[2] != 800 || n[3] != 0 {
		t.Errorf("%v, want 200 and 800 at the two that are near", n)
	}
}

func TestErrorsOfWeightsTeach(t *testing.T) {
	for _, c := range []struct{ list, want string }{
		{"", `"" has no entry: want POD-NAME-PATTERN=WEIGHT`},
		{" , ", `has no entry`},
		{"web-0", `"web-0" has no weight: want POD-NAME-PATTERN=WEIGHT, e.g. canary-*=1, or the word pods`},
		{"pod", `"pod" has no weight: want POD-NAME-PATTERN=WEIGHT, e.g. canary-*=1, or the word pods`},
		{"pods,web-0=5", `"web-0=5" never counts: "pods" before it matches every pod already, and the first match wins`},
		{"*=5,pods", `"pods" never counts: "*=5" before it matches every pod already`},
		{"pods,pods", `"pods" never counts: "pods" before it`},
		{"web-0=1,=5", `"=5" has no pattern`},
		{"Web-0=5", `pattern "Web-0" can match no pod: names have a-z, 0-9, - and . in them`},
		{"web-?=5", `"web-?=5": pattern "web-?" can match no pod`},
		{"web-0=-1", `"web-0=-1": weight "-1" is not a whole number from 0 to 1000`},
		{"web-0=", `weight "" is not a whole number`},
		{"web-0=1.5", `weight "1.5" is not a whole number`},
		{"web-0=1001", `weight "1001" is not a whole number from 0 to 1000`},
		{"web-0=10%", `weight "10%" is not a whole number`},
		{"web-0=01", `weight "01" is not a whole number`},
		{"web-0=1=2", `weight "1=2" is not`},
		{"*=1,web-0=5", `"web-0=5" never counts: "*=1" before it matches every pod already, and the first match wins`},
	} {
		if w, err := ParseWeights(c.list); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %q, %v; want an error with %q", c.list, w, err, c.want)
		}
	}
}

// FuzzParseWeights: what is accepted reads the same again, and patterns match as path.Match would have it.
func FuzzParseWeights(f *testing.F) {
	f.Add("canary-*=1,web-*=9", "web-0")
	f.Add("*a*b*=0\n*=7", "aab")
	f.Add("**=3", "")
	f.Add("x=1,[::1]:80=4", "[::1]:80")
	f.Add("x=1 pods", "pods")
	f.Fuzz(func(t *testing.T, list, name string) {
		w, err := ParseWeights(list)
		if err != nil {
			return
		}
		if again, err := ParseWeights(string(w)); err != nil || again != w {
			t.Fatalf("%q, read again: %q, %v", w, again, err)
		}
		if strings.ContainsAny(name, "/") || strings.ContainsAny(list, "[") {
			return // they mean something to path.Match
		}
		want := uint32(1)
		for entry := range strings.SplitSeq(string(w), ",") {
			pattern, weight, is := strings.Cut(entry, "=")
			if ok, _ := path.Match(pattern, name); ok && is {
				fmt.Sscan(weight, &want)
				break
			}
		}
		if got := weightOf(w, name); got != want {
			t.Fatalf("%q of %q: %d, want %d", w, name, got, want)
		}
	})
}

// The columns lay out each weight to within rounding, whatever the weights.
func TestColumnsHaveTheRightSums(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	for round := range 300 {
		n := 1 + rnd.IntN(50)
		weights := make([]uint32, n)
		total := 0.0
		for i := range weights {
			weights[i] = 1 + uint32(rnd.IntN([]int{1, 3, maxWeight}[round%3]))
			total += float64(weights[i])
		}
		got := make([]float64, n)
		columns := newColumns(weights)
		for i, c := range columns {
			part := float64(c.until) / (1 << 32)
			got[i] += part / float64(n)
			got[c.other] += (1 - part) / float64(n)
		}
		for i := range got {
			if want := float64(weights[i]) / total; got[i] < want-1e-9 || got[i] > want+1e-9 {
				t.Fatalf("round %d, weights %v: %d is drawn %.12f of the time, want %.12f", round, weights, i, got[i], want)
			}
		}
	}
}

// byWeight names n endpoints w-0 and up and answers options that give endpoint i weight weights[i].
func byWeight(policy string, weights []uint32) (Options, []*cluster.Endpoint) {
	es := endpoints(len(weights))
	var list []string
	for i, w := range weights {
		es[i].Name = fmt.Sprintf("w-%d", i)
		list = append(list, fmt.Sprintf("w-%d=%d", i, w))
	}
	w, err := ParseWeights(strings.Join(list, ","))
	if err != nil {
		panic(err)
	}
	return Options{Policy: policy, Weights: w}, es
}

// Sequential traffic: nothing is ever in flight, so the shares are the weights.
func TestWeightsAreSharesOfSequentialTraffic(t *testing.T) {
	const picks = 50_000
	many := make([]uint32, 40)
	for i := range many {
		many[i] = uint32(1 + i%4)
	}
	for _, policy := range []string{LeastRequest, NeverQueue, PeakEWMA, Random, RoundRobin} {
		for _, weights := range [][]uint32{{1, 1}, {3, 1}, {1, 100}, {5, 3, 2}, {1, 2, 3, 4, 5, 6, 7, 8}, many} {
			total := uint32(0)
			for _, w := range weights {
				total += w
			}
			o, es := byWeight(policy, weights)
			const seed = 7
			for i, c := range count(mustNew(t, o, &cluster.EndpointSet{Endpoints: es}), request(0, seed), es, picks) {
				p := float64(weights[i]) / float64(total)
				near(t, fmt.Sprintf("%s, seed %d, weights %v, endpoint %d", policy, seed, weights, i), c, picks, p)
			}
		}
	}
}

// Busy traffic: what is in flight is shared by weight.
func TestWeightsAreSharesOfBusyTraffic(t *testing.T) {
	for _, policy := range []string{LeastRequest, PeakEWMA, NeverQueue, ShortestExpectedDelay} {
		for seed := range uint64(3) {
			o, es := byWeight(policy, []uint32{6, 3, 1})
			s := newSim(t, mustNew(t, o, &cluster.EndpointSet{Endpoints: es}), seed)
			s.takes = always(10e6)
			counts := s.closed(3e9, 100)
			for i, p := range []float64{0.6, 0.3, 0.1} {
				if got := share(counts, es[i]); got < p*0.93 || got > p*1.07 {
					t.Errorf("%s, seed %d: endpoint %d got %.3f, want %.3f", policy, seed, i, got, p)
				}
			}
		}
	}
}

// What IPVS's sed is: with 3:1 and nothing in flight the heavier one, until it has so much that the lighter one is as good.
func TestShortestExpectedDelay(t *testing.T) {
	for _, c := range []struct {
		heavy, light int64 // in flight
		want         int
	}{{0, 0, 0}, {1, 0, 0}, {3, 0, 1}, {3, 1, 0}, {6, 1, 1}} {
		o, es := byWeight(ShortestExpectedDelay, []uint32{3, 1})
		es[0].Load[0].InFlight, es[1].Load[0].InFlight = c.heavy, c.light
		p := mustNew(t, o, &cluster.EndpointSet{Endpoints: es})
		for seed := range uint64(20) {
			if e := p.Pick(request(0, seed)); e != es[c.want] {
				t.Errorf("%d and %d in flight, seed %d: picked %v", c.heavy, c.light, seed, e.Name)
			}
		}
	}
}

// What IPVS's nq is: an idle one, however light, before the heavier one has two.
func TestNeverQueue(t *testing.T) {
	o, es := byWeight(NeverQueue, []uint32{100, 1})
	es[0].Load[0].InFlight = 1
	p := mustNew(t, o, &cluster.EndpointSet{Endpoints: es})
	for seed := range uint64(20) {
		if e := p.Pick(request(0, seed)); e != es[1] {
			t.Errorf("seed %d: picked %v", seed, e.Name)
		}
	}
	es[1].Load[0].InFlight = 1
	if e := p.Pick(request(0, 1)); e != es[0] {
		t.Errorf("both busy: picked %v", e.Name)
	}
}

func TestWeightZeroIsForWhenThereIsNothingElse(t *testing.T) {
	for _, policy := range Policies() {
		o, es := byWeight(policy, []uint32{0, 1, 4})
		p := mustNew(t, o, &cluster.EndpointSet{Endpoints: es})
		r := request(0, 5)
		if c := count(p, r, es, 1000); c[0] != 0 {
			t.Errorf("%s: %v", policy, c)
		}
		r.Tried = es[1:]
		if e := p.Pick(r); e != es[0] {
			t.Errorf("%s, the others were tried: %v", policy, e)
		}
		r.Tried = nil
		es[1].Load[0].SuspectUntil = r.Now + 1
		es[2].Load[0].SuspectUntil = r.Now + 1
		if c := count(p, r, es, 100); c[0] != 100 {
			t.Errorf("%s, the others are suspect: %v", policy, c)
		}
		es[0].Load[0].SuspectUntil = r.Now + 1
		if c := count(p, r, es, 100); c[0] != 0 {
			t.Errorf("%s, all are suspect: %v", policy, c)
		}
		r.Tried = es
		if e := p.Pick(r); e != nil {
			t.Errorf("%s, all were tried: %v", policy, e)
		}

		o, es = byWeight(policy, []uint32{0, 0})
		r = request(0, 5)
		if e := mustNew(t, o, &cluster.EndpointSet{Endpoints: es}).Pick(r); e == nil {
			t.Errorf("%s: none of two that both have weight 0", policy)
		}
	}
}

// Weight 0 is for those who are to have nothing: not because the others have no room at the moment, either.
func TestNoSpareForWantOfRoom(t *testing.T) {
	es := named(3)
	p, r := mustNew(t, Options{Weights: "web-2=0,*=1"}, &cluster.EndpointSet{Endpoints: es}), request(0, 1)
	r.Tried = es[:2]
	if got := p.Pick(r); got != es[2] {
		t.Errorf("the others were tried: %v, want the one of weight 0", got)
	}
	r.NoSpare = true
	if got := p.Pick(r); got != nil {
		t.Errorf("the others have no room: %s, want nobody", got.Name)
	}
	r.Tried = nil
	if got := p.Pick(r); got == nil || got == es[2] {
		t.Errorf("%v, want one with a weight", got)
	}
}
