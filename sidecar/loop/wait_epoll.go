//go:build linux && !netloop && !race

package loop

// Wait parks until cond holds, the deadline passes (ErrTimeout) or the loop stops (ErrStopped). cond is asked again after each
// event on r (readable, FIN, reset) and on h (FIN, reset; either may be nil), and after Wake. A coroutine may read r and
// another h meanwhile.
func (l *Loop) Wait(deadline int64, r, h *Conn, cond func() bool) error {
	for {
		if l.stopping {
			return ErrStopped
		}
		if cond() {
			return nil
		}
		if deadline != Never && deadline <= l.now {
			return ErrTimeout
		}
		if r != nil {
			if r.closed {
				return ErrClosed
			}
			r.reader = l.cur
		}
		if h != nil {
			h.watcher = l.cur
		}
		l.Park(deadline)
		if r != nil {
			r.reader = nil
		}
		if h != nil {
			h.watcher = nil
		}
	}
}
