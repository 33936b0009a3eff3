//go:build linux && !netloop && !race

package loop

import (
	"testing"
	"time"
)

func TestTheLoopRestsWhereACrowdIsQuick(t *testing.T) {
	const turns = 20_000
	const quick = 2 * time.Microsecond
	for _, c := range []struct {
		name        string
		shared      int
		waited      []time.Duration // between turns, over and over
		moved       int             // behind a rest
		least, most int             // rests of so many turns
	}{
		{"a crowd at full speed", 100, []time.Duration{quick}, 30, turns - restAfter, turns - restAfter},
		{"a few requests at full speed", restFrom - 1, []time.Duration{quick}, 30, 0, 0},
		{"a few beside a silent crowd", 100, []time.Duration{quick}, restLeast - 1, 1, 90},
		{"a crowd that waits for its servers", 100, []time.Duration{60 * time.Microsecond}, 30, 0, 0},
		{"a burst now and then", 100, []time.Duration{quick, quick, quick, time.Millisecond}, 30, 0, 0},
	} {
		var r rest
		r.shared = c.shared
		rests := 0
		for i := range turns {
			r.judge()
			waited := c.waited[i%len(c.waited)]
			if r.pays() {
				rests++
				r.took, r.moved = true, c.moved
				waited = time.Duration(r.length())
			}
			r.came(int64(waited))
		}
		if rests < c.least || rests > c.most {
			t.Errorf("%s: %d rests in %d turns, want %d to %d", c.name, rests, turns, c.least, c.most)
		}
	}
}

func TestWhatWasWrittenGoesOutBeforeARest(t *testing.T) {
	l, do := run(t)
	c, _ := dialled(t, l)
	f := &collected{c: c}
	do(func() error {
		l.rest.crowd = 100
		f.add("x")
		began := time.Now()
		l.resting()
		if took := time.Since(began); f.calls != 1 || took < restMost {
			t.Errorf("%d flushes before a rest of %v, want 1 before %v", f.calls, took, time.Duration(restMost))
		}
		return f.err
	})
}

// A closed circle of requests, each of which meets two rests, must not get slower than a loop can be.
func TestARestIsAsLongAsTheCrowdAllows(t *testing.T) {
	for _, n := range []int{restFrom, 24, 32, 50, 1000} {
		r := rest{shared: 1000, crowd: n}
		if rate := float64(n) / (2 * float64(r.length()+restSlack) / 1e9); rate < 120_000 {
			t.Errorf("%d requests rest for %d ns: %.0f a second get through", n, r.length(), rate)
		}
		if r.length() < 1 || r.length() > restMost {
			t.Errorf("%d requests rest for %d ns", n, r.length())
		}
	}
}
