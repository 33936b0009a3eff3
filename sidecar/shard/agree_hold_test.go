package shard

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/cluster"
	"github.com/sluice-mesh/sluice/sidecar/shardkey"
)

// event is a pod that goes, or comes at an address, as seen at a time.
type event struct {
	at   time.Duration
	name string
	to   *cluster.Endpoint // nil when it goes
}

// watcher is a sidecar: what it is yet to see, and its map.
type watcher struct {
	events []event
	there  map[string]*cluster.Endpoint
	m      *Map
}

// watchers makes n sidecars that know of the pods and see the events, each one by itself and at most skew after it happened, so that those of
// different pods come in different orders. Those of one pod do not: it is in one object, which is watched.
func watchers(r *rand.Rand, n int, spec Spec, all []*cluster.Endpoint, events []event, skew time.Duration) (ws []*watcher) {
	for range n {
		w := &watcher{there: map[string]*cluster.Endpoint{}}
		for _, e := range all {
			w.there[e.Name] = e
		}
		last := map[string]time.Duration{}
		for _, e := range events {
			e.at += time.Duration(r.Int64N(int64(skew)))
			e.at = max(e.at, last[e.name]+1)
			last[e.name] = e.at
			w.events = append(w.events, e)
		}
		slices.SortStableFunc(w.events, func(a, b event) int { return cmp.Compare(a.at, b.at) })
		w.m = New(spec, Input{Set: setOf(all...), Now: epoch})
		ws = append(ws, w)
	}
	return ws
}

// epoch is when these tests' time begins.
var epoch = time.Unix(1000, 0)

// next answers when something happens to the sidecar; ok is false when nothing does any more.
func (w *watcher) next() (at time.Duration, ok bool) {
	if len(w.events) > 0 {
		at, ok = w.events[0].at, true
	}
	if until := w.m.HoldUntil(); !until.IsZero() && (!ok || until.Sub(epoch) < at) {
		at, ok = until.Sub(epoch), true
	}
	return at, ok
}

// step does what happens at a time.
func (w *watcher) step(now time.Duration) {
	for len(w.events) > 0 && w.events[0].at <= now {
		e := w.events[0]
		w.events = w.events[1:]
		if delete(w.there, e.name); e.to != nil {
			w.there[e.name] = e.to
		}
	}
	var set []*cluster.Endpoint
	for _, e := range w.there {
		set = append(set, e)
	}
	w.m = w.m.Next(Input{Set: setOf(set...), Now: epoch.Add(now)})
}

// watch goes through all that happens, and looks after each time.
func watch(ws []*watcher, look func(now time.Duration)) {
	for {
		now, any := time.Duration(0), false
		for _, w := range ws {
			if at, ok := w.next(); ok && (!any || at < now) {
				now, any = at, true
			}
		}
		if !any {
			return
		}
		for _, w := range ws {
			if at, ok := w.next(); ok && at <= now {
				w.step(now)
			}
		}
		look(now)
	}
}

// names answers the names of those who may own keys.
func (m *Map) names() map[string]bool {
	names := map[string]bool{}
	for _, member := range m.members {
		if member != nil {
			names[member.Name] = true
		}
	}
	return names
}

// Throughout a rolling update whose pods are each back, as every sidecar sees it, within the hold, all sidecars name the owners from before for every key.
func TestSidecarsAgreeThroughoutARollingUpdate(t *testing.T) {
	const (
		hold = 30 * time.Second
		skew = 10 * time.Second
	)
	r := seedOf(t)
	for _, text := range hashedSpecs {
		t.Run(text, func(t *testing.T) {
			spec := mustSpec(t, text)
			spec.Hold = hold
			all := replicas(12)
			var events []event
			final := slices.Clone(all)
			at := time.Duration(0)
			for i := len(all) - 1; i >= 0; i-- {
				at += time.Duration(r.Int64N(int64(hold)))
				final[i] = pod(all[i].Name, 100+i)
				away := time.Duration(r.Int64N(int64(hold - skew)))
				events = append(events, event{at, all[i].Name, nil}, event{at + away, all[i].Name, final[i]})
			}
			ws := watchers(r, 3, spec, all, events, skew)
			want := owners(ws[0].m, 200)
			down := false
			watch(ws, func(now time.Duration) {
				for i, w := range ws {
					if _, up := w.m.Members(); up < len(all) {
						down = true
					}
					if got := owners(w.m, 200); !slices.Equal(got, want) {
						t.Fatalf("%v: sidecar %d names other owners than before the update", now, i)
					}
				}
			})
			if !down {
				t.Error("no pod was ever away")
			}
			for _, w := range ws {
				same(t, w.m, New(spec, Input{Set: setOf(final...)}))
			}
		})
	}
}

// Whatever else happens, two sidecars that see each event, within skew of each other, disagree about who is a member only for skew after a
// pod has come, after the hold of one with a name has ended, and after one without has gone. While their members are the same so are the
// owners of all keys. Once the last hold is over nothing is left of the way.
func TestSidecarsThatHoldAgreeButForHowMuchLaterOneSees(t *testing.T) {
	const (
		hold = 30 * time.Second
		skew = 10 * time.Second
	)
	r := seedOf(t)
	differed, alike := 0, 0
	for _, text := range hashedSpecs {
		t.Run(text, func(t *testing.T) {
			spec := mustSpec(t, text)
			spec.Hold = hold
			for range 3 {
				universe := append(replicas(10), pods(5)...)
				for i, e := range universe {
					universe[i] = pod(e.Name, 1+i) // addresses of their own
				}
				all := universe[3:13]
				there := map[string]*cluster.Endpoint{}
				for _, e := range all {
					there[e.Name] = e
				}
				var events []event
				may := map[string][]time.Duration{} // by pod, from when on sidecars may disagree about it for skew
				for at, k := time.Duration(0), 0; k < 40; k++ {
					at += time.Duration(r.Int64N(int64(hold) / 3))
					e := universe[r.IntN(len(universe))]
					switch _, ordinal := split(e.Name); {
					case there[e.Name] == nil:
						there[e.Name] = pod(e.Name, 100+k)
						may[e.Name] = append(may[e.Name], at)
					case ordinal < 0:
						delete(there, e.Name)
						may[e.Name] = append(may[e.Name], at)
					default:
						delete(there, e.Name)
						may[e.Name] = append(may[e.Name], at+hold)
					}
					events = append(events, event{at, e.Name, there[e.Name]})
				}
				ws := watchers(r, 3, spec, all, events, skew)
				watch(ws, func(now time.Duration) {
					first := ws[0].m.names()
					for i, w := range ws[1:] {
						names, equal := w.m.names(), true
						for _, e := range universe {
							if names[e.Name] == first[e.Name] {
								continue
							}
							equal = false
							if !slices.ContainsFunc(may[e.Name], func(from time.Duration) bool { return now >= from && now <= from+skew }) {
								t.Fatalf("%v: sidecars 0 and %d disagree about %s, which may be so for %v from %v on", now, i+1, e.Name, skew, may[e.Name])
							}
						}
						if !equal {
							differed++
						} else if alike++; !slices.Equal(owners(w.m, 100), owners(ws[0].m, 100)) {
							t.Fatalf("%v: sidecars 0 and %d have the same members, and different owners", now, i+1)
						}
					}
				})
				var final []*cluster.Endpoint
				for _, e := range there {
					final = append(final, e)
				}
				for _, w := range ws {
					same(t, w.m, New(spec, Input{Set: setOf(final...)}))
				}
			}
		})
	}
	if differed == 0 || alike == 0 {
		t.Errorf("members were looked at %d times while they differed and %d times while not, want both", differed, alike)
	}
}

// A sidecar that has not seen a pod's short return, as watches may leave states out, lets go of it as much earlier than one that has, which
// may be the whole hold.
func TestAReturnThatOneSidecarHasNotSeen(t *testing.T) {
	spec := mustSpec(t, "rendezvous,hold=30s")
	all := replicas(3)
	saw := &watcher{m: New(spec, Input{Set: setOf(all...), Now: epoch}), there: map[string]*cluster.Endpoint{}}
	for _, e := range all {
		saw.there[e.Name] = e
	}
	missed := &watcher{m: saw.m, there: map[string]*cluster.Endpoint{all[0].Name: all[0], all[1].Name: all[1], all[2].Name: all[2]}}
	gone := event{0, "web-2", nil}
	missed.events = []event{gone}
	saw.events = []event{gone, {25 * time.Second, "web-2", all[2]}, {26 * time.Second, "web-2", nil}}
	watch([]*watcher{saw, missed}, func(now time.Duration) {
		if got, want := missed.m.names()["web-2"], now < 30*time.Second; got != want {
			t.Errorf("%v: who has not seen web-2 return takes it for a member: %v, want %v", now, got, want)
		}
		if got, want := saw.m.names()["web-2"], now < 56*time.Second; got != want {
			t.Errorf("%v: who has seen it takes it for a member: %v, want %v", now, got, want)
		}
	})
	same(t, saw.m, missed.m)
}

// What a StatefulSet is only expected to have was never there, and is not held when the map becomes one that goes by pods; what was there is.
func TestNobodyIsHeldWhoWasNeverThere(t *testing.T) {
	all := replicas(5)
	m := New(mustSpec(t, "ordinal,by=hash"), Input{Set: setOf(all...), StatefulSet: &StatefulSet{Name: "web", Replicas: 6}, Now: epoch})
	spec := mustSpec(t, "rendezvous")
	m = m.NextAs(spec, Input{Set: setOf(all...), Now: epoch})
	same(t, m, New(spec, Input{Set: setOf(all...), Now: epoch}))
	m = m.NextAs(spec, Input{Set: setOf(all[:4]...), Now: epoch})
	if o := m.Owner(ownedBy(t, m, "web-4")); o.Why != Down {
		t.Errorf("web-4 has left, and its keys are %v, want them held", o.Why)
	}
}

// ownedBy answers a key of a member.
func ownedBy(t *testing.T, m *Map, name string) shardkey.Key {
	t.Helper()
	for i := range 10_000 {
		if k := keyOf(fmt.Sprint("key-", i)); m.Owner(k).Member != nil && m.Owner(k).Member.Name == name {
			return k
		}
	}
	t.Fatalf("%s owns nothing", name)
	return shardkey.Key{}
}
