package shard

import (
	"fmt"
	"testing"
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
