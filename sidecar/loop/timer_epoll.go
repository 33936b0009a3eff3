//go:build linux && !netloop && !race

package loop

// timer is one coroutine's deadline in its loop's heap. It is embedded in the Task, so that waiting allocates nothing.
type timer struct {
	when  int64
	index int // place in the heap plus one; 0 is not in it
	task  *Task
}

// timers is a binary heap ordered by when.
type timers []*timer

func (h *timers) add(t *timer, when int64) {
	t.when = when
	*h = append(*h, t)
	h.up(len(*h) - 1)
}

func (h *timers) remove(t *timer) {
	if t.index == 0 {
		return
	}
	s := *h
	i, last := t.index-1, len(s)-1
	t.index = 0
	if i != last {
		s[i] = s[last]
		s[i].index = i + 1
	}
	s[last] = nil
	*h = s[:last]
	if i != last {
		h.down(i)
		h.up(i)
	}
}

// next answers the earliest deadline, or Never.
func (h timers) next() int64 {
	if len(h) == 0 {
		return Never
	}
	return h[0].when
}

func (h timers) up(i int) {
	t := h[i]
	for i > 0 {
		p := (i - 1) / 2
		if h[p].when <= t.when {
			break
		}
		h[i] = h[p]
		h[i].index = i + 1
		i = p
	}
	h[i] = t
	t.index = i + 1
}

func (h timers) down(i int) {
	t := h[i]
	for {
		c := 2*i + 1
		if c >= len(h) {
			break
		}
		if c+1 < len(h) && h[c+1].when < h[c].when {
			c++
		}
		if t.when <= h[c].when {
			break
		}
		h[i] = h[c]
		h[i].index = i + 1
		i = c
	}
	h[i] = t
	t.index = i + 1
}
