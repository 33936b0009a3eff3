//go:build !linux || netloop || race

package loop

import (
	"sync"
	"time"
)

// Implementation names the build: "epoll" or "net".
const Implementation = "net"

// Loop is one event loop. See the package comment for who may call what.
//
// In this implementation every coroutine is a goroutine, and holds mu whenever it runs.
type Loop struct {
	opts Options

	mu       sync.Mutex
	cur      *Task
	live     int
	bufs     buffers
	conns    map[*Conn]struct{}
	lns      map[*Listener]struct{}
	parked   map[*Task]struct{}
	stopping bool
	started  bool
	pending  []func()

	posted  chan struct{}
	queueMu sync.Mutex
	queue   []func() // guarded by queueMu
	refuse  bool     // guarded by queueMu: the loop has ended
	done    chan struct{}
	stats   counters
}

// Task is a coroutine of a loop.
type Task struct {
	l      *Loop
	wakeup chan struct{} // holds one wake-up
	parked bool
}

// New makes a loop; Run runs it.
func New(o Options) (*Loop, error) {
	return &Loop{opts: o, conns: map[*Conn]struct{}{}, lns: map[*Listener]struct{}{}, parked: map[*Task]struct{}{},
		posted: make(chan struct{}, 1), done: make(chan struct{})}, nil
}

// Run runs the loop until Stop was called and every coroutine has ended. It is called once, on a goroutine of its own.
func (l *Loop) Run() {
	defer close(l.done)
	l.mu.Lock()
	l.started = true
	for _, f := range l.pending {
		l.start(f)
	}
	l.pending = nil
	l.mu.Unlock()
	for range l.posted {
		l.queueMu.Lock()
		run := l.queue
		l.queue = nil
		l.queueMu.Unlock()
		l.mu.Lock()
		began := clock()
		l.stats.polls.Add(1)
		for _, f := range run {
			l.opts.contain(f)
		}
		l.stats.turn(clock() - began)
		end := l.stopping && l.live == 0
		l.mu.Unlock()
		if end {
			l.queueMu.Lock()
			l.refuse = true
			l.queueMu.Unlock()
			return
		}
	}
}

// Post runs f on the loop, in order, between coroutines; f must not wait. Safe for concurrent use. It reports false, and f
// never runs, when the loop has ended.
func (l *Loop) Post(f func()) bool {
	l.queueMu.Lock()
	defer l.queueMu.Unlock()
	if l.refuse {
		return false
	}
	l.queue = append(l.queue, f)
	select {
	case l.posted <- struct{}{}:
	default:
	}
	return true
}

// AtTurnEnd calls f.Flush once every coroutine of this turn has run: what many of them write to one connection goes out in one
// system call. On the loop only; each call of it is answered by one of Flush.
func (l *Loop) AtTurnEnd(f Flusher) { l.Post(func() { l.opts.flush(f) }) }

// Stop ends the loop: listeners close, every waiting call answers ErrStopped, and Run returns once all coroutines have
// ended. Safe for concurrent use and for more than one call.
func (l *Loop) Stop() {
	l.Post(func() {
		l.stopping = true
		for c := range l.conns {
			c.abort()
		}
		for ln := range l.lns {
			ln.Close()
		}
		for t := range l.parked {
			t.poke()
		}
	})
}

// Done is closed when Run has returned. Safe for concurrent use.
func (l *Loop) Done() <-chan struct{} { return l.done }

// Go starts a coroutine that runs f; it begins in the loop's next turn. On the loop only, or before Run.
func (l *Loop) Go(f func()) {
	if !l.started {
		l.mu.Lock()
		defer l.mu.Unlock()
		if !l.started {
			l.live++
			l.pending = append(l.pending, f)
			return
		}
	}
	l.live++
	l.start(f)
}

func (l *Loop) start(f func()) {
	t := &Task{l: l, wakeup: make(chan struct{}, 1)}
	go func() {
		l.mu.Lock()
		l.cur = t
		defer func() {
			l.live--
			l.cur = nil
			end := l.stopping && l.live == 0
			l.mu.Unlock()
			if end {
				l.Post(func() {})
			}
		}()
		l.opts.contain(f)
	}()
}

// block runs f, which may wait, with the loop given to others.
func (l *Loop) block(f func()) {
	t := l.cur
	if t == nil {
		panic("loop: a waiting call outside a coroutine")
	}
	l.cur = nil
	l.mu.Unlock()
	f()
	l.mu.Lock()
	l.cur = t
}

// Share does nothing in this implementation.
func (l *Loop) Share(int) {}

// Index answers Options.Index. Safe for concurrent use.
func (l *Loop) Index() int { return l.opts.Index }

// Now answers the loop's clock: monotonic nanoseconds.
func (l *Loop) Now() int64 { return clock() }

// Current answers the running coroutine.
func (l *Loop) Current() *Task { return l.cur }

// Live answers how many coroutines have not ended.
func (l *Loop) Live() int { return l.live }

// Stopping reports whether Stop was called.
func (l *Loop) Stopping() bool { return l.stopping }

// Charge counts work that takes as long as moving n bytes does: here the scheduler divides the time.
func (l *Loop) Charge(int) {}

// Trim ends the coroutines that are kept for reuse: here none are.
func (l *Loop) Trim() {}

// Yield lets every other ready coroutine run once.
func (l *Loop) Yield() { l.block(func() {}) }

// Behind lets every other coroutine that can run now do so first.
func (l *Loop) Behind() { l.Yield() }

// Sleep waits for d; it answers ErrStopped when the loop is stopped meanwhile.
func (l *Loop) Sleep(d time.Duration) error {
	deadline := clock() + int64(d)
	for !l.stopping && clock() < deadline {
		l.Park(deadline)
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
	l.parked[t] = struct{}{}
	t.parked = true
	l.block(func() {
		if deadline == Never {
			<-t.wakeup
			return
		}
		timer := time.NewTimer(time.Duration(deadline - clock()))
		defer timer.Stop()
		select {
		case <-t.wakeup:
		case <-timer.C:
		}
	})
	t.parked = false
	delete(l.parked, t)
	select {
	case <-t.wakeup:
	default:
	}
}

func (t *Task) poke() {
	select {
	case t.wakeup <- struct{}{}:
	default:
	}
}

// Wake ends t's Park; it does nothing when t does not wait there. On the loop only.
func (t *Task) Wake() {
	if t.parked {
		t.poke()
	}
}
