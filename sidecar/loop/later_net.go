//go:build !linux || netloop || race

package loop

// GoWhenReadable is Go once there is something to read of c (bytes, FIN, reset), c was closed here, or the loop stops. In this implementation
// a coroutine waits for that. One at a time waits for a connection, and nobody else reads it meanwhile.
func (l *Loop) GoWhenReadable(c *Conn, f func()) {
	l.Go(func() {
		l.Wait(Never, c, nil, c.Readable)
		f()
	})
}
