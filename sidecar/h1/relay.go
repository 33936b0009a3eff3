package h1

import (
	"errors"
	"io"

	"github.com/sluice-mesh/sluice/sidecar/loop"
)

// Send sends the request to up and waits for the head of its final answer, as Start and Await do.
func (x *Exchange) Send(up *Upstream) Result {
	if r := x.Start(up); r.Err != nil {
		return r
	}
	return x.Await(up, loop.Never, nil)
}

// Start sends the request to up, or begins to.
func (x *Exchange) Start(up *Upstream) Result {
	up.begin()
	up.response.exact = x.d.bound != nil
	x.finSeen, x.told = false, false
	if x.InMemory() {
		// A bound connection's endpoint may have answered before it closed.
		if err := x.sendTaken(up, &x.out); err != nil && x.d.bound == nil {
			return x.fail(up, SideUpstream, err)
		}
		up.whole = true
		if !x.whole {
			x.pump = pump{done: true}
		}
		if x.d.halfClosed && len(x.d.Buffered()) == x.taken && x.next.buf == nil {
			x.tell(up)
		}
	} else {
		x.startPump(up)
	}
	return Result{}
}

// Await waits for the head of the final answer of up; interim answers are passed on as they come. A result without an error is
// followed by Forward on the same upstream. It gives up with ErrLate at the time until, and with ErrOvertaken once *cut is true and
// the coroutine was woken; nothing has ended then, and Await may be called again, or Leave. A nil cut is none.
func (x *Exchange) Await(up *Upstream, until int64, cut *bool) Result {
	x.until, x.cut = until, cut
	for {
		n, side, err := x.awaitHead(up)
		if err == nil && x.opens(&up.response) {
			return Result{Status: up.response.Status, Tunnel: true}
		}
		if err == nil {
			side = SideUpstream
			_, err = up.response.Tunnel(x.Request)
		}
		if err != nil {
			if x.handsOver(side, err) {
				return Result{Tunnel: true}
			}
			if err == ErrLate || err == ErrOvertaken {
				return Result{Err: err}
			}
			x.cancelPump(up)
			return x.fail(up, side, err)
		}
		if !up.response.Interim() {
			up.answerHead = n
			return Result{Status: up.response.Status}
		}
		// RFC 9110, section 15.2: "a server MUST NOT send a 1xx response to an HTTP/1.0 client".
		// A 100 (Continue) behind one that the client got already is for who was sent the request anew; others may come as often as attempts say them.
		if x.Request.Minor >= 1 && !(x.continued && up.response.Status == 100 && x.d.bound == nil) {
			x.continued = x.continued || up.response.Status == 100
			if _, err := x.d.Conn.Write(up.response.Head); err != nil {
				x.cancelPump(up)
				return x.fail(up, SideDownstream, err)
			}
		}
		up.Advance(n)
	}
}

// Owed reports whether the running attempt waits for the client: the rest of the request is still to come, the endpoint has taken what came so
// far, and it is not 100 (Continue) that the client waits for.
func (x *Exchange) Owed() bool { return x.pump.running && x.pump.waits && !x.withheld() }

// Leave ends an attempt that is not awaited any more, for an answer or for its end. The connection is of no further use.
func (x *Exchange) Leave(up *Upstream) { x.cancelPump(up) }

// Replayable reports whether the request may still be sent once more: it is whole in memory and nothing of a final answer was sent.
func (x *Exchange) Replayable() bool { return !x.begun && !x.pump.consumed }

// awaitHead reads until up.response is a whole head and answers its length.
func (x *Exchange) awaitHead(up *Upstream) (n int, side Side, err error) {
	for {
		if b := up.Buffered(); len(b) > 0 {
			n, err := up.response.Parse(b, x.d.o.HeadLimit, x.Request.Method)
			if err != nil {
				return 0, SideUpstream, err
			}
			if n > 0 {
				return n, SideNone, nil
			}
		}
		if side, err := x.awaitUpstream(up); err != nil {
			return 0, side, err
		}
		if err := up.TryFill(loop.Medium); err != nil {
			return 0, SideUpstream, err
		}
	}
}

var errPeerGone = errors.New("the endpoint's machine answers no more")

// awaitUpstream waits until up has something to read, and minds the client meanwhile: its reset ends the attempt, its FIN is
// passed on.
func (x *Exchange) awaitUpstream(up *Upstream) (Side, error) {
	d := x.d
	l := d.Conn.Loop()
	for !up.Conn.Readable() {
		pumped := x.pump.running
		news := func() bool {
			return up.Conn.Readable() || x.clientNews() || x.pump.err != nil && x.pump.side == SideDownstream || pumped && !x.pump.running ||
				x.cut != nil && *x.cut
		}
		until, late := up.vigil.Next(), false
		if x.until != loop.Never && x.until <= until {
			until, late = x.until, true
		}
		var err error
		if d.bound != nil && !pumped {
			err = l.WaitEither(until, up.Conn, d.Conn, news)
		} else {
			err = l.Wait(until, up.Conn, d.Conn, news)
		}
		switch {
		case err == loop.ErrTimeout && late:
			return SideNone, ErrLate
		case err == loop.ErrTimeout:
			if _, gone := up.vigil.Look(up.Conn, l.Now()); gone {
				return SideUpstream, errPeerGone
			}
		case err != nil:
			return SideUpstream, err
		case x.pump.err != nil && x.pump.side == SideDownstream:
			return SideDownstream, x.pump.err
		case d.Conn.PeerGone():
			return SideDownstream, errClientGone
		case up.Conn.Readable():
		case x.cut != nil && *x.cut:
			return SideNone, ErrOvertaken
		case x.clientNews():
			if err := x.mindClient(up); err != nil {
				return SideDownstream, err
			}
		}
	}
	up.vigil.Begin(l.Now())
	return SideNone, nil
}

// clientNews reports whether the client did something that matters while it waits for an answer.
func (x *Exchange) clientNews() bool {
	if x.pump.running {
		return false // the pump reads the connection and will notice
	}
	if x.d.bound != nil && !x.finSeen && !x.looked && !x.unread() && x.d.Conn.Readable() {
		return true
	}
	return x.d.Conn.PeerGone() || !x.finSeen && !x.unread() && x.d.Conn.PeerFinished()
}

// tell passes the client's FIN on: whoever sends one still waits for the answer, and what the server makes of it is the
// server's affair, as it would be without us.
func (x *Exchange) tell(up *Upstream) {
	x.finSeen, x.told, up.told = true, true, true
	up.Conn.CloseWrite()
}

// withheld reports whether the client waits for 100 (Continue), which did not come, before it sends the body. Behind a final answer
// it may send the body all the same or leave it out, and nobody could tell the body from a further request then.
func (x *Exchange) withheld() bool {
	return x.Request.ExpectContinue && !x.continued && x.unread() && !x.pump.consumed && x.taken == x.headLen && x.replay.n == 0
}

// Forward passes the final answer of up on to the client.
func (x *Exchange) Forward(up *Upstream) Result {
	res, d := &up.response, x.d
	x.told, x.until, x.cut = up.told, loop.Never, nil
	result := Result{Status: res.Status}
	failed := func(side Side, err error) Result {
		if x.handsOver(side, err) {
			return Result{Status: res.Status, Tunnel: true}
		}
		x.cancelPump(up)
		if x.begun {
			x.end = broken
			if side == SideUpstream && err == io.EOF {
				// The server's FIN came early; the client is shown the same.
				x.end = abandoned
			}
		}
		f := x.fail(up, side, err)
		f.Status = res.Status
		return f
	}
	result.Tunnel, _ = res.Tunnel(x.Request)
	// wanted: the server takes the rest of the request.
	wanted := (res.Persistent || result.Tunnel) && (d.bound != nil || !x.withheld())
	keep := x.Request.Persistent && res.Body != UntilClose && x.pump.err == nil && (wanted || !x.unread())
	if x.pump.err == errPumpCancelled {
		x.pump.err, x.pump.side = nil, SideNone // in an attempt that has ended; this answer's body is to come whole
	}
	b := up.Buffered()
	body, done, err := x.answerAhead(res, b[up.answerHead:])
	if err != nil {
		return failed(SideUpstream, err)
	}
	segs := append(x.out.segments[:0], res.Head)
	if d.bound == nil {
		segs, _ = res.appendDownstream(x.out.segments[:0], x.out.scratch[:0], x.Request.Minor, keep, x.Extra)
	}
	x.begun = true
	if len(segs) == 1 && len(segs[0]) == up.answerHead {
		_, err = d.Conn.Write(b[:up.answerHead+body])
	} else {
		if body > 0 {
			segs = append(segs, b[up.answerHead:up.answerHead+body])
		}
		_, err = d.Conn.Writev(segs...)
	}
	if err != nil {
		return failed(SideDownstream, err)
	}
	up.Advance(up.answerHead + body)
	if !done {
		if side, err := x.moveAnswer(up, int64(body)); err != nil {
			return failed(side, err)
		}
	}
	if !result.Tunnel || d.bound != nil {
		x.awaitPump(up, wanted) // in a tunnel the pump goes on, see Settle
	}
	if d.bound != nil {
		result.Tunnel = !keep || !res.Persistent || x.unread() || x.told || len(up.Buffered()) > 0
	}
	switch {
	case result.Tunnel:
		x.end = tunnelled
	case keep && !x.unread():
		x.end = again
	case x.unread() && wanted:
		x.end = abandoned
	default:
		x.end = closing
	}
	result.Reusable = res.Persistent && !result.Tunnel && !up.told && up.whole && len(up.Buffered()) == 0 && !up.Conn.Pending()
	return result
}

// answerAhead answers how much of b, which was read with the head, belongs to the answer, and whether that is all of it.
func (x *Exchange) answerAhead(res *Response, b []byte) (n int, done bool, err error) {
	switch res.Body {
	case Length:
		if int64(len(b)) >= res.Length {
			return int(res.Length), true, nil
		}
		return len(b), false, nil
	case Chunked:
		x.answer.Reset(x.d.o.HeadLimit, true)
		return x.answer.Scan(b)
	case UntilClose:
		return len(b), false, nil
	}
	return 0, true, nil
}

// moveAnswer moves the rest of the answer's body, of which moved bytes have been sent. Every read goes out at once, and while
// nothing comes no buffer is held.
func (x *Exchange) moveAnswer(up *Upstream, moved int64) (Side, error) {
	res, d := &up.response, x.d
	l := d.Conn.Loop()
	for done := false; !done; {
		if side, err := x.awaitUpstream(up); err != nil {
			return side, err
		}
		large := int64(0) // bytes that are body for certain
		switch res.Body {
		case Length:
			large = res.Length - moved
		case Chunked:
			large = x.answer.Remaining()
		case UntilClose:
			if moved >= spliceFrom {
				large = -1
			}
		}
		if large >= spliceFrom || large < 0 {
			n, srcErr, err := l.Splice(d.Conn, up.Conn, large)
			moved += n
			switch {
			case err == io.EOF && srcErr && large < 0:
				return SideNone, nil
			case err != nil && srcErr:
				return SideUpstream, err
			case err != nil:
				return SideDownstream, err
			}
			if res.Body == Chunked {
				x.answer.Skip(n)
			}
			done = res.Body == Length && moved == res.Length
			continue
		}
		side, n, fin, err := x.moveAnswerOnce(up, res.Length-moved)
		if err == io.EOF && side == SideUpstream && res.Body == UntilClose {
			return SideNone, nil
		}
		if err != nil {
			return side, err
		}
		moved += int64(n)
		done = fin || res.Body == Length && moved == res.Length
	}
	return SideNone, nil
}

// moveAnswerOnce moves what one read answers, which may be nothing; left is what is to come when the body has a length.
func (x *Exchange) moveAnswerOnce(up *Upstream, left int64) (side Side, n int, done bool, err error) {
	l := x.d.Conn.Loop()
	buf := l.Buffer(loop.Large)
	defer l.Release(buf)
	n, err = up.Conn.TryRead(buf)
	if n == 0 {
		return SideUpstream, 0, false, err
	}
	body, odd := n, false
	switch up.response.Body {
	case Length:
		body = int(min(int64(n), left))
	case Chunked:
		if body, done, err = x.answer.Scan(buf[:n]); err != nil {
			if x.d.bound == nil {
				return SideUpstream, 0, false, err
			}
			odd = true
		}
	}
	if odd = odd || body < n; odd {
		// Bytes nobody asked for: the connection must not be used again. A bound one's client gets them, as it would without us.
		up.response.Persistent = false
		if x.d.bound != nil {
			body = n
		}
	}
	if _, err := x.d.Conn.Write(buf[:body]); err != nil {
		return SideDownstream, 0, false, err
	}
	if odd && x.d.bound != nil {
		return SideUpstream, body, false, errHandOver
	}
	return SideNone, body, done, nil
}

// awaitPump lets the request go out whole when the server, having answered, still takes it; otherwise it ends the pump.
func (x *Exchange) awaitPump(up *Upstream, wanted bool) {
	if !x.pump.running {
		return
	}
	if wanted && !up.Conn.Pending() {
		l := x.d.Conn.Loop()
		l.Wait(loop.Never, up.Conn, nil, func() bool { return !x.pump.running || up.Conn.Readable() })
	}
	if x.d.bound == nil {
		x.cancelPump(up)
	}
}
