package retry

import (
	"math/bits"
	"time"
)

// Latency remembers how long a Service's answers' heads took of late, to say which attempt takes strangely long. It belongs to one
// loop. The zero value is ready. Noting a time costs a few nanoseconds.
//
// Times are kept in buckets, eight for each doubling, so that a quantile is at most an eighth too long.
type Latency struct {
	counts [latencyBuckets]uint16
	total  int
	// p99 is as of the last time it was worked out; fresh counts down to the next.
	p99   time.Duration
	fresh int
}

const (
	// latencyUnit is the shortest time told apart from none: 1 << 16 ns, 66 µs.
	latencyUnit    = 16
	latencyOctaves = 26 // up to 73 minutes
	latencyBuckets = latencyOctaves << 3
	// latencyMemory is how many times are remembered before the older ones begin to be forgotten, by halves.
	latencyMemory = 4096
	// latencyEnough is how many times have to be known for a p99 to mean anything.
	latencyEnough = 100
)

// Note adds one time from an attempt's begin to its answer's head.
func (l *Latency) Note(d time.Duration) {
	i := latencyBucket(d)
	l.counts[i]++
	l.total++
	if l.total >= latencyMemory {
		l.total = 0
		for i := range l.counts {
			l.counts[i] /= 2
			l.total += int(l.counts[i])
		}
	}
	if l.fresh--; l.fresh <= 0 && l.total >= latencyEnough {
		l.fresh = latencyEnough
		l.p99 = l.quantile(0.99)
	}
}

// P99 answers the time within which 99 of 100 answers came; 0 while too few are known.
func (l *Latency) P99() time.Duration { return l.p99 }

// Late answers how long an attempt may go without an answer's head before it is raced: the larger of floor and factor × P99.
func (l *Latency) Late(floor time.Duration, factor float64) time.Duration {
	return max(floor, time.Duration(float64(l.p99)*factor))
}

// quantile answers the upper end of the bucket that the q-th part of all times lies in.
func (l *Latency) quantile(q float64) time.Duration {
	above := int(float64(l.total) * (1 - q))
	for i := latencyBuckets - 1; i > 0; i-- {
		if above -= int(l.counts[i]); above < 0 {
			return latencyEnd(i)
		}
	}
	return latencyEnd(0)
}

func latencyBucket(d time.Duration) int {
	n := uint64(max(d, 0)) >> latencyUnit
	if n < 8 {
		return int(n)
	}
	e := bits.Len64(n) - 4
	return min(e<<3+int(n>>e), latencyBuckets-1)
}

// latencyEnd answers the shortest time that is in no bucket up to i.
func latencyEnd(i int) time.Duration {
	if i++; i < 16 {
		return time.Duration(i) << latencyUnit
	}
	e := i>>3 - 1
	return time.Duration(i&7|8) << e << latencyUnit
}
