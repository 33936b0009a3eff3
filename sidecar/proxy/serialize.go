package proxy

import (
	"sync"

	"github.com/sluice-mesh/sluice/sidecar/loop"
)

// turns lets the requests of one key go one at a time (sluice.mesh/shard-serialize), over all loops of the process. Requests of Services
// that ask for turns take its lock, and no others. A Service has one for all its ports: what a key stands for in a
// pod is the same behind each. Keys with one hash go one at a time like one key, which does no harm.
type turns struct {
	mu    sync.Mutex
	lines map[uint64]*ticket // whose turn it is, by the key's hash
}

// ticket is a request's place in the line of its key.
type ticket struct {
	turns *turns
	hash  uint64
	l     *loop.Loop
	// Guarded by turns.mu:
	next *ticket // behind this one
	last *ticket // of the one whose turn it is: the end of the line
	// waiting counts the tickets of the same port that wait for their turn.
	waiting *int
	gone    bool // it left the line
	// Of the one whose turn it is: stalled says that it waits for the owner of the key, and away when somebody in its place did last; 0 never.
	stalled bool
	away    int64

	// The loop's:
	called bool // its turn has come while it waited
	task   *loop.Task
}

// take gets in line. It answers nil when most others wait already, by waiting, where those of the request's port are counted, and else a ticket and
// whether its turn has come.
func (t *turns) take(l *loop.Loop, hash uint64, waiting *int, most int) (_ *ticket, now bool) {
	k := &ticket{turns: t, hash: hash, l: l, waiting: waiting}
	t.mu.Lock()
	defer t.mu.Unlock()
	first := t.lines[hash]
	if first == nil {
		k.last = k
		t.lines[hash] = k
		return k, true
	}
	if *waiting >= most {
		return nil, false
	}
	*waiting++
	first.last.next, first.last = k, k
	return k, false
}

// done ends a turn, or a wait for one. On the ticket's loop.
func (k *ticket) done() {
	t := k.turns
	t.mu.Lock()
	defer t.mu.Unlock()
	if first := t.lines[k.hash]; first != k {
		k.leave(first)
		return
	}
	t.after(k)
}

// after gives the turn to the ticket behind k. Its loop may have ended.
func (t *turns) after(k *ticket) {
	for {
		n := k.next
		if n == nil {
			delete(t.lines, k.hash)
			return
		}
		*n.waiting--
		n.last, n.away = k.last, k.lately()
		t.lines[k.hash] = n
		if n.l.Post(n.call) {
			return
		}
		k = n
	}
}

// stall notes whether a request waits for the owner of its key, where it is its turn.
func (k *ticket) stall(on bool) {
	t := k.turns
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.lines[k.hash] == k {
		k.away, k.stalled = k.lately(), on
	}
}

// lately answers when the owner was last waited for in k's place. With turns.mu held.
func (k *ticket) lately() int64 {
	if k.stalled {
		return loop.Clock()
	}
	return k.away
}

// ownerAway answers when one whose turn it was last waited for the owner of the key, on the loops' clock; 0 is never.
func (k *ticket) ownerAway() int64 {
	t := k.turns
	t.mu.Lock()
	defer t.mu.Unlock()
	if first := t.lines[k.hash]; first != nil { // none is left of a loop that ends
		return first.lately()
	}
	return 0
}

func (k *ticket) call() {
	k.called = true
	if k.task != nil {
		k.task.Wake()
	}
}

// leave takes a ticket out of the line behind first.
func (k *ticket) leave(first *ticket) {
	if first == nil || k.gone {
		return
	}
	for before := first; before.next != nil; before = before.next {
		if before.next != k {
			continue
		}
		before.next = k.next
		if first.last == k {
			first.last = before
		}
		*k.waiting--
		k.gone = true
		return
	}
}
