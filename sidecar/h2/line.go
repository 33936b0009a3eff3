package h2

// waiting is the line of pipes that have something to send on a connection and wait for its window or its socket.
type waiting struct {
	first, last *pipe
	serving     *pipe
}

func (w *waiting) join(p *pipe) {
	if p.inLine {
		return
	}
	p.inLine, p.next = true, nil
	if w.last == nil {
		w.first = p
	} else {
		w.last.next = p
	}
	w.last = p
}

func (w *waiting) take() *pipe {
	p := w.first
	if w.first = p.next; w.first == nil {
		w.last = nil
	}
	p.inLine, p.next = false, nil
	return p
}

// leave takes a pipe out of the line.
func (w *waiting) leave(p *pipe) {
	if !p.inLine {
		return
	}
	for at, before := w.first, (*pipe)(nil); at != nil; before, at = at, at.next {
		if at != p {
			continue
		}
		if before == nil {
			w.first = p.next
		} else {
			before.next = p.next
		}
		if w.last == p {
			w.last = before
		}
		p.inLine, p.next = false, nil
		return
	}
}

// unblock lets the pipes in line go on, each in its turn.
func (c *conn) unblock() {
	for c.blocked.first != nil && c.window > 0 && c.spare() > 0 && !c.closed {
		p := c.blocked.take()
		c.blocked.serving = p
		p.pump()
		c.blocked.serving = nil
	}
}
