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
	consumed bool // bytes of the body were taken that are nowhere in memory any more
	done     bool // the request went out whole
	cancel   bool
	waits    bool // for the client
	err      error
	side     Side
}

// startPump sends the request from its head on in a coroutine of its own and wakes the calling one at its end.
func (x *Exchange) startPump(up *Upstream) {
	l := x.d.Conn.Loop()
	main, out := l.Current(), &x.d.space.pumped
	x.pump = pump{running: true, consumed: x.pump.consumed}
	l.Go(func() {
		side, err := SideDownstream, errPumpPanicked // what is left of a panic
		defer func() {
			x.pump.side, x.pump.err, x.pump.done = side, err, err == nil
			up.whole = err == nil
			x.pump.running = false
			if x.settled {
				x.forget() // the loop stops, and nobody waited
			}
			main.Wake()
		}()
		side, err = x.moveRequest(up, out)
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

func (x *Exchange) moveRequest(up *Upstream, out *outgoing) (Side, error) {
	if err := x.sendTaken(up, out); err != nil {
		return SideUpstream, err
	}
	l, d := x.d.Conn.Loop(), x.d.Conn
	for x.Request.Body == Chunked && !x.chunks.Done() || x.Request.Body == Length && x.rest > 0 {
		// While nothing comes no buffer is held.
		x.pump.waits = true
		err := l.Wait(loop.Never, d, nil, func() bool { return d.Readable() || x.pump.cancel })
		x.pump.waits = false
		if err != nil {
			return SideDownstream, err
		}
		if x.pump.cancel {
			return SideDownstream, errPumpCancelled
		}
		large := x.rest
		if x.Request.Body == Chunked {
			large = x.chunks.Remaining()
		}
		var side Side
		if large < spliceFrom {
			side, err = x.moveSome(up)
		} else {
			side, err = x.spliceSome(up, large)
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
func (x *Exchange) spliceSome(up *Upstream, large int64) (Side, error) {
	x.consume()
	n, srcErr, err := x.d.Conn.Loop().Splice(up.Conn, x.d.Conn, large)
	if x.Request.Body == Chunked {
		x.chunks.Skip(n)
	} else {
		x.rest -= n
	}
	if srcErr {
		return SideDownstream, err
	}
	return SideUpstream, err
}

// moveSome moves what one read answers, through the bytes that are kept or through a buffer of its own.
func (x *Exchange) moveSome(up *Upstream) (Side, error) {
	l := x.d.Conn.Loop()
	buf := x.room()
	keep := buf != nil
	if !keep {
		own := l.Buffer(loop.Large)
		defer l.Release(own)
		buf = own
	}
	n, err := x.d.Conn.TryRead(buf)
	if n == 0 {
		return SideDownstream, err
	}
	if !keep {
		x.consume()
	}
	body, err := x.account(buf[:n])
	if err != nil {
		return SideDownstream, err
	}
	if keep {
		x.replay.n += body
	}
	_, err = up.Conn.Write(buf[:body])
	return SideUpstream, err
}

// sendTaken sends what is there of the request: the head, edited for the upstream connection, the body bytes that were read with it
// and those that were kept. It uses out, which nobody else may meanwhile.
func (x *Exchange) sendTaken(up *Upstream, out *outgoing) error {
	segs, scratch := out.segments[:0], out.scratch[:0]
	if x.d.bound != nil {
		segs, _ = x.Request.AppendBound(segs, scratch)
	} else {
		segs, _ = x.Request.appendUpstream(segs, scratch, up.Extra)
	}
	ahead := x.d.Buffered()
	if len(segs) == 1 && len(segs[0]) == len(x.Request.Head) {
		// Nothing is changed, and the body follows the head where they are.
		segs[0] = ahead[x.headLen-len(x.Request.Head) : x.taken]
		if x.replay.n == 0 {
			_, err := up.Conn.Write(segs[0])
			return err
		}
	} else if x.taken > x.headLen {
		segs = append(segs, ahead[x.headLen:x.taken])
	}
	if x.replay.n > 0 {
		segs = append(segs, x.replay.buf[:x.replay.n])
	}
	_, err := up.Conn.Writev(segs...)
	return err
}
