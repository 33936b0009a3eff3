//go:build linux && !netloop && !race

package loop

// heavyFrom is how many bytes a coroutine has moved in its last run for the others to go first in its next one.
const heavyFrom = 128 << 10

// heavy holds the coroutines that can run and have moved much when they ran last. They have a queue of their own, so that hundreds of large
// bodies that can go on at the same moment are not in the way of a request: in each turn they move as much as all others together, and a
// quantum in any case.
type heavy struct {
	first, last *Task // linked by nextHeavy
	moved       int   // bytes, by everybody since the turn began
}

func (h *heavy) any() bool { return h.first != nil }

func (h *heavy) add(t *Task) {
	if h.last != nil {
		h.last.nextHeavy = t
	} else {
		h.first = t
	}
	h.last = t
}

func (h *heavy) take() *Task {
	t := h.first
	h.first, t.nextHeavy = t.nextHeavy, nil
	if h.first == nil {
		h.last = nil
	}
	return t
}

// runHeavy ends a turn: it resumes those up to last, which could run when the turn began to.
func (l *Loop) runHeavy(last *Task) {
	share := max(l.heavy.moved, quantum)
	l.heavy.moved = 0
	for last != nil && l.heavy.moved < share {
		t := l.heavy.take()
		l.resume(t)
		if t == last {
			break
		}
	}
	l.heavy.moved = 0
}
