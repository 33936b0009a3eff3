package shard

import (
	"fmt"
	"runtime"
	"slices"
	"testing"

	"github.com/sluice-mesh/sluice/sidecar/cluster"
	"github.com/sluice-mesh/sluice/sidecar/shardkey"
)

var sizes = []int{3, 100, 1000, 10000}

// A pick is a constant: below 100 ns at any number of endpoints, and no allocation.
func BenchmarkOwner(b *testing.B) {
	for _, text := range []string{"rendezvous", "maglev", "ring", "ordinal", "lookup", "s2"} {
		for _, n := range sizes {
			m := benchMap(b, text, n)
			keys := make([]shardkey.Key, 4096)
			for i := range keys {
				keys[i] = sampleKey(m, i)
				if m.spec.Kind == Lookup {
					keys[i] = keyOf(fmt.Sprintf("key-%d", i%1000))
				}
			}
			b.Run(fmt.Sprintf("%s/%d", text, n), func(b *testing.B) {
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					if o := m.Owner(keys[i&4095]); o.Endpoint == nil {
						b.Fatal(o)
					}
					i++
				}
			})
		}
	}
}

// Failing over once takes as many bids as there are members.
func BenchmarkAfter(b *testing.B) {
	for _, text := range []string{"rendezvous", "ring"} {
		for _, n := range sizes {
			m := benchMap(b, text, n)
			b.Run(fmt.Sprintf("%s/%d", text, n), func(b *testing.B) {
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					k := shardkey.Key{Hash: uint64(i) * 0x9e3779b97f4a7c15}
					m.After(k, m.Owner(k).Member)
					i++
				}
			})
		}
	}
}

// One endpoint leaves and returns, in turn: the time and the bytes are of one change.
func BenchmarkChange(b *testing.B) {
	for _, text := range []string{"rendezvous", "maglev", "ring", "ordinal", "lookup", "s2"} {
		for _, n := range sizes {
			m := benchMap(b, text, n)
			all := m.in.Set
			without := &cluster.EndpointSet{}
			without.Endpoints = append(append(without.Endpoints, all.Endpoints[:n/2]...), all.Endpoints[n/2+1:]...)
			b.Run(fmt.Sprintf("%s/%d", text, n), func(b *testing.B) {
				b.ReportAllocs()
				in := m.in
				for i := 0; b.Loop(); i++ {
					if in.Set = without; i%2 == 1 {
						in.Set = all
					}
					m = m.Next(in)
				}
			})
		}
	}
}

// The first map of a Service.
func BenchmarkNew(b *testing.B) {
	for _, text := range []string{"rendezvous", "maglev", "ring"} {
		for _, n := range sizes {
			spec, set := mustSpec(b, text), setOf(pods(n)...)
			b.Run(fmt.Sprintf("%s/%d", text, n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					New(spec, Input{Set: set})
				}
			})
		}
	}
}

// What a map keeps, beside the endpoints themselves and the ConfigMap of lookup, here of 1,000 keys.
func BenchmarkMemory(b *testing.B) {
	for _, text := range []string{"rendezvous", "rendezvous,slots=1024", "maglev", "ring", "ordinal", "lookup", "s2"} {
		for _, n := range sizes {
			b.Run(fmt.Sprintf("%s/%d", text, n), func(b *testing.B) {
				spec := mustSpec(b, text)
				in := benchInput(b, spec.Kind, n)
				const maps = 3
				kept := make([]*Map, maps)
				for b.Loop() {
					clear(kept)
					before := heap()
					for i := range kept {
						kept[i] = New(spec, in)
					}
					b.ReportMetric(float64(heap()-before)/maps, "B/map")
				}
				runtime.KeepAlive(kept)
			})
		}
	}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}

func benchMap(b testing.TB, text string, n int) *Map {
	spec := mustSpec(b, text)
	return New(spec, benchInput(b, spec.Kind, n))
}

func benchInput(b testing.TB, kind Kind, n int) Input {
	in := Input{Set: setOf(pods(n)...)}
	switch kind {
	case Ordinal:
		in.Set, in.StatefulSet = setOf(replicas(n)...), &StatefulSet{Name: "web", Replicas: n}
	case Lookup:
		data := map[string]string{}
		for i := range 1000 {
			data[fmt.Sprintf("key-%d", i)] = fmt.Sprintf("web-%d", i%n)
		}
		var err error
		if in.Table, err = ParseTable(Lookup, data); err != nil {
			b.Fatal(err)
		}
		in.Set = setOf(replicas(n)...)
	}
	return in
}

// A change of one endpoint of 10,000 makes 1 MiB of garbage at most, which is the map before it.
func TestAChangeMakesLittleGarbage(t *testing.T) {
	const n, most = 10_000, 1 << 20
	for _, text := range []string{"rendezvous", "maglev", "ring", "ordinal", "lookup"} { // s2's is rendezvous', or lookup's
		spec := mustSpec(t, text)
		few := spec
		few.Slots = min(few.Slots, 2) // 65,536 times 10,000 bids take a second; any owners will do
		m := New(few, benchInput(t, spec.Kind, n))
		if m.spec = spec; spec.Kind == Rendezvous {
			m.slots = make([]index, spec.Slots)
			for s := range m.slots {
				m.slots[s] = index(s % n)
			}
		}
		in, all := m.in, m.in.Set
		in.Set = &cluster.EndpointSet{Endpoints: slices.Delete(slices.Clone(all.Endpoints), n/2, n/2+1)}
		var before, after runtime.MemStats
		for _, set := range []*cluster.EndpointSet{in.Set, all} {
			in.Set = set
			runtime.ReadMemStats(&before)
			m = m.Next(in)
			runtime.ReadMemStats(&after)
			if got := after.TotalAlloc - before.TotalAlloc; got > most {
				t.Errorf("%s: %d bytes", text, got)
			}
		}
	}
}

// A pick allocates nothing, whatever the map.
func TestPicksDoNotAllocate(t *testing.T) {
	table := mustTable(t, PrefixLookup, map[string]string{"account": "web-1", "*": "0"})
	for _, text := range append([]string{"ordinal", "lookup", "prefix-lookup"}, hashedSpecs...) {
		spec := mustSpec(t, text)
		spec.Bound = 1.5
		const n = countsAlways + 1 // of which counts are kept
		m := New(spec, Input{Set: setOf(replicas(n)...), StatefulSet: &StatefulSet{Name: "web", Replicas: n}})
		if spec.NeedsTable() {
			m = New(spec, Input{Set: setOf(replicas(n)...), Table: table})
		}
		k := sampleKey(m, 7)
		session := m.Owner(k).Member.Session(nil)
		if n := testing.AllocsPerRun(100, func() {
			o := m.Owner(k)
			m.After(k, o.Member)
			m.MostInFlight(0, 0)
			m.Resume(session)
		}); n > 0 {
			t.Errorf("%s: %v allocations", text, n)
		}
	}
}

// Where nobody can be used a request goes along the whole order.
func BenchmarkWalkToTheEnd(b *testing.B) {
	for _, text := range []string{"rendezvous", "ring,size=4096", "ordinal"} {
		b.Run(text, func(b *testing.B) {
			m := New(mustSpec(b, text), Input{Set: setOf(replicas(3000)...), StatefulSet: &StatefulSet{Name: "web", Replicas: 3000}})
			k := sampleKey(m, 1)
			for b.Loop() {
				w := m.From(k, m.Owner(k))
				for w.Next().Member != nil {
				}
			}
		})
	}
}

// With a table, a place's cell is looked for at the levels that the table has.
func BenchmarkOwnerOfACell(b *testing.B) {
	data := map[string]string{}
	for i := range 4096 {
		cell, _ := libraryCell(48+float64(i%64)/30, 16+float64(i/64)/30, 10+i%3)
		data[cell.ToToken()] = "web-1"
	}
	table, err := ParseTable(S2, data)
	if err != nil {
		b.Fatal(err)
	}
	m := New(mustSpec(b, "s2"), Input{Set: setOf(replicas(10_000)...), Table: table})
	keys := make([]shardkey.Key, 4096)
	for i := range keys {
		keys[i] = sampleKey(m, i)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		m.Owner(keys[i&4095])
	}
}
