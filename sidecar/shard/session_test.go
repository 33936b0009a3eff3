package shard

import (
	"net/netip"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/cluster"
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

// withSessions answers a spec of rendezvous with the index of sessions.
func withSessions(t testing.TB) Spec {
	spec := mustSpec(t, "rendezvous,slots=1024")
	spec.Sessions = true
	return spec
}

// The index of sessions answers what a look at every member does, after each of some changes.
func TestSessionsByIndexAndWithout(t *testing.T) {
	r := seedOf(t)
	universe := append(pods(300), replicas(100)...)
	for i, e := range universe {
		e.Addr = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), 80)
	}
	var texts [][]byte
	for _, e := range universe {
		id, n := identify(e)
		texts = append(texts, newMember(id, e.Name, n).Session(nil))
	}
	began := time.Unix(1000, 0)
	by, without := New(withSessions(t), Input{Set: setOf(), Now: began}), New(mustSpec(t, "rendezvous,slots=1024"), Input{Set: setOf(), Now: began})
	for step := range 30 {
		now := shuffled(r, universe)[:r.IntN(len(universe)+1)]
		if step%3 == 1 {
			now = now[:min(len(now), 3)]
		}
		in := Input{Set: setOf(now...), Now: began.Add(time.Duration(step) * 10 * time.Second)}
		by, without = by.Next(in), without.Next(in)
		for i, text := range texts {
			a, b := by.Resume(text), without.Resume(text)
			if a.Endpoint != b.Endpoint || a.Why != b.Why || (a.Member == nil) != (b.Member == nil) || a.Member != nil && a.Member.ID != b.Member.ID {
				t.Fatalf("step %d, %s: %+v by the index and %+v without", step, universe[i].Name, a, b)
			}
			m, want := by.MemberAt(universe[i]), a.Member
			if a.Endpoint == nil {
				want = nil
			}
			if m != want {
				t.Fatalf("step %d: at %s is %+v, want %+v", step, universe[i].Name, m, want)
			}
		}
	}
}

// Of members whose identities have one hash, the one with the lowest identity has the session, in every sidecar.
func TestSessionsOfOneHash(t *testing.T) {
	const hash = 1<<64 - 1 // so that the search goes on at the table's beginning
	m := &Map{}
	for _, id := range []string{"c", "a", "b", "d"} {
		m.members, m.hashes = append(m.members, &Member{ID: id, hash: hash}), append(m.hashes, hash)
	}
	m.members[3], m.hashes[0] = nil, 7
	m.members[0].hash = 7
	m.at = []*cluster.Endpoint{pod("c", 1), pod("a", 2), pod("b", 3), nil}
	text := m.members[1].Session(nil)
	for range 2 {
		if o := m.Resume(text); o.Member != m.members[1] {
			t.Errorf("the session is %+v", o.Member)
		}
		m.byHash = m.indexed()
	}
}

func TestSessionsTakeNoLongerWithMorePods(t *testing.T) {
	took := func(n int) time.Duration {
		m := New(withSessions(t), Input{Set: setOf(pods(n)...)})
		ends := []*cluster.Endpoint{m.in.Set.Endpoints[0], m.in.Set.Endpoints[n-1]}
		texts := [][]byte{m.MemberAt(ends[0]).Session(nil), m.MemberAt(ends[1]).Session(nil)}
		least := time.Hour
		for range 10 {
			began := time.Now()
			for i := range 200 {
				if m.Resume(texts[i%2]).Endpoint != ends[i%2] || m.MemberAt(ends[i%2]) == nil {
					t.Fatal("the session leads elsewhere")
				}
			}
			least = min(least, time.Since(began))
		}
		return least
	}
	if few, many := took(10), took(10_000); many > 12*few {
		t.Errorf("%v with 10 pods, %v with 10,000", few, many)
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
