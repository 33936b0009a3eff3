//go:build linux && !netloop && !race

package loop

// WaitEither is Wait for one of two connections: cond is asked again after each event on a or on b (readable, FIN, reset), and
// after Wake. No other coroutine may read either meanwhile.
func (l *Loop) WaitEither(deadline int64, a, b *Conn, cond func() bool) error {
	for {
		switch {
		case l.stopping:
			return ErrStopped
		case cond():
			return nil
		case deadline != Never && deadline <= l.now:
			return ErrTimeout
		case a.closed || b.closed:
			return ErrClosed
		}
		a.reader, b.reader = l.cur, l.cur
		l.Park(deadline)
		a.reader, b.reader = nil, nil
	}
}
