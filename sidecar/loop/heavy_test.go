//go:build linux && !netloop && !race

package loop

import "testing"

// movers starts n coroutines that move bytes at a time until stop, and answers what all of them have moved.
func movers(l *Loop, n, bytes int, stop *bool) *int {
	moved := new(int)
	for range n {
		l.Go(func() {
			for !*stop && !l.Stopping() {
				*moved += bytes
				l.charge(bytes)
				if bytes < heavyFrom {
					l.Yield()
				}
			}
		})
	}
	return moved
}

func TestARequestGoesBeforeManyLargeBodies(t *testing.T) {
	l, do := run(t)
	do(func() error {
		var stop bool
		defer func() { stop = true }()
		moved := movers(l, 500, 256<<10, &stop)
		for range 10 {
			l.Yield()
		}
		for range 100 {
			before := *moved
			l.Yield()
			if n := *moved - before; n == 0 || n > quantum+256<<10 {
				t.Errorf("500 others moved %d KiB before it was a request's turn again, want some and at most %d", n>>10, (quantum+256<<10)>>10)
				break
			}
		}
		return nil
	})
}

func TestLargeBodiesHaveTheirShareBesideManyRequests(t *testing.T) {
	l, do := run(t)
	do(func() error {
		var stop bool
		defer func() { stop = true }()
		small, large := movers(l, 1000, 8<<10, &stop), movers(l, 100, 256<<10, &stop)
		for range 10 {
			l.Yield()
		}
		*small, *large = 0, 0
		for range 100 {
			l.Yield()
		}
		if *large < *small || *large > 3**small {
			t.Errorf("large bodies moved %d MiB while requests moved %d", *large>>20, *small>>20)
		}
		return nil
	})
}

func TestHeavyCoroutinesAreTakenInTurn(t *testing.T) {
	var h heavy
	a, b, c := new(Task), new(Task), new(Task)
	h.add(a)
	h.add(b)
	if got := h.take(); got != a {
		t.Error("not the first one")
	}
	h.add(c)
	h.add(a)
	for i, want := range []*Task{b, c, a} {
		if got := h.take(); got != want {
			t.Errorf("%d: another one", i)
		}
	}
	if h.any() || h.last != nil {
		t.Error("something is left")
	}
}

func TestWorkIsChargedAsBytesAre(t *testing.T) {
	l, do := run(t)
	do(func() error {
		others := 0
		stop := false
		defer func() { stop = true }()
		l.Go(func() {
			for !stop {
				others++
				l.Yield()
			}
		})
		for range 16 {
			l.Charge(quantum / 8)
		}
		if others < 2 {
			t.Errorf("another coroutine ran %d times while two quanta of work were done, want 2", others)
		}
		return nil
	})
}

func TestWhoLooksAtTheTimeGoesBehindAll(t *testing.T) {
	l, do := run(t)
	do(func() error {
		const n = 50
		stop, runs := false, make([]int, n)
		defer func() { stop = true }()
		for i := range n {
			l.Go(func() {
				for !stop && !l.Stopping() {
					runs[i]++
					l.charge(300 << 10)
					l.charge(300 << 10)
				}
			})
		}
		for range 10 {
			l.Yield()
		}
		before := append([]int(nil), runs...)
		l.Behind()
		for i := range n {
			if runs[i] == before[i] && before[i] > 0 {
				t.Errorf("number %d of %d large bodies has not gone on", i, n)
				return nil
			}
		}
		before = append(before[:0], runs...)
		l.Yield()
		moved := 0
		for i := range n {
			moved += runs[i] - before[i]
		}
		if moved > 2 {
			t.Errorf("it is light again, and %d large bodies went before it", moved)
		}
		return nil
	})
}

func TestManyAcceptsAreNoLargeBody(t *testing.T) {
	l, do := run(t)
	do(func() error {
		for range 3 * quantum / callCost {
			l.charge(0)
			if l.cur.heavy {
				t.Error("a coroutine that moved nothing is heavy")
				break
			}
		}
		return nil
	})
}
