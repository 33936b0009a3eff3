package h1

import (
	"errors"
	"io"

	"github.com/sluice-mesh/sluice/sidecar/loop"
)

// spliceFrom is how many bytes of one body must still come for splice to be cheaper than copying.
const spliceFrom = 256 << 10

// pump is a coroutine that moves a request's body upstream while the answer may already come back. There is one only when the
// body was not read whole together with its head.
type pump struct {
	running  bool
	consumed bool // bytes were taken that are not in the downstream buffer any more
	done     bool // the request went out whole
	cancel   bool
	err      error
	side     Side
}

// startPump sends the request from its head on in a coroutine of its own and wakes the calling one at its end.
func (x *Exchange) startPump(up *Upstream) {
	l := x.d.Conn.Loop()
	main := l.Current()
	x.pump = pump{running: true, consumed: x.pump.consumed}
	l.Go(func() {
		side, err := SideDownstream, errPumpPanicked // what is left of a panic
		defer func() {
			x.pump.side, x.pump.err, x.pump.done = side, err, err == nil
			up.whole = err == nil
			x.pump.running = false
			main.Wake()
		}()
		side, err = x.moveRequest(up)
	})
}

var (
	errPumpPanicked  = errors.New("internal error while the request's body was sent")
	errPumpCancelled = errors.New("request's body not wanted any more")
	errCutShort      = errors.New("request cut short by the client's FIN")
)

// cancelPump ends the pump without taking more from the client, and waits for it.
func (x *Exchange) cancelPump(up *Upstream) {
	if !x.pump.running {
		return
	}
	l := x.d.Conn.Loop()
	x.pump.cancel = true
	x.d.Conn.SetReadDeadline(l.Now())
	up.Conn.SetWriteDeadline(l.Now())
	l.Wait(loop.Never, nil, nil, func() bool { return !x.pump.running })
	x.d.Conn.SetReadDeadline(loop.Never)
	up.Conn.SetWriteDeadline(loop.Never)
}

func (x *Exchange) moveRequest(up *Upstream) (Side, error) {
	if err := x.sendTaken(up); err != nil {
		return SideUpstream, err
	}
	l, d := x.d.Conn.Loop(), x.d.Conn
	rest, chunks := x.rest, x.chunks // copies: another attempt begins where this one did
	for x.Request.Body == Chunked && !chunks.Done() || x.Request.Body == Length && rest > 0 {
		// While nothing comes no buffer is held.
		if err := l.Wait(loop.Never, d, nil, func() bool { return d.Readable() || x.pump.cancel }); err != nil {
			return SideDownstream, err
		}
		if x.pump.cancel {
			return SideDownstream, errPumpCancelled
		}
		large := rest
		if x.Request.Body == Chunked {
			large = chunks.Remaining()
		}
		var side Side
		var err error
		if large < spliceFrom {
			side, err = x.moveSome(up, &rest, &chunks)
		} else {
			side, err = x.spliceSome(up, large, &rest, &chunks)
		}
		if err == io.EOF && side == SideDownstream {
			// What the server makes of half a request is the server's affair, as it would be without us.
			x.d.halfClosed = true
			x.tell(up)
			return SideNone, errCutShort
		}
		if err != nil {
			return side, err
		}
	}
	return SideNone, nil
}

// spliceSome moves what is there of the next large bytes, all of them body.
func (x *Exchange) spliceSome(up *Upstream, large int64, rest *int64, chunks *Chunks) (Side, error) {
	x.pump.consumed = true
	n, srcErr, err := x.d.Conn.Loop().Splice(up.Conn, x.d.Conn, large)
	if x.Request.Body == Chunked {
		chunks.Skip(n)
	} else {
		*rest -= n
	}
	if srcErr {
		return SideDownstream, err
	}
	return SideUpstream, err
}

// moveSome moves what one read answers.
func (x *Exchange) moveSome(up *Upstream, rest *int64, chunks *Chunks) (Side, error) {
	l := x.d.Conn.Loop()
	buf := l.Buffer(loop.Large)
	defer func() { l.Release(buf) }()
	n, err := x.d.Conn.TryRead(buf)
	if n == 0 {
		return SideDownstream, err
	}
	x.pump.consumed = true
	body, done := n, false
	if x.Request.Body == Chunked {
		if body, done, err = chunks.Scan(buf[:n]); err != nil {
			return SideDownstream, err
		}
	} else {
		body = int(min(int64(n), *rest))
		*rest -= int64(body)
		done = *rest == 0
	}
	_, err = up.Conn.Write(buf[:body])
	if done && body < n {
		x.next = readAhead{buf, body, n}
		buf = nil
	}
	return SideUpstream, err
}

// sendTaken sends the head, edited for the upstream connection, and the body bytes that were read with it.
func (x *Exchange) sendTaken(up *Upstream) error {
	var segs [][]byte
	if x.d.bound != nil {
		segs, _ = x.Request.AppendBound(x.segments[:0], x.scratch[:0])
	} else {
		segs, _ = x.Request.AppendUpstream(x.segments[:0], x.scratch[:0])
	}
	ahead := x.d.Buffered()
	if len(segs) == 1 && len(segs[0]) == len(x.Request.Head) {
		// Nothing is changed, and the body follows the head where they are.
		_, err := up.Conn.Write(ahead[x.headLen-len(x.Request.Head) : x.taken])
		return err
	}
	if x.taken > x.headLen {
		segs = append(segs, ahead[x.headLen:x.taken])
	}
	_, err := up.Conn.Writev(segs...)
	return err
}
