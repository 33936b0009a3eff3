package retry

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestLatencyBucketsAreInOrderAndNarrow(t *testing.T) {
	last := -1
	for d := time.Duration(0); d < time.Hour; d += d/50 + 1000 {
		i := latencyBucket(d)
		if i < last || i > last+1 {
			t.Fatalf("%v is in bucket %d, behind one in %d", d, i, last)
		}
		last = i
		end := latencyEnd(i)
		if end <= d || end > d+d/8+1<<latencyUnit {
			t.Fatalf("%v is in a bucket that ends at %v", d, end)
		}
	}
	if i := latencyBucket(1 << 62); i != latencyBuckets-1 {
		t.Errorf("a very long time is in bucket %d of %d", i, latencyBuckets)
	}
	if i := latencyBucket(-1); i != 0 {
		t.Errorf("a negative time is in bucket %d", i)
	}
}

// The dumb twin sorts.
func TestP99AgainstSorting(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		var l Latency
		var all []time.Duration
		scale := time.Duration(1+rng.IntN(100)) * time.Millisecond
		for range 1000 {
			d := time.Duration(rng.ExpFloat64() * float64(scale))
			l.Note(d)
			all = append(all, d)
		}
		slices.Sort(all)
		want := all[989]
		if got := l.quantile(0.99); got < want || got > want+want/8+1<<latencyUnit {
			t.Errorf("got %v, want %v and at most an eighth more", got, want)
		}
	}
}

func TestLatencyFollowsAService(t *testing.T) {
	var l Latency
	if got := l.Late(time.Second, 10); got != time.Second {
		t.Errorf("nothing known: late after %v, want 1 s", got)
	}
	note := func(n int, d time.Duration) {
		for range n {
			l.Note(d)
		}
	}
	note(latencyEnough-1, 500*time.Millisecond)
	if l.P99() != 0 {
		t.Errorf("after %d times p99 is %v, want none yet", latencyEnough-1, l.P99())
	}
	note(1, 500*time.Millisecond)
	if got := l.Late(time.Second, 10); got < 5*time.Second || got > 5700*time.Millisecond {
		t.Errorf("a slow Service: late after %v, want 5 s", got)
	}
	note(100_000, time.Millisecond)
	if got := l.Late(time.Second, 10); got != time.Second {
		t.Errorf("a Service that has become quick: late after %v, want 1 s", got)
	}
	note(1000, 3*time.Second)
	if got := l.Late(time.Second, 10); got < 30*time.Second {
		t.Errorf("a Service that has become slow: late after %v, want 30 s", got)
	}
}

func BenchmarkLatencyNote(b *testing.B) {
	var l Latency
	b.ReportAllocs()
	for i := range b.N {
		l.Note(time.Duration(i & 0xffffff))
	}
}
