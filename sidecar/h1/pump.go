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
		defer func() {
			x.pump.running = false
			main.Wake()
		}()
		x.pump.side, x.pump.err = SideUpstream, errPumpPanicked
		x.pump.side, x.pump.err = x.moveRequest(up)
		x.pump.done = x.pump.err == nil
	})
}

var (
	errPumpPanicked  = errors.New("internal error while the request's body was sent")
	errPumpCancelled = errors.New("request's body not wanted any more")
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
	l := x.d.Conn.Loop()
	rest, chunks := x.rest, x.chunks // copies: another attempt begins where this one did
	for x.Request.Body == Chunked && !chunks.Done() || x.Request.Body == Length && rest > 0 {
		err := l.Wait(loop.Never, x.d.Conn, nil, func() bool { return x.d.Conn.Readable() || x.pump.cancel })
		if err != nil {
			return SideDownstream, err
		}
		if x.pump.cancel {
			return SideDownstream, errPumpCancelled
		}
		large := rest
		if x.Request.Body == Chunked {
			large = chunks.Remaining()
		}
		if large >= spliceFrom {
			x.pump.consumed = true
			n, srcErr, err := l.Splice(up.Conn, x.d.Conn, large)
			switch {
			case err != nil && srcErr:
				return SideDownstream, goneIfEOF(err)
			case err != nil:
				return SideUpstream, err
			}
			if x.Request.Body == Chunked {
				chunks.Skip(n)
			} else {
				rest -= n
			}
			continue
		}
		if side, err := x.moveSome(up, &rest, &chunks); err != nil {
			return side, err
		}
	}
	return SideNone, nil
}

// moveSome moves what one read answers.
func (x *Exchange) moveSome(up *Upstream, rest *int64, chunks *Chunks) (Side, error) {
	l := x.d.Conn.Loop()
	buf := l.Buffer(loop.Large)
	defer func() { l.Release(buf) }()
	p := buf
	if x.Request.Body == Length && int64(len(p)) > *rest {
		p = p[:*rest]
	}
	n, err := x.d.Conn.Read(p)
	if err != nil {
		return SideDownstream, goneIfEOF(err)
	}
	x.pump.consumed = true
	body := n
	if x.Request.Body == Chunked {
		var done bool
		if body, done, err = chunks.Scan(p[:n]); err != nil {
			return SideDownstream, err
		}
		if done && body < n {
			defer func(r int) {
				x.next = readAhead{buf, r, n}
				buf = nil
			}(body)
		}
	} else {
		*rest -= int64(n)
	}
	if _, err := up.Conn.Write(p[:body]); err != nil {
		return SideUpstream, err
	}
	return SideNone, nil
}

// sendTaken sends the head, edited for the upstream connection, and the body bytes that were read with it.
func (x *Exchange) sendTaken(up *Upstream) error {
	segs, _ := x.Request.AppendUpstream(x.segments[:0], x.scratch[:0])
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

func goneIfEOF(err error) error {
	if err == io.EOF {
		return errClientGone
	}
	return err
}
