// Package tunnel moves opaque bytes both ways between two connections: half-close is passed on as half-close, a reset as a
// reset, and large flows go through the kernel by splice.
package tunnel

import (
	"errors"
	"io"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/loop"
)

const (
	// spliceAfter is how many full reads in a row make a flow large enough for splice. Short messages are cheaper copied.
	spliceAfter = 4
	// lastWords is how long what a broken connection had sent before may take to reach the other side.
	lastWords = time.Second
)

// Stats are what a tunnel moved.
type Stats struct {
	Up, Down int64 // bytes from a to b, and from b to a
}

// Ahead is what was read ahead of a connection; Drop gives the buffer back.
type Ahead interface {
	Buffered() []byte
	Drop()
}

// Run moves bytes between a and b until both directions have ended, and closes both. ab and ba were read ahead from a and from b
// and go first; nil is nothing. It runs on the connections' loop, in a coroutine, and uses a second one for the way back.
func Run(a, b *loop.Conn, ab, ba Ahead) Stats {
	return RunAfter(func() error { return nil }, a, b, ab, ba)
}

// RunAfter is Run with something to do before bytes go from a to b. It may wait, while bytes go the other way already. With io.EOF
// it says that a's end was passed on already; when it fails otherwise both connections are reset.
func RunAfter(first func() error, a, b *loop.Conn, ab, ba Ahead) Stats {
	l := a.Loop()
	t := &tunnel{a: a, b: b, running: 2}
	self := l.Current()
	var s Stats
	l.Go(func() {
		ended := false
		defer func() {
			if !ended {
				t.reset() // a panic passes through here
			}
			t.running--
			self.Wake()
		}()
		s.Down = t.move(a, b, ba)
		ended = true
	})
	switch err := first(); err {
	case nil:
		s.Up = t.move(b, a, ab)
	case io.EOF:
	default:
		t.reset()
	}
	t.running--
	l.Wait(loop.Never, nil, nil, func() bool { return t.running == 0 })
	a.Close()
	b.Close()
	return s
}

type tunnel struct {
	a, b    *loop.Conn
	running int // directions
	// cut says that bytes of one direction were lost, so that the end of the other is no orderly one either.
	cut bool
}

func (t *tunnel) reset() {
	t.a.Reset()
	t.b.Reset()
}

var errGone = errors.New("the receiving connection is gone")

// move moves src to dst until src's end, which it passes on. A failure of either resets both: neither side may take what it got
// for the whole.
func (t *tunnel) move(dst, src *loop.Conn, ahead Ahead) (moved int64) {
	moved, srcErr, err := flow(dst, src, ahead)
	switch {
	case err == io.EOF && !t.cut && dst.CloseWrite() == nil:
	case !srcErr && t.running > 1:
		// What dst had sent before it broke is still read by the other direction, which then ends both.
		t.cut = true
		src.SetWriteDeadline(src.Loop().Now() + int64(lastWords))
	default:
		t.reset()
	}
	return moved
}

// flow moves src to dst until one of them ends; srcErr says that it was src.
func flow(dst, src *loop.Conn, ahead Ahead) (moved int64, srcErr bool, err error) {
	if ahead != nil && len(ahead.Buffered()) > 0 {
		n, err := dst.Write(ahead.Buffered())
		ahead.Drop()
		moved += int64(n)
		if err != nil {
			return moved, false, err
		}
	}
	l := src.Loop()
	for full := 0; ; {
		// While nothing comes no buffer is held.
		if err := l.Wait(loop.Never, src, dst, func() bool { return src.Readable() || dst.PeerGone() }); err != nil {
			return moved, true, err
		}
		if dst.PeerGone() {
			return moved, false, errGone
		}
		var n int64
		var err error
		if full < spliceAfter {
			n, srcErr, err = once(dst, src)
		} else {
			n, srcErr, err = l.Splice(dst, src, -1)
		}
		moved += n
		if err != nil {
			return moved, srcErr, err
		}
		if full++; n < loop.Medium {
			full = 0
		}
	}
}

func once(dst, src *loop.Conn) (moved int64, srcErr bool, err error) {
	l := src.Loop()
	buf := l.Buffer(loop.Medium)
	defer l.Release(buf)
	n, err := src.TryRead(buf)
	if n == 0 {
		return 0, true, err
	}
	n, err = dst.Write(buf[:n])
	return int64(n), false, err
}
