//go:build linux && !netloop && !race

package loop

// GoWhenReadable is Go once there is something to read of c (bytes, FIN, reset), c was closed here, or the loop stops. Until then c alone is
// held: a connection that nobody uses has no coroutine, whose stack would be most of what it costs. As with Readable, f may find nothing.
// One at a time waits for a connection, and nobody else reads it meanwhile.
func (l *Loop) GoWhenReadable(c *Conn, f func()) {
	if c.readable || c.closed || l.stopping {
		l.Go(f)
		return
	}
	c.later = f
}

func (c *Conn) goLater() {
	if f := c.later; f != nil {
		c.later = nil
		c.l.Go(f)
	}
}
