package shard

import (
	"fmt"
	"testing"
)

func TestSessionsAreFollowedInEverySidecar(t *testing.T) {
	spec := mustSpec(t, "rendezvous")
	all := pods(10)
	here, there := New(spec, Input{Set: setOf(all...)}), New(spec, Input{Set: setOf(all[:5]...)}).Next(Input{Set: setOf(all...)})
	for i := range 50 {
		o := here.Owner(sampleKey(here, i))
		text := o.Member.Session(nil)
		if got := there.Resume(text); got.Endpoint != o.Endpoint || got.Why != Owned {
			t.Errorf("session %s of %s leads to %+v", text, o.Member.Name, got.Member)
		}
	}
	text := here.Owner(sampleKey(here, 0)).Member.Session(nil)
	if len(text) != sessionBytes {
		t.Errorf("session %s has %d bytes", text, len(text))
	}

	gone := here.Owner(sampleKey(here, 0)).Endpoint
	for i, e := range all {
		if e == gone {
			all = append(all[:i:i], all[i+1:]...)
			break
		}
	}
	if o := here.Next(Input{Set: setOf(all...)}).Resume(text); o.Member != nil || o.Why != NoEntry {
		t.Errorf("the session of a pod that is gone leads to %+v", o)
	}
}

func TestSessionsThatAreNotOurs(t *testing.T) {
	m := New(mustSpec(t, "rendezvous"), Input{Set: setOf(pods(10)...)})
	good := string(m.Owner(keyOf("x")).Member.Session(nil))
	for what, text := range map[string]string{
		"nothing": "", "another version": "2" + good[1:], "too short": good[:11], "too long": good + "A",
		"no base64url": "1!!!!!!!!!!!", "line ends, which base64 decoders skip": good[:10] + "\r\n", "an address": "10.0.0.1:80",
		"nobody's": "1AAAAAAAAAAA", "bits that count for nothing": good[:11] + "_",
	} {
		if o := m.Resume([]byte(text)); o.Member != nil || o.Why != NoEntry {
			t.Errorf("%s: %q leads to %+v", what, text, o)
		}
	}
}

func TestBoundedLoads(t *testing.T) {
	spec := mustSpec(t, "rendezvous")
	spec.Bound = 1.25
	all := replicas(10)
	m := New(spec, Input{Set: setOf(all...)})

	// All requests have one key; none ends. The bound holds after each, and they go along the key's order.
	k, total := keyOf("hot"), int64(0)
	order := m.Successors(nil, k, 10)
	for range 1000 {
		o := m.Bounded(k, 0, total)
		o.Endpoint.Load[0].InFlight++
		total++
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

	// Without load the owner is who it would be.
	for _, e := range all {
		e.Load[0].InFlight = 0
	}
	for i := range 100 {
		k := keyOf(fmt.Sprint(i))
		if got, want := m.Bounded(k, 0, 0), m.Owner(k); got != want {
			t.Fatalf("key %d: %+v, want the owner %+v", i, got, want)
		}
	}

	// Those who are down are passed over, and a total that is behind the times ends at the owner.
	down := New(spec, Input{Set: setOf(all[:3]...), StatefulSet: &StatefulSet{Name: "web", Replicas: 10}})
	for i := range 100 {
		if o := down.Bounded(keyOf(fmt.Sprint(i)), 0, 0); o.Endpoint == nil {
			t.Fatalf("key %d: %+v", i, o)
		}
	}
	for _, e := range all {
		e.Load[0].InFlight = 100
	}
	if got, want := m.Bounded(k, 0, 0), m.Owner(k); got != want {
		t.Errorf("all busy: %+v, want %+v", got, want)
	}
}

func TestExplain(t *testing.T) {
	set := setOf(replicas(5)...)
	set.Generation = 42
	web := &StatefulSet{Name: "web", Replicas: 6, Start: 0}
	m := New(mustSpec(t, "ordinal"), Input{Set: set, StatefulSet: web})
	e := m.Explain(keyOf("11"), 3)
	if e.Map != "ordinal" || e.Place != "ordinal 5 of 6 from 0 on, by integer" || e.Why != Down || len(e.Order) != 3 ||
		e.Order[0].Member.Name != "web-5" || e.Generation != 42 || e.Members != 6 || e.Ups != 5 || e.Hash != keyOf("11").Hash {
		t.Errorf("%+v", e)
	}
	for spec, key := range map[string]string{
		"rendezvous": "a", "maglev": "a", "ring": "a", "s2": "1,2", "ordinal": "a", "ordinal,by=hash": "1",
	} {
		m := New(mustSpec(t, spec), Input{Set: set, StatefulSet: web})
		if e := m.Explain(keyOf(key), 1); e.Place == "" || len(e.Order) != 1 || e.Order[0] != m.Owner(keyOf(key)) {
			t.Errorf("%s: %+v", spec, e)
		}
	}
	if e := New(mustSpec(t, "ring"), Input{Set: setOf()}).Explain(keyOf("a"), 3); e.Why != NoMembers || e.Place != "" || len(e.Order) != 0 {
		t.Errorf("nobody: %+v", e)
	}
}
