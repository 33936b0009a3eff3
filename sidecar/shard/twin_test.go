package shard

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/cespare/xxhash/v2"
)

// The twins below know the definitions and nothing else: no tables that follow a change, no places, no shortcuts.

// naiveRendezvous bids with everybody for a slot.
func naiveRendezvous(ids []string, slot int) string {
	bid := func(id string) uint64 {
		x := uint64(slot+1) * 0x9e3779b97f4a7c15
		x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
		x = (x ^ x>>27) * 0x94d049bb133111eb
		x ^= x >> 31
		x = (x ^ xxhash.Sum64String(id)) * 0xff51afd7ed558ccd
		return (x ^ x>>32) * 0xc4ceb9fe1a85ec53
	}
	return slices.MaxFunc(ids, func(a, b string) int {
		switch x, y := bid(a), bid(b); {
		case x < y, x == y && a > b:
			return -1
		}
		return 1
	})
}

func TestTheSlotTableIsNaiveRendezvous(t *testing.T) {
	r := seedOf(t)
	universe := pods(60)
	m := New(mustSpec(t, "rendezvous"), Input{Set: setOf(universe[:20]...)})
	for range 8 { // after each of some changes, so that the table was made by following them
		now := shuffled(r, universe)[:1+r.IntN(len(universe))]
		if r.IntN(2) == 0 {
			now = m.in.Set.Endpoints[:max(1, len(m.in.Set.Endpoints)-2)]
		}
		m = m.Next(Input{Set: setOf(now...)})
		var ids []string
		for _, e := range now {
			ids = append(ids, newIdentity(e))
		}
		for s, i := range m.slots {
			if s%7 == 0 {
				if got, want := m.members[i].ID, naiveRendezvous(ids, s); got != want {
					t.Fatalf("slot %d is %s's, want %s", s, got, want)
				}
			}
		}
	}
}

// A map that is made of one of another spec answers as one that is made of nothing.
func TestASpecThatChangesIsANewMap(t *testing.T) {
	r := seedOf(t)
	universe := append(pods(20), replicas(20)...)
	for i, e := range universe {
		e.Addr = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, 0, byte(i)}), 80)
	}
	specs := []string{"rendezvous,hold=0s", "rendezvous,slots=1024,hold=0s", "maglev,size=251,hold=0s", "maglev,size=509,hold=0s", "ring,size=100,hold=0s",
		"ring,size=300,hold=0s", "s2,hold=0s", "s2,level=9,hold=0s", "ordinal", "ordinal,by=hash", "ordinal,statefulset=web",
		"maglev,size=251,statefulset=web", "lookup", "prefix-lookup", "s2 by table,hold=0s"}
	tables := map[Kind]*Table{Lookup: mustTable(t, Lookup, map[string]string{"account-1": "web-1", "*": "3"}),
		PrefixLookup: mustTable(t, PrefixLookup, map[string]string{"account-1": "web-1", "account": "2"}),
		S2:           mustTable(t, S2, map[string]string{"476d": "web-2", "*": "4"})}
	set := setOf(universe...)
	var m *Map
	for range 150 {
		text := specs[r.IntN(len(specs))]
		spec := mustSpec(t, strings.Replace(text, " by table", "", 1))
		spec.ByTable = strings.Contains(text, " by table")
		spec.Sessions = r.IntN(2) == 0
		if r.IntN(2) == 0 {
			set = setOf(shuffled(r, universe)[:1+r.IntN(len(universe))]...)
		}
		in := Input{Set: set, Now: epoch}
		if spec.NeedsStatefulSet() {
			in.StatefulSet = &StatefulSet{Name: "web", Replicas: 1 + r.IntN(15), Start: r.IntN(2)}
		}
		if spec.NeedsTable() {
			in.Table = tables[spec.Kind]
		}
		want := New(spec, in)
		if m == nil {
			m = want
			continue
		}
		before := m.spec
		m = m.NextAs(spec, in)
		same(t, m, want)
		if a, b := m.Fingerprint(), want.Fingerprint(); a != b || t.Failed() {
			t.Fatalf("from %+v to %s", before, text)
		}
		for _, e := range set.Endpoints {
			if member := want.MemberAt(e); member != nil && m.Resume(member.Session(nil)).Endpoint != e {
				t.Fatalf("from %+v to %s: the session of %s leads elsewhere", before, text, e.Name)
			}
		}
	}
}

func TestATableStaysWhereNothingItFollowsFromChanges(t *testing.T) {
	in := Input{Set: setOf(pods(10)...)}
	for _, c := range []struct {
		before, after string
		stays         bool
	}{
		{"rendezvous", "rendezvous,hold=5m", true},
		{"rendezvous", "rendezvous,slots=1024", false},
		{"s2", "s2,level=9", true}, // a cell is at another slot
		{"maglev", "maglev,hold=5m", true},
		{"maglev", "maglev,size=251", false},
		{"ring", "ring,size=300", false},
		{"ring", "ring,hold=5m", true},
	} {
		a := New(mustSpec(t, c.before), in)
		spec := mustSpec(t, c.after)
		spec.Bound = 1.5
		b := a.NextAs(spec, in)
		stays := func(a, b []index) bool { return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0]) }
		if got := stays(a.slots, b.slots) && stays(a.table, b.table) && stays(a.owners, b.owners); got != c.stays {
			t.Errorf("%s to %s: the tables stay: %v, want %v", c.before, c.after, got, c.stays)
		}
	}
}

// naiveMaglev is the paper's pseudocode: all permutations written down, and turns taken over them.
func naiveMaglev(ids []string, size int) []string {
	sort.Strings(ids)
	permutation := make([][]int, len(ids))
	for i, id := range ids {
		d := xxhash.NewWithSeed(1)
		d.WriteString(id)
		offset, skip := int(xxhash.Sum64String(id)%uint64(size)), int(d.Sum64()%uint64(size-1))+1
		for j := range size {
			permutation[i] = append(permutation[i], (offset+j*skip)%size)
		}
	}
	return populate(permutation, size, ids)
}

// populate is the paper's procedure of that name.
func populate(permutation [][]int, size int, ids []string) []string {
	next, entry, n := make([]int, len(ids)), make([]string, size), 0
	for {
		for i := range ids {
			c := permutation[i][next[i]]
			for entry[c] != "" {
				next[i]++
				c = permutation[i][next[i]]
			}
			entry[c] = ids[i]
			next[i]++
			n++
			if n == size {
				return entry
			}
		}
	}
}

// The twin itself gives the table of the paper's example: three backends, offsets and skips (3, 4), (0, 2), (3, 1), 7 entries.
func TestTheMaglevTwinIsThePapers(t *testing.T) {
	permutation := [][]int{{3, 0, 4, 1, 5, 2, 6}, {0, 2, 4, 6, 1, 3, 5}, {3, 4, 5, 6, 0, 1, 2}}
	got := populate(permutation, 7, []string{"B0", "B1", "B2"})
	if want := []string{"B1", "B0", "B1", "B0", "B2", "B2", "B0"}; !slices.Equal(got, want) {
		t.Errorf("with three: %v, want %v", got, want)
	}
	got = populate([][]int{permutation[0], permutation[2]}, 7, []string{"B0", "B2"})
	if want := []string{"B0", "B0", "B0", "B0", "B2", "B2", "B2"}; !slices.Equal(got, want) {
		t.Errorf("without B1: %v, want %v", got, want)
	}
}

func TestMaglevIsItsNaiveTwin(t *testing.T) {
	r := seedOf(t)
	for _, size := range []int{251, 1009} {
		universe := append(pods(40), replicas(9)...)
		m := New(mustSpec(t, fmt.Sprintf("maglev,size=%d", size)), Input{Set: setOf(universe[0])})
		for range 12 {
			now := shuffled(r, universe)[:1+r.IntN(len(universe))]
			m = m.Next(Input{Set: setOf(now...)})
			var ids []string
			for _, e := range now {
				ids = append(ids, newIdentity(e))
			}
			for e, want := range naiveMaglev(ids, size) {
				if got := m.members[m.table[e]].ID; got != want {
					t.Fatalf("entry %d is %s's, want %s", e, got, want)
				}
			}
		}
	}
}

// naiveRing looks through all points for the nearest behind a hash.
func naiveRing(ids []string, size int, hash uint64) string {
	each := int(math.Ceil(float64(size) / float64(len(ids))))
	best, nearest := "", uint64(math.MaxUint64)
	for _, id := range ids {
		for p := range each {
			if d := xxhash.Sum64String(fmt.Sprintf("%s_%d", id, p)) - hash; d <= nearest {
				best, nearest = id, d
			}
		}
	}
	return best
}

func TestTheRingIsItsNaiveTwin(t *testing.T) {
	r := seedOf(t)
	universe := append(pods(40), replicas(9)...)
	m := New(mustSpec(t, "ring"), Input{Set: setOf(universe[0])})
	for range 12 {
		now := shuffled(r, universe)[:1+r.IntN(len(universe))]
		m = m.Next(Input{Set: setOf(now...)})
		var ids []string
		for _, e := range now {
			ids = append(ids, newIdentity(e))
		}
		for i := range 300 {
			k := sampleKey(m, i)
			if got, want := m.Owner(k).Member.ID, naiveRing(ids, 1024, k.Hash); got != want {
				t.Fatalf("key %s is %s's, want %s", k.Text, got, want)
			}
		}
	}
}
