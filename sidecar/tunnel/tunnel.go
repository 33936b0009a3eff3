// Package tunnel moves opaque bytes both ways between two connections: half-close is passed on as half-close, a reset as a
// reset, and large flows go through the kernel by splice.
package tunnel

import (
	"io"

	"github.com/sluice-mesh/sluice/sidecar/loop"
)

// spliceAfter is how many full reads in a row make a flow large enough for splice. Short messages are cheaper copied.
const spliceAfter = 4

// Stats are what a tunnel moved.
type Stats struct {
	Up, Down int64 // bytes from a to b, and from b to a
}

// Run moves bytes between a and b until both directions have ended, and closes both. ab and ba were read ahead from a and from b
// and go first. It runs on the connections' loop, in a coroutine, and uses a second one for the way back.
func Run(a, b *loop.Conn, ab, ba []byte) Stats {
	l := a.Loop()
	self := l.Current()
	var s Stats
	back := true
	l.Go(func() {
		defer func() {
			back = false
			self.Wake()
		}()
		s.Down = move(a, b, ba)
	})
	s.Up = move(b, a, ab)
	for back && !l.Stopping() {
		l.Park(loop.Never)
	}
	a.Close()
	b.Close()
	// The other direction may still be in a call on a connection that was just closed.
	l.Wait(loop.Never, nil, nil, func() bool { return !back })
	return s
}

// move moves src to dst until src's end, which it passes on. A failure of either resets both: neither side may take what it got
// for the whole.
func move(dst, src *loop.Conn, ahead []byte) (moved int64) {
	n, err := flow(dst, src, ahead)
	if err == io.EOF {
		err = dst.CloseWrite()
	}
	if err != nil {
		src.Reset()
		dst.Reset()
	}
	return n
}

func flow(dst, src *loop.Conn, ahead []byte) (moved int64, err error) {
	if len(ahead) > 0 {
		n, err := dst.Write(ahead)
		moved += int64(n)
		if err != nil {
			return moved, err
		}
	}
	l := src.Loop()
	for full := 0; ; {
		if full >= spliceAfter {
			n, _, err := l.Splice(dst, src, -1)
			return moved + n, err
		}
		// While nothing comes no buffer is held.
		if err := l.Wait(loop.Never, src, nil, src.Readable); err != nil {
			return moved, err
		}
		n, filled, err := once(dst, src)
		moved += int64(n)
		if err != nil {
			return moved, err
		}
		if full++; !filled {
			full = 0
		}
	}
}

func once(dst, src *loop.Conn) (n int, filled bool, err error) {
	l := src.Loop()
	buf := l.Buffer(loop.Medium)
	defer l.Release(buf)
	n, err = src.Read(buf)
	if err != nil {
		return 0, false, err
	}
	filled = n == len(buf)
	n, err = dst.Write(buf[:n])
	return n, filled, err
}
