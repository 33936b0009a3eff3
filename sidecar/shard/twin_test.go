package shard

import (
	"fmt"
	"math"
	"slices"
	"sort"
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
