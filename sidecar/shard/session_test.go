package shard

import "testing"

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
