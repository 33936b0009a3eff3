package shard

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/cluster"
)

// Sidecars that came to the same endpoints on different ways, some with every event and some with a few at a time, agree with
// each other and with one that has just started: on each key's owner and on the whole order behind it.
func TestSidecarsAgreeWhateverTheOrderOfEvents(t *testing.T) {
	r := seedOf(t)
	for _, text := range hashedSpecs {
		t.Run(text, func(t *testing.T) {
			spec := mustSpec(t, text)
			spec.Hold = 0
			for range 6 {
				universe := append(pods(20), replicas(20)...)
				for i, e := range universe {
					universe[i] = pod(e.Name, 1+i) // addresses of their own
				}
				final := shuffled(r, universe)[:1+r.IntN(len(universe))]
				want := New(spec, Input{Set: setOf(final...)})
				for range 3 {
					got := wander(r, spec, universe, final)
					same(t, got, want)
				}
			}
		})
	}
}

// wander makes a map by random changes that end with the endpoints of final.
func wander(r *rand.Rand, spec Spec, universe, final []*cluster.Endpoint) *Map {
	m := New(spec, Input{Set: setOf(shuffled(r, universe)[:r.IntN(len(universe))]...)})
	for range r.IntN(12) {
		now := slices.Clone(m.in.Set.Endpoints)
		for range 1 + r.IntN(3) {
			e := universe[r.IntN(len(universe))]
			if i := slices.Index(now, e); i >= 0 {
				now = slices.Delete(now, i, i+1)
			} else {
				now = append(now, e)
			}
		}
		if r.IntN(4) == 0 && len(now) > 0 { // a pod that restarted elsewhere in between
			i := r.IntN(len(now))
			now[i] = pod(now[i].Name, 1000+r.IntN(1000))
		}
		m = m.Next(Input{Set: setOf(now...)})
	}
	return m.Next(Input{Set: setOf(final...)})
}

// same fails unless two maps answer alike.
func same(t *testing.T, got, want *Map) {
	t.Helper()
	if g, w := got.Fingerprint(), want.Fingerprint(); g != w {
		t.Fatalf("fingerprints %x and %x", g, w)
	}
	for i := range 200 {
		k := sampleKey(want, i)
		g, w := got.Successors(nil, k, 100), want.Successors(nil, k, 100)
		if len(g) != len(w) {
			t.Fatalf("key %s: %d and %d members in its order", k.Text, len(g), len(w))
		}
		for j := range g {
			if g[j].Member.ID != w[j].Member.ID || g[j].Endpoint != w[j].Endpoint || g[j].Why != w[j].Why {
				t.Fatalf("key %s, place %d of its order: %s and %s", k.Text, j, g[j].Member.Name, w[j].Member.Name)
			}
		}
		if g, w := got.Owner(k), want.Owner(k); g.Endpoint != w.Endpoint || g.Why != w.Why {
			t.Fatalf("key %s: owners %+v and %+v", k.Text, g, w)
		}
	}
}

// The order names every member once.
func TestTheOrderOfSuccessorsHasEveryMemberOnce(t *testing.T) {
	for _, text := range append([]string{"ordinal"}, hashedSpecs...) {
		m := New(mustSpec(t, text), Input{Set: setOf(replicas(30)...), StatefulSet: &StatefulSet{Name: "web", Replicas: 33}})
		for i := range 50 {
			order := m.Successors(nil, sampleKey(m, i), 100)
			seen := map[string]bool{}
			for _, o := range order {
				seen[o.Member.ID] = true
			}
			if len(order) != 33 || len(seen) != 33 {
				t.Fatalf("%s: %d members in the order, %d of them distinct; want 33", text, len(order), len(seen))
			}
		}
	}
}

// To go along the order is to ask who is next, again and again, from wherever one begins.
func TestAWalkIsTheOrder(t *testing.T) {
	for _, text := range append([]string{"ordinal"}, hashedSpecs...) {
		m := New(mustSpec(t, text), Input{Set: setOf(replicas(30)...), StatefulSet: &StatefulSet{Name: "web", Replicas: 33}})
		for i := range 50 {
			k := sampleKey(m, i)
			begin := m.After(k, nil)
			for range i % 4 {
				begin = m.After(k, begin.Member)
			}
			w, want := m.From(k, begin), begin
			for step := 0; want.Member != nil; step++ {
				want = m.After(k, want.Member)
				if got := w.Next(); got != want {
					t.Fatalf("%s, key %d: step %d leads to %+v, want %+v", text, i, step, got, want)
				}
			}
			if got := w.Next(); got.Member != nil {
				t.Fatalf("%s, key %d: somebody comes after the last", text, i)
			}
		}
	}
}

// When an owner leaves, its keys go where the order said, and no other key moves.
func TestALeaverMovesOnlyItsKeysToTheirSuccessors(t *testing.T) {
	for _, text := range []string{"rendezvous", "s2", "rendezvous,slots=1024"} {
		spec := mustSpec(t, text)
		all := pods(30)
		before := New(spec, Input{Set: setOf(all...)})
		for leaver := range all {
			after := before.Next(Input{Set: setOf(slices.Delete(slices.Clone(all), leaver, leaver+1)...)})
			for i := range 2000 {
				k := sampleKey(before, i)
				was, is := before.Successors(nil, k, 2), after.Owner(k)
				want := was[0]
				if want.Endpoint == all[leaver] {
					want = was[1]
				}
				if is.Endpoint != want.Endpoint {
					t.Fatalf("%s: %s left: key %s went from %s to %s, want %s", text, all[leaver].Name, k.Text,
						was[0].Member.Name, is.Member.Name, want.Member.Name)
				}
			}
		}
	}
}

// The ring, too, while the number of points of each stays: 1,024 points are 35 for each of 30, and 36 for each of 29.
func TestALeaverOfARingMovesOnlyItsKeysWhileThePointsStay(t *testing.T) {
	all := pods(1100) // one point each, before and after
	before := New(mustSpec(t, "ring"), Input{Set: setOf(all...)})
	after := before.Next(Input{Set: setOf(all[1:]...)})
	for i := range 5000 {
		k := sampleKey(before, i)
		was := before.Successors(nil, k, 2)
		want := was[0]
		if want.Endpoint == all[0] {
			want = was[1]
		}
		if is := after.Owner(k); is.Endpoint != want.Endpoint {
			t.Fatalf("key %s went from %s to %s, want %s", k.Text, was[0].Member.Name, is.Member.Name, want.Member.Name)
		}
	}
}

// A pod that comes back under its name has its keys again, wherever it is now; a Deployment's pod at an old address has not.
func TestIdentityIsTheNameOrTheUIDNeverTheAddress(t *testing.T) {
	spec := mustSpec(t, "rendezvous")
	before := New(spec, Input{Set: setOf(replicas(5)...)})
	moved := replicas(5)
	for i := range moved {
		moved[i] = pod(moved[i].Name, 100+(i*7)%5)
	}
	if after := New(spec, Input{Set: setOf(moved...)}); !slices.Equal(owners(before, 1000), owners(after, 1000)) {
		t.Error("owners changed with the addresses")
	}

	e := pod("web-7d4b9c-abcde", 9)
	again := pod("web-7d4b9c-abcde", 9)
	again.UID = "another"
	a, b := newIdentity(e), newIdentity(again)
	if a == b {
		t.Errorf("two pods with different UIDs are both %s", a)
	}
}

func newIdentity(e *cluster.Endpoint) string { id, _ := identify(e); return id }

func TestIdentities(t *testing.T) {
	for _, c := range []struct {
		what, name, uid, hostname string
		id                        string
		ordinal                   int
	}{
		{"a StatefulSet's pod is its name", "web-3", "u", "", "web-3", 3},
		{"also with dots and hyphens in it", "my-web.x-12", "u", "", "my-web.x-12", 12},
		{"a leading zero is no ordinal", "web-03", "u", "", "u", -1},
		{"a Deployment's pod is its UID", "web-7d4b9c-x8k2p", "u", "", "u", -1},
		{"even if its five characters are digits", "web-7d4b9c-24567", "u", "", "u", -1},
		{"but a StatefulSet may be large where a hostname shows it", "web-24567", "u", "web-24567", "web-24567", 24567},
		{"a name without UID is the identity", "solo", "", "", "solo", -1},
		{"a name of digits alone has no base", "-3", "u", "", "u", -1},
		{"an address where the slice names nobody", "10.0.0.1:80", "", "", "10.0.0.1:80", -1},
	} {
		id, ordinal := identify(&cluster.Endpoint{Name: c.name, UID: c.uid, Hostname: c.hostname})
		if id != c.id || ordinal != c.ordinal {
			t.Errorf("%s: %q is %q and %d, want %q and %d", c.what, c.name, id, ordinal, c.id, c.ordinal)
		}
	}
}

// Of a pod with two addresses the lower counts, whichever came first.
func TestAPodWithTwoAddressesIsOneMember(t *testing.T) {
	spec := mustSpec(t, "rendezvous")
	low, high, other := pod("web-0", 1), pod("web-0", 2), pod("web-1", 3)
	want := New(spec, Input{Set: setOf(low, other)})
	m := New(spec, Input{Set: setOf(high, other)})
	m = m.Next(Input{Set: setOf(low, high, other)})
	same(t, m, want)
	m = m.Next(Input{Set: setOf(low, other)})
	same(t, m, want)
	m = m.Next(Input{Set: setOf(low, high, other)}).Next(Input{Set: setOf(high, other)})
	same(t, m, New(spec, Input{Set: setOf(high, other)}))
}

func TestARollingUpdateMovesNoKeyWhileItHolds(t *testing.T) {
	spec := mustSpec(t, "rendezvous,hold=30s")
	all := replicas(5)
	now := time.Unix(1000, 0)
	m := New(spec, Input{Set: setOf(all...), Now: now})
	want := owners(m, 1000)

	without := slices.Delete(slices.Clone(all), 4, 5)
	m = m.Next(Input{Set: setOf(without...), Now: now.Add(time.Second)})
	if !slices.Equal(owners(m, 1000), want) {
		t.Error("keys moved when web-4 went away to restart")
	}
	if got, want := m.HoldUntil(), now.Add(31*time.Second); !got.Equal(want) {
		t.Errorf("held until %v, want %v", got, want)
	}
	down := 0
	for i := range 1000 {
		if o := m.Owner(sampleKey(m, i)); o.Why == Down {
			down++
			if o.Endpoint != nil || o.Member.Name != "web-4" {
				t.Fatalf("down: %+v", o)
			}
		}
	}
	if down == 0 {
		t.Error("nobody's owner is down while web-4 is away")
	}

	back := append(slices.Clone(without), pod("web-4", 77))
	held := m
	m = m.Next(Input{Set: setOf(back...), Now: now.Add(20 * time.Second)})
	if !slices.Equal(owners(m, 1000), want) || !m.HoldUntil().IsZero() {
		t.Error("keys moved, or the hold goes on, when web-4 came back elsewhere")
	}

	m = held.Next(Input{Set: setOf(without...), Now: now.Add(31 * time.Second)})
	same(t, m, New(spec, Input{Set: setOf(without...)}))

	// A Deployment's pod is not held: it never comes back.
	gone := New(spec, Input{Set: setOf(pods(3)...), Now: now}).Next(Input{Set: setOf(pods(3)[:2]...), Now: now})
	if n, _ := gone.Members(); n != 2 {
		t.Errorf("%d members after a Deployment's pod went, want 2", n)
	}
}

func TestTheStatefulSetSaysWhoIsAMember(t *testing.T) {
	spec := mustSpec(t, "rendezvous,statefulset=web")
	five := &StatefulSet{Name: "web", Replicas: 5}
	all := replicas(6)
	m := New(spec, Input{Set: setOf(all[:3]...), StatefulSet: five})
	if n, up := m.Members(); n != 5 || up != 3 {
		t.Fatalf("%d members, %d up; want 5 and 3", n, up)
	}
	want := owners(m, 1000)
	for _, ready := range [][]*cluster.Endpoint{all, all[2:4], nil, all[:5]} {
		m = m.Next(Input{Set: setOf(ready...), StatefulSet: &StatefulSet{Name: "web", Replicas: 5}})
		if !slices.Equal(owners(m, 1000), want) {
			t.Fatalf("owners changed when %d were ready", len(ready))
		}
	}
	m = m.Next(Input{Set: setOf(all...), StatefulSet: &StatefulSet{Name: "web", Replicas: 6}})
	same(t, m, New(spec, Input{Set: setOf(all...), StatefulSet: &StatefulSet{Name: "web", Replicas: 6}}))
	m = m.Next(Input{Set: setOf(all...), StatefulSet: five})
	if !slices.Equal(owners(m, 1000), want) {
		t.Error("owners are not what they were before the StatefulSet grew and shrank")
	}
	if o := New(spec, Input{Set: setOf(all...)}).Owner(keyOf("x")); o.Why != NoStatefulSet || o.Member != nil {
		t.Errorf("without its StatefulSet: %+v", o)
	}
}

func TestMoreMembersThanFit(t *testing.T) {
	spec := mustSpec(t, "ring")
	all := make([]*cluster.Endpoint, maxMembers+1)
	for i := range all {
		all[i] = pod(fmt.Sprintf("p%d", i), i)
	}
	m := New(spec, Input{Set: setOf(all...)})
	if o := m.Owner(keyOf("x")); o.Why != TooMany || o.Member != nil {
		t.Errorf("%d endpoints: %+v", len(all), o)
	}
	m = m.Next(Input{Set: setOf(all[1:]...)})
	if o := m.Owner(keyOf("x")); o.Why != Owned {
		t.Errorf("%d endpoints: %+v", len(all)-1, o)
	}
}
