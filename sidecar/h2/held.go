package h2

import (
	"github.com/sluice-mesh/sluice/sidecar/h2/frame"
	"github.com/sluice-mesh/sluice/sidecar/h2/hpack"
)

// An attempt can be held while another one of the same exchange runs: one that was answered with an error, in case the other does no
// better, or one that is not answered yet, in case the other is not either. Its stream goes on at a second Exchange, which has no
// downstream side and is known to its holder only; what comes on it waits there, within its window, and counts in Memory as what waits anywhere.

// Hold puts the running attempt aside, so that another one can be sent. An attempt that was held before is dropped. Within Handler.Head it is
// called in the place of Drop; then the request need not have gone out whole, and the rest of it waits for Adopt. Elsewhere it must have,
// which Sent reports.
func (x *Exchange) Hold() {
	x.DropHeld()
	h := x.o.Memory.exchange()
	req, res := h.req, h.res
	*h = Exchange{Fields: h.Fields, kept: append(h.kept[:0], x.answer...), State: h.State, l: x.l, o: x.o, h: x.h, holder: x, quiet: true, opened: x.opened,
		end: End{GRPC: -1}, Request: x.Request}
	h.req.trailers, h.res.trailers = req.trailers, res.trailers
	h.req.begin(h, true)
	h.req.ended, h.req.sent, h.req.window = true, true, x.req.window
	if x.up != nil {
		x.up.blocked.leave(&x.req)
	}
	h.res.begin(h, false)
	move(h, x)
	h.short, h.gone = !x.req.sent, x.req.r
	h.answered, h.head = x.answered, x.head
	h.count(h.kept)
	x.held = h
	x.up = nil
	x.ready()
	if h.answered {
		h.res.ended = h.res.ended || h.head.Last
		h.progress()
	}
}

// count counts the head of an answer that is held.
func (x *Exchange) count(fields []hpack.Field) {
	n := 0
	for i := range fields {
		n += int(fields[i].Size())
	}
	x.size += n
	x.o.Memory.add(n)
}

// Sent reports whether the whole request has gone out in the running attempt.
func (x *Exchange) Sent() bool { return x.req.sent }

// Owed reports whether the running attempt waits for the client: the rest of the request is still to come, and the endpoint has taken what
// came so far.
func (x *Exchange) Owed() bool { return !x.req.ended && x.req.waiting() == 0 }

// Held answers the head of the held attempt's answer; ok is false when there is none.
func (x *Exchange) Held() (head Head, ok bool) {
	if x.held == nil || !x.held.answered || x.held.pending != nil {
		return Head{}, false
	}
	return x.held.head, true
}

// Adopt makes the held attempt, which is answered, the exchange's own, and passes its answer on. The running attempt, if there is one,
// is ended. Where the request had not gone out whole its endpoint gets the rest, as far as that is still there; it is nobody's otherwise, as
// behind any answer that comes whole before its request has.
func (x *Exchange) Adopt() {
	h := x.held
	x.held = nil
	x.cutUp(frame.Cancel)
	x.ready()
	more := h.short && h.up != nil && x.req.replayable()
	if more {
		x.req.resume(h.gone, h.req.window)
	}
	x.req.commit()
	move(x, h)
	x.req.sent, x.short = !more, h.short && !more
	x.answered = true
	x.begin(h.kept, h.head)
	truncated := h.broken
	h.retire()
	switch {
	case truncated:
		x.fail(Failure{})
	case x.up == nil: // the answer came whole
		x.over()
		if x.down != nil {
			x.res.pump()
		}
	default:
		if more {
			x.req.pump() // the answer has not ended, nor the exchange
		}
		x.res.pump()
	}
}

// Resume makes the held attempt, which is not answered yet, the running one again. The running one, if there is one, is ended.
func (x *Exchange) Resume() {
	h := x.held
	x.held = nil
	x.cutUp(frame.Cancel)
	x.ready()
	move(x, h)
	x.req.sent = true
	h.retire()
}

// Swap makes the held attempt, which is not answered yet, the running one again, and holds the one of whose answer Handler.Head is being told
// in its place.
func (x *Exchange) Swap() {
	h := x.held
	x.held = nil
	x.Hold()
	move(x, h)
	x.req.sent = true
	h.retire()
}

// DropHeld ends the held attempt, if there is one.
func (x *Exchange) DropHeld() {
	if h := x.held; h != nil {
		x.held = nil
		h.cutUp(frame.Cancel)
		h.res.drop()
		h.retire()
	}
}

// retire takes a held exchange apart.
func (x *Exchange) retire() {
	x.up, x.holder = nil, nil
	x.settle()
}

// move makes the stream of from's attempt, and what came on it, to's. The window that the client grants stays where it is.
func move(to, from *Exchange) {
	if from.pending != nil {
		from.pending.replace(from, to)
		to.answered, to.head = true, from.head
		to.kept, from.kept = from.kept, to.kept
	}
	to.up, to.upID, to.upPos, to.upAt = from.up, from.upID, from.upPos, from.upAt
	if to.up != nil {
		to.up.streams[to.upID] = to
	}
	p, q := &to.res, &from.res
	p.buf, p.r, p.w = q.buf, q.r, q.w
	p.ended, p.declared, p.came = q.ended, q.declared, q.came
	p.credit, p.target, p.owed = q.credit, q.target, q.owed
	p.trailers, q.trailers = q.trailers, p.trailers
	p.size, q.size = q.size, p.size
	q.buf, q.r, q.w = nil, 0, 0
	from.up = nil
	to.end = from.end
}

// begin passes the head of the final answer on.
func (x *Exchange) begin(fields []hpack.Field, h Head) {
	x.end.Status, x.end.GRPC = h.Status, max(x.end.GRPC, h.GRPC)
	x.begun = true
	x.req.commit()
	if h.Last {
		x.res.ended, x.res.sent = true, true
	}
	if len(x.Extra) > 0 {
		fields = append(fields, x.Extra...)
	}
	x.down.appendHeaders(x.id, fields, h.Last)
	if x.up != nil && x.up.connect {
		x.down.offerConnect()
	}
}

// onHeldHead takes the head of a held attempt's answer.
func (x *Exchange) onHeldHead(fields []hpack.Field, h Head) {
	x.kept = append(x.kept[:0], fields...)
	x.count(fields)
	x.answered, x.head = true, h
	x.res.ended = h.Last
	x.progress()
	x.h.HeldAnswered(x.holder, h)
}

// onHeldEnd is told that a held attempt ended early.
func (x *Exchange) onHeldEnd(f Failure) {
	if x.answered {
		x.broken = true
		return
	}
	holder := x.holder
	holder.held = nil
	x.res.drop()
	x.retire()
	holder.h.HeldFailed(holder, f)
}
