package h2

import (
	"time"

	"github.com/sluice-mesh/sluice/sidecar/h2/head"
	"github.com/sluice-mesh/sluice/sidecar/h2/hpack"
	"github.com/sluice-mesh/sluice/sidecar/loop"
)

// The head of an answer to a gRPC call can be kept back until the call's status has come, so that the call can still be sent elsewhere
// (docs/decisions/0012). What comes of the body waits in the pipe meanwhile. None of it lasts: an application may be waiting for the head.
const (
	// pendingTime is how long a head waits for what follows it, and pendingDataTime how long a body that has begun waits for its
	// end, both in nanoseconds.
	pendingTime     = int64(100 * time.Millisecond)
	pendingDataTime = int64(10 * time.Millisecond)
	// pendingHead is the largest header list that waits, in bytes, and pendingData the most that waits of the body.
	pendingHead = 4 << 10
	pendingData = 16 << 10
)

// pending are the exchanges of a connection to an endpoint whose heads wait.
type pending struct {
	bare  pendingLine // nothing of the body has come
	begun pendingLine
}

// pendingLine is a line of exchanges that all wait for the same time, so that the first one is due first.
type pendingLine struct {
	first, last *Exchange
	time        int64
}

func (p *pending) init() { p.bare.time, p.begun.time = pendingTime, pendingDataTime }

func (l *pendingLine) add(x *Exchange, now int64) {
	x.pending, x.until, x.before, x.after = l, now+l.time, l.last, nil
	if l.last == nil {
		l.first = x
	} else {
		l.last.after = x
	}
	l.last = x
}

func (l *pendingLine) remove(x *Exchange) {
	if x.before == nil {
		l.first = x.after
	} else {
		x.before.after = x.after
	}
	if x.after == nil {
		l.last = x.before
	} else {
		x.after.before = x.before
	}
	x.pending, x.before, x.after = nil, nil, nil
}

// replace puts by in the place of x.
func (l *pendingLine) replace(x, by *Exchange) {
	by.pending, by.until, by.before, by.after = l, x.until, x.before, x.after
	if x.before == nil {
		l.first = by
	} else {
		x.before.after = by
	}
	if x.after == nil {
		l.last = by
	} else {
		x.after.before = by
	}
	x.pending, x.before, x.after = nil, nil, nil
}

// due passes on the heads whose time is up, and answers when the next one is.
func (p *pending) due(now int64) (next int64) {
	next = loop.Never
	for _, l := range [...]*pendingLine{&p.bare, &p.begun} {
		for l.first != nil && l.first.until <= now {
			l.first.decide()
		}
		if l.first != nil && (next == loop.Never || l.first.until < next) {
			next = l.first.until
		}
	}
	return next
}

// Pending reports whether the head of the running attempt's answer has come and waits.
func (x *Exchange) Pending() bool { return x.pending != nil }

// waits keeps a head back, if its call's status may be worth the wait: the client has sent all that it had to send, so that it does not
// wait for the head to send more.
func (u *Upstream) waits(x *Exchange, fields []hpack.Field, h Head, size int) bool {
	if h.Last || h.Status != 200 || !x.Request.GRPC || !x.req.ended || size > pendingHead || u.o.Memory.tight() {
		return false
	}
	asked := x
	if x.holder != nil {
		asked = x.holder
	}
	if !x.h.Awaits(asked, x.holder != nil) {
		return false
	}
	x.answered, x.head = true, h
	x.kept = append(x.kept[:0], fields...)
	u.pending.bare.add(x, u.l.Now())
	return true
}

// grown is told that more of the body has come while the head waits.
func (x *Exchange) grown() {
	u, p := x.up, &x.res
	switch {
	case p.ended || p.waiting() > pendingData || u.o.Memory.tight():
		x.decide()
	case p.waiting() > 0 && x.pending == &u.pending.bare:
		x.pending.remove(x)
		u.pending.begun.add(x, u.l.Now())
	}
}

// concluded is told of the trailers that a head has waited for.
func (x *Exchange) concluded(trailers []hpack.Field, size int) {
	if code, ok := head.GRPCStatus(trailers); ok {
		x.head.GRPC = code
	}
	p := &x.res
	p.ended = true
	p.trailers = append(p.trailers[:0], trailers...)
	p.held(size)
	x.decide()
}

// decide tells the handler of a head that has waited, with what has come behind it.
func (x *Exchange) decide() {
	x.pending.remove(x)
	if x.holder != nil {
		x.progress()
		x.h.HeldAnswered(x.holder, x.head)
		return
	}
	x.answer = x.kept
	pass := x.h.Head(x, x.head)
	x.answer = nil
	if pass {
		x.begin(x.kept, x.head)
		x.res.pump()
	}
}
