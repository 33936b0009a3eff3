package shard

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/cluster"
)

func TestBoundedLoads(t *testing.T) {
	spec := mustSpec(t, "rendezvous")
	spec.Bound = 1.25
	all := replicas(10)
	m := New(spec, Input{Set: setOf(all...)})

	// All requests have one key; none ends. The bound holds after each, and they go along the key's order.
	k, total := keyOf("hot"), int64(0)
	order := m.Successors(nil, k, 10)
	for range 1000 {
		limit := m.MostInFlight(0, 0)
		for _, o := range order {
			if load := &o.Endpoint.Load[0]; load.InFlight < limit {
				load.InFlight++
				total++
				break
			}
		}
		most := int64(1.25*float64(total)/10) + 1
		for _, e := range all {
			if e.Load[0].InFlight > most {
				t.Fatalf("%s has %d of %d, above %d", e.Name, e.Load[0].InFlight, total, most)
			}
		}
	}
	for i, o := range order[:8] {
		if n := o.Endpoint.Load[0].InFlight; n != 125 {
			t.Errorf("number %d of the order has %d in flight, want 125", i+1, n)
		}
	}

	for name, c := range map[string]struct {
		inFlight []int64
		suspect  []int64 // until when
		want     int64
	}{
		"nothing under way":                {inFlight: []int64{0, 0, 0}, want: 1},
		"one of three":                     {inFlight: []int64{1, 0, 0}, want: 1},
		"three of two":                     {inFlight: []int64{3, 0}, want: 3},
		"three of one, the other suspect":  {inFlight: []int64{3, 0}, suspect: []int64{0, 11}, want: 5},
		"what runs at a suspect":           {inFlight: []int64{3, 50}, suspect: []int64{0, 11}, want: 5},
		"suspect until just now":           {inFlight: []int64{3, 0}, suspect: []int64{0, 10}, want: 3},
		"all suspect":                      {inFlight: []int64{3, 5}, suspect: []int64{11, 11}, want: 2},
		"a single one":                     {inFlight: []int64{7}, want: 10},
		"three, and others that are down":  {inFlight: []int64{2, 2, 2}, want: 3},
		"nobody has more than all of them": {inFlight: []int64{100, 100}, want: 126},
	} {
		some := replicas(len(c.inFlight))
		for i, n := range c.inFlight {
			some[i].Load[0].InFlight = n
			if c.suspect != nil {
				some[i].Load[0].SuspectUntil = c.suspect[i]
			}
		}
		m := New(spec, Input{Set: setOf(some...), StatefulSet: &StatefulSet{Name: "web", Replicas: 10}})
		if got := m.MostInFlight(0, 10); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
	if got := New(mustSpec(t, "rendezvous"), Input{Set: setOf(all...)}).MostInFlight(0, 0); got != 0 {
		t.Errorf("%d without a bound, want none", got)
	}
}

// inFlight is a Service under load on one loop, and what the error of MostInFlight follows from, since the rule says that it counted last.
type inFlight struct {
	m       *Map
	eps     []*cluster.Endpoint
	running []int // attempts by their member
	now, at int64
	counted bool

	w, picks                              int
	begun, ended, otherwise, gotWell, ill float64
}

const ill = math.MaxInt64

func (f *inFlight) well(i int) bool { return f.eps[i].Load[0].SuspectUntil <= f.now }

// exact is the number before it is rounded up.
func (f *inFlight) exact() float64 {
	running, well := int64(1), 0
	for i, e := range f.eps {
		if f.well(i) {
			running += e.Load[0].InFlight
			well++
		}
	}
	return f.m.spec.Bound * float64(running) / float64(max(well, 1))
}

// ask asks, and notes whether that is due to count.
func (f *inFlight) ask() int64 {
	if !f.counted || f.picks >= max(1, f.w/16) || f.now-f.at >= int64(10*time.Millisecond) {
		*f = inFlight{m: f.m, eps: f.eps, running: f.running, now: f.now, at: f.now, counted: true}
		for i := range f.eps {
			if f.well(i) {
				f.w++
			}
		}
	}
	got := f.m.MostInFlight(0, f.now)
	f.picks++
	return got
}

func (f *inFlight) begin(i int, by *float64) {
	f.eps[i].Load[0].InFlight++
	f.running = append(f.running, i)
	if f.well(i) {
		*by++
	}
}

func (f *inFlight) end(n int) {
	i := f.running[n]
	f.eps[i].Load[0].InFlight--
	f.running = slices.Delete(f.running, n, n+1)
	if f.well(i) {
		f.ended++
	}
}

func (f *inFlight) turn(i int) {
	load := &f.eps[i].Load[0]
	if f.well(i) {
		load.SuspectUntil = ill
		f.ended += float64(load.InFlight)
		f.ill++
	} else {
		load.SuspectUntil = 0
		f.otherwise += float64(load.InFlight)
		f.gotWell++
	}
}

// What it answers keeps to the error that it states, in whatever order attempts begin and end and members fall ill; and so there is somebody
// below it.
func TestMostInFlightKeepsToItsError(t *testing.T) {
	r := seedOf(t)
	for _, n := range []int{3, 64, 65, 100, 400, 2000} {
		for _, bound := range []float64{1.05, 1.25, 2, 10} {
			spec := mustSpec(t, "rendezvous,slots=1024")
			spec.Bound = bound
			f := &inFlight{eps: replicas(n), now: 5}
			f.m = New(spec, Input{Set: setOf(f.eps...)})
			sick, others := r.IntN(3)*r.IntN(20), r.IntN(2)*20 // of 1,000 steps
			for step := range 10 * (n + 200) {
				switch k := r.IntN(1000); {
				case k < sick:
					f.turn(r.IntN(n))
				case k < sick+others:
					f.begin(r.IntN(n), &f.otherwise)
				case k < 200:
					f.now += r.Int64N(int64(2 * time.Millisecond))
				case k < 450 && len(f.running) > 0 || len(f.running) > 3*n:
					f.end(r.IntN(len(f.running)))
				case k < 480: // a pick that begins nothing
					f.ask()
				default:
					f.pick(t, r.IntN(n), n <= 64)
				}
				if t.Failed() {
					t.Fatalf("%d members, bound %v, step %d", n, bound, step)
				}
			}
		}
	}
}

// pick goes along an order that begins with member i, as a request does that has a key.
func (f *inFlight) pick(t *testing.T, i int, exactly bool) {
	if f.well(i) && f.eps[i].Load[0].InFlight == 0 {
		f.m.Begin(0)
		f.picks++
		f.begin(i, &f.begun)
		return
	}
	exact, got := f.exact(), f.ask()
	const nearly = 1e-9
	w, c := float64(max(f.w, 1)), f.m.spec.Bound
	lowest := exact - c*f.otherwise/w - exact*f.ill/w
	nothing := float64(f.picks-1) - f.begun // of those before this one
	if nothing > w/16 {
		t.Errorf("%v picks that began nothing, of %v members", nothing, w)
	}
	highest := exact + c*(nothing+f.ended)/w + exact*f.gotWell/w
	if exactly {
		lowest, highest = exact, exact
	}
	if g := float64(got); g < math.Ceil(lowest-nearly) || g > math.Ceil(highest+nearly) || got < 1 {
		t.Errorf("%d, want from %v to %v; exact is %v", got, lowest, highest, exact)
	}
	first, anyone := -1, false
	for range f.eps {
		if i = (i + 1) % len(f.eps); !f.well(i) {
			continue
		}
		if anyone = true; f.eps[i].Load[0].InFlight < got {
			f.begin(i, &f.begun)
			return
		}
		if first < 0 {
			first = i
		}
	}
	if anyone && (exactly || f.otherwise == 0 && f.ill == 0) {
		t.Errorf("nobody has fewer than %d, exactly %v", got, exact)
	}
	if first >= 0 {
		f.begin(first, &f.begun)
	}
}

// boundOf2 makes a map of 160 members, whose count holds for 10 picks, with 79 attempts in flight on the first of two loops: with one more
// its mean is 1/2 and the bound 1, and with two more the bound is 2.
func boundOf2(t *testing.T) (*Map, []*cluster.Endpoint) {
	spec, eps := mustSpec(t, "rendezvous,slots=1024"), replicas(160)
	for i, e := range eps {
		e.Load = make([]cluster.Load, 2)
		if i < 79 {
			e.Load[0].InFlight = 1
		}
	}
	spec.Bound = 2
	return New(spec, Input{Set: setOf(eps...)}), eps
}

func TestACountHoldsForAWhile(t *testing.T) {
	const ms = int64(time.Millisecond)
	m, eps := boundOf2(t)
	want := func(why string, loop int, now, want int64) {
		t.Helper()
		if got := m.MostInFlight(loop, now); got != want {
			t.Fatalf("%s: %d, want %d", why, got, want)
		}
	}
	want("the first", 0, 7*ms, 1)
	want("a pick is one that runs", 0, 7*ms, 2)
	want("another loop has its own", 1, 7*ms, 1)
	eps[100].Load[0].InFlight = 1000
	for range 8 {
		want("ten picks are one count", 0, 17*ms-1, 2)
	}
	want("the eleventh counts", 0, 17*ms-1, 14)
	eps[100].Load[0].InFlight = 0
	want("for 10 ms", 0, 27*ms-2, 14)
	want("and no longer", 0, 27*ms-1, 1)
	eps[100].Load[0].InFlight = 1000
	m = m.Next(Input{Set: setOf(eps[:159]...)})
	want("a new map counts", 0, 27*ms-1, 14)

	m, _ = boundOf2(t)
	m.Begin(0) // before there is a count, which will have it
	want("the first", 0, 0, 1)
	m.Begin(0)
	want("and two picks more", 0, 0, 2)
	for range 20 {
		m.Begin(0)
	}
	want("no more than ten are taken for attempts", 0, 0, 1)
}

// What a pick costs that asks for the bound, once more than its owner has something under way.
func BenchmarkMostInFlight(b *testing.B) {
	for _, n := range []int{3, 100, 1000, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			spec := mustSpec(b, "rendezvous")
			spec.Bound = 1.25
			m := New(spec, Input{Set: setOf(replicas(n)...)})
			for b.Loop() {
				m.MostInFlight(0, 0)
			}
		})
	}
}
