package proxy

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/sluice-mesh/sluice/sidecar/loop"
)

// queue is the requests to one Service port that wait, on any loop of the process, until an endpoint is below its limit, in the order in
// which they came. Only those who wait take its lock, and those who make room while others wait.
type queue struct {
	n       atomic.Int64 // of waiting: who makes room sees by it that nobody waits
	open    atomic.Int64 // of those, who are not choosy: a request that comes waits behind them
	mu      sync.Mutex
	waiting []*waiter // guarded by mu
}

// waiter is a request that waits.
type waiter struct {
	l *loop.Loop
	// choosy says that there may be room where it does not go: it has an owner, or was at endpoints already. So nobody else waits behind it.
	choosy bool

	// Guarded by the queue's mu:
	called bool // there may be room, and it is to look, or to call the one behind
	leads  bool // it came when only choosy ones waited, and has not looked yet

	// The loop's:
	task  *loop.Task
	ready bool // it was called and has not looked yet
}

// join gets in line unless most others wait already; it answers how many do.
func (k *queue) join(v *waiter, most int) (others int, joined bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if others = len(k.waiting); others >= most {
		return others, false
	}
	k.waiting = append(k.waiting, v)
	// Who joins is counted before it looks once more, and who makes room does so before it looks at the count: one sees the other.
	k.n.Add(1)
	if !v.choosy {
		v.leads = k.open.Add(1) == 1
	}
	return others, true
}

// leave ends a wait. Who has found room, or was called in vain, calls the next: there may be room for more than one.
func (k *queue) leave(v *waiter, found bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	i := slices.Index(k.waiting, v)
	if i < 0 {
		return
	}
	k.waiting = slices.Delete(k.waiting, i, i+1)
	k.n.Add(-1)
	if !v.choosy {
		k.open.Add(-1)
	}
	if found || v.called {
		k.call(0, v.l)
	}
}

// look takes v's call, if it was called, and reports whether it is its turn to look for room. That is once also where only choosy ones wait before
// it: room that came just before it joined may be none for them, and who was called for it could not call v yet.
func (k *queue) look(v *waiter) (turn, called bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	called, v.called = v.called, false
	turn, v.leads = called || v.leads || k.waiting[0] == v, false
	return turn, called
}

// pass calls the one behind v, which was called and may not go where there is room.
func (k *queue) pass(v *waiter) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.call(slices.Index(k.waiting, v)+1, v.l)
}

// free calls the one that has waited longest. On loop l, once there is room.
func (k *queue) free(l *loop.Loop) {
	if k.n.Load() == 0 {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.call(0, l)
}

// call calls the first from place i on whose loop has not ended, unless it is on its way to look already. On loop l, with mu held.
func (k *queue) call(i int, l *loop.Loop) {
	for ; i < len(k.waiting); i++ {
		v := k.waiting[i]
		if v.called {
			return // it looks yet, and calls the next
		}
		if v.called = v.l == l || v.l.Post(v.wake); v.called {
			if v.l == l {
				v.wake()
			}
			return
		}
	}
}

// wake wakes a waiter on its loop.
func (v *waiter) wake() {
	v.ready = true
	if v.task != nil { // a stream's coroutine may not have begun
		v.task.Wake()
	}
}
