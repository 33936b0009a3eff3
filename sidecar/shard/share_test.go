package shard

import (
	"math"
	"slices"
	"testing"
)

// sigmas is how many standard deviations a share may be off: of 1,000 members one in a million times has one further off.
const sigmas = 6.1

// Every slot is drawn by itself, so a member's number of slots is binomial.
func TestSharesOfARendezvousMapAreWithinTheBinomialsBound(t *testing.T) {
	for _, n := range []int{10, 100, 1000} {
		m := New(mustSpec(t, "rendezvous"), Input{Set: setOf(pods(n)...)})
		mean, deviation := binomial(DefaultSlots, 1/float64(n))
		least, most := spread(m.slots, n)
		t.Logf("%d members: %.1f slots on average, %d to %d (%.0f %% to %.0f %%)", n, mean, least, most,
			100*float64(least)/mean, 100*float64(most)/mean)
		if float64(least) < mean-sigmas*deviation || float64(most) > mean+sigmas*deviation {
			t.Errorf("%d members have %d to %d slots, want %.1f ± %.1f", n, least, most, mean, sigmas*deviation)
		}
	}
}

// Maglev's members take turns, so they differ by one entry.
func TestSharesOfMaglevDifferByOne(t *testing.T) {
	for _, n := range []int{10, 100, 1000} {
		m := New(mustSpec(t, "maglev"), Input{Set: setOf(pods(n)...)})
		if least, most := spread(m.table, n); most-least > 1 {
			t.Errorf("%d members have %d to %d entries", n, least, most)
		}
	}
}

// A member's share of a ring is the sum of p arcs; its standard deviation is sqrt(1/p) of the mean, about. Shares are skewed,
// so the bound is wide, and says mostly how uneven a ring is.
func TestSharesOfARing(t *testing.T) {
	for _, n := range []int{10, 100} {
		m := New(mustSpec(t, "ring"), Input{Set: setOf(pods(n)...)})
		share := make([]float64, n)
		for i, at := range m.points {
			before := m.points[(i+len(m.points)-1)%len(m.points)]
			share[m.owners[i]] += float64(at-before) / math.Exp2(64) * float64(n)
		}
		bound := 4 / math.Sqrt(math.Ceil(DefaultRingSize/float64(n)))
		t.Logf("%d members: %.2f to %.2f of the mean", n, slices.Min(share), slices.Max(share))
		if slices.Max(share) > 1+bound || slices.Min(share) < 1-bound {
			t.Errorf("%d members have %.2f to %.2f of the mean, want 1 ± %.2f", n, slices.Min(share), slices.Max(share), bound)
		}
	}
}

// A newcomer takes 1 of N+1 slots, give or take the binomial's bound, and nothing moves but to him.
func TestANewcomerTakesHisShareAndNothingElseMoves(t *testing.T) {
	for _, n := range []int{1, 10, 100, 1000} {
		all := pods(n + 1)
		before := New(mustSpec(t, "rendezvous"), Input{Set: setOf(all[:n]...)})
		after := before.Next(Input{Set: setOf(all...)})
		moved := 0
		for s := range after.slots {
			was, is := before.members[before.slots[s]], after.members[after.slots[s]]
			if was.ID == is.ID {
				continue
			}
			moved++
			if is.ID != newIdentity(all[n]) {
				t.Fatalf("slot %d went from %s to %s, who was there before", s, was.Name, is.Name)
			}
		}
		mean, deviation := binomial(DefaultSlots, 1/float64(n+1))
		if math.Abs(float64(moved)-mean) > sigmas*deviation {
			t.Errorf("%d of %d slots moved to the newcomer of %d, want %.0f ± %.0f", moved, DefaultSlots, n+1, mean, sigmas*deviation)
		}
	}
}

// What maglev moves beside a leaver's keys, which the documentation puts a figure on.
func TestMaglevMovesFewOtherKeys(t *testing.T) {
	for _, c := range []struct {
		members int
		most    float64 // share of all entries
	}{{10, 0.01}, {100, 0.01}, {1000, 0.01}} {
		all := pods(c.members)
		before := New(mustSpec(t, "maglev"), Input{Set: setOf(all...)})
		after := before.Next(Input{Set: setOf(all[1:]...)})
		others := 0
		for e := range after.table {
			was, is := before.members[before.table[e]], after.members[after.table[e]]
			if was.ID != is.ID && was.ID != newIdentity(all[0]) {
				others++
			}
		}
		share := float64(others) / DefaultMaglevSize
		t.Logf("%d members: %.2f %% of all entries moved beside the leaver's", c.members, 100*share)
		if share > c.most {
			t.Errorf("%d members: %.2f %% of all entries moved beside the leaver's, want %.0f %% at most", c.members, 100*share, 100*c.most)
		}
	}
}

func binomial(n int, p float64) (mean, deviation float64) {
	return float64(n) * p, math.Sqrt(float64(n) * p * (1 - p))
}

// spread answers the smallest and the largest number of entries that one of n members has.
func spread(table []index, n int) (least, most int) {
	count := make([]int, n)
	for _, i := range table {
		count[i]++
	}
	return slices.Min(count), slices.Max(count)
}
