//go:build linux && !netloop && !race

package loop

import (
	"iter"
	"time"
)

// maxIdleTasks bounds the ended coroutines kept for reuse; each holds a stack.
const maxIdleTasks = 64

// Task is a coroutine of a loop.
type Task struct {
	l      *Loop
	fn     func()
	next   func() (struct{}, bool)
	stop   func()
	yield  func(struct{}) bool
	timer  timer
	queued bool
	// heavy says that it moved heavyFrom or more when it ran last; nextHeavy links those that can run.
	heavy     bool
	nextHeavy *Task
	// parked links the coroutines that wait in Park, for Stop to find them.
	parkPrev, parkNext *Task
	isParked           bool
}

// Go starts a coroutine that runs f; it begins in the loop's next turn. On the loop only, or before Run.
func (l *Loop) Go(f func()) {
	var t *Task
	if k := len(l.idle); k > 0 {
		t = l.idle[k-1]
		l.idle[k-1] = nil
		l.idle = l.idle[:k-1]
	} else {
		t = &Task{l: l}
		t.timer.task = t
		t.next, t.stop = iter.Pull(t.body)
	}
	t.fn, t.heavy = f, false
	l.live++
	l.wake(t)
}

func (t *Task) body(yield func(struct{}) bool) {
	l := t.l
	t.yield = yield
	for {
		l.opts.contain(t.fn)
		t.fn = nil
		l.live--
		if len(l.idle) >= maxIdleTasks || l.stopping {
			return
		}
		l.idle = append(l.idle, t)
		if !yield(struct{}{}) {
			return
		}
	}
}

// Trim ends the coroutines that are kept for reuse. On the loop only, in a posted function.
func (l *Loop) Trim() {
	for _, t := range l.idle {
		t.stop()
	}
	l.idle = nil
}

func (l *Loop) resume(t *Task) {
	t.queued = false
	l.cur = t
	l.spent, l.moved = 0, 0
	t.next()
	t.heavy = l.moved >= heavyFrom
	l.heavy.moved += l.spent
	l.cur = nil
}

// wake puts a coroutine into the next turn's queue.
func (l *Loop) wake(t *Task) {
	if t != nil && !t.queued {
		t.queued = true
		if t.heavy {
			l.heavy.add(t)
		} else {
			l.ready = append(l.ready, t)
		}
	}
}

// suspend gives way until somebody wakes the running coroutine.
func (l *Loop) suspend() {
	t := l.cur
	if t == nil {
		panic("loop: a waiting call outside a coroutine")
	}
	t.yield(struct{}{})
}

// suspendUntil gives way until woken or the deadline; it reports false when the deadline has passed.
func (l *Loop) suspendUntil(deadline int64) bool {
	if deadline == Never {
		l.suspend()
		return true
	}
	if deadline <= l.now {
		return false
	}
	t := l.cur
	l.timers.add(&t.timer, deadline)
	l.suspend()
	l.timers.remove(&t.timer)
	return deadline > l.now
}

// Index answers Options.Index. Safe for concurrent use.
func (l *Loop) Index() int { return l.opts.Index }

// Now answers the loop's clock: monotonic nanoseconds, read once a turn.
func (l *Loop) Now() int64 { return l.now }

// Current answers the running coroutine.
func (l *Loop) Current() *Task { return l.cur }

// Live answers how many coroutines have not ended.
func (l *Loop) Live() int { return l.live }

// Stopping reports whether Stop was called.
func (l *Loop) Stopping() bool { return l.stopping }

// Yield lets every other ready coroutine run once.
func (l *Loop) Yield() {
	l.wake(l.cur)
	l.suspend()
}

// Behind lets every other coroutine that can run now do so first, heavy ones too (decision 0019): for who looks at the time, so that what has come is taken
// before anything is found to be late.
func (l *Loop) Behind() {
	l.cur.heavy = true
	l.Yield()
}

// Sleep waits for d; it answers ErrStopped when the loop is stopped meanwhile.
func (l *Loop) Sleep(d time.Duration) error {
	deadline := l.now + int64(d)
	for !l.stopping && l.suspendUntil(deadline) {
	}
	if l.stopping {
		return ErrStopped
	}
	return nil
}

// Park waits until another coroutine or a posted function calls Wake on this one, or until the deadline (Never: no
// deadline). It may return early; who calls it checks its condition again.
func (l *Loop) Park(deadline int64) {
	if l.stopping {
		return
	}
	t := l.cur
	t.isParked = true
	t.parkNext = l.parkHead
	if t.parkNext != nil {
		t.parkNext.parkPrev = t
	}
	l.parkHead = t
	l.suspendUntil(deadline)
	if t.parkPrev != nil {
		t.parkPrev.parkNext = t.parkNext
	} else {
		l.parkHead = t.parkNext
	}
	if t.parkNext != nil {
		t.parkNext.parkPrev = t.parkPrev
	}
	t.parkPrev, t.parkNext, t.isParked = nil, nil, false
}

// Wake ends t's Park; it does nothing when t does not wait there. On the loop only.
func (t *Task) Wake() {
	if t.isParked {
		t.l.wake(t)
	}
}

func (l *Loop) parked() []*Task {
	var ts []*Task
	for t := l.parkHead; t != nil; t = t.parkNext {
		ts = append(ts, t)
	}
	return ts
}

// Charge counts work that takes as long as moving n bytes does, and gives way when the quantum is used up. In coroutines only.
func (l *Loop) Charge(n int) { l.charge(max(n-callCost, 0)) }

// charge counts n moved bytes against the quantum and gives way when it is used up.
func (l *Loop) charge(n int) {
	l.spent += n + callCost
	l.moved += n
	if l.spent >= quantum {
		l.cur.heavy = l.moved >= heavyFrom
		l.Yield()
	}
}
