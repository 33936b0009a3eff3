package h2

import (
	"strconv"

	"github.com/sluice-mesh/sluice/sidecar/cluster"
	"github.com/sluice-mesh/sluice/sidecar/h2/frame"
	"github.com/sluice-mesh/sluice/sidecar/h2/head"
	"github.com/sluice-mesh/sluice/sidecar/h2/hpack"
	"github.com/sluice-mesh/sluice/sidecar/loop"
)

// Exchange is one request and its answer: a stream of a downstream connection, and for each attempt one of an upstream connection. It
// belongs to its loop, and is used again for another request once both streams have ended.
type Exchange struct {
	// Fields is the request's head as it came, pseudo-header fields first; Request what was read of it.
	Fields  []hpack.Field
	Request head.Request
	// Extra is appended to the head of the final answer.
	Extra []hpack.Field
	// State is the handler's own. It stays when the exchange is used again.
	State any
	// Place is given back once both streams have ended; nil is none.
	Place *cluster.Places
	// Done is called once both streams have ended; nil is nothing.
	Done func()

	l    *loop.Loop
	o    *Options
	down *Downstream // nil once its stream has ended
	id   uint32
	h    Handler

	up    *Upstream // nil while no attempt runs
	upID  uint32
	upPos uint64 // of the attempt's first byte on its connection
	upAt  int64  // when that was written
	queue Queue  // waits there for a connection

	req, res pipe

	held   *Exchange     // an attempt that was put aside; see Hold
	holder *Exchange     // of a held attempt, whose exchange it is
	answer []hpack.Field // the head of the final answer, while the handler is told of it
	head   Head          // of the final answer
	broken bool          // a held attempt's answer was cut off
	// short says that no more of the request goes out in this attempt, which has not got it whole; of one that is held, gone is how many bytes
	// of its body had gone out.
	short bool
	gone  int

	// Of a head that was not passed on at once: its fields, and, while it waits for its call's status, where it stands in line.
	kept          []hpack.Field
	pending       *pendingLine
	until         int64
	before, after *Exchange

	size     int   // of the request's head; of a held attempt, of its answer's
	limit    int   // of what is kept of the request's body, in bytes
	opened   int64 // when the request came, on the loop's clock
	answered bool  // the final head came from upstream
	begun    bool  // the final head was sent downstream
	interim  int   // 1xx answers
	spare    bool  // in Memory's list
	watched  bool  // see Watch
	invited  bool  // 100 (Continue) was said to the client, or passed on
	quiet    bool  // the handler has answered itself, or been told the end
	end      End
}

// Queue is where exchanges wait for a connection to their endpoint.
type Queue interface {
	// Forget takes an exchange out.
	Forget(x *Exchange)
}

// Wait notes where the exchange waits for a connection; nil, that it does no longer.
func (x *Exchange) Wait(q Queue) { x.queue = q }

// Waits reports whether the exchange waits in q.
func (x *Exchange) Waits(q Queue) bool { return x.queue == q }

// Downstream answers the connection the request came on; nil once its stream has ended.
func (x *Exchange) Downstream() *Downstream { return x.down }

// Opened answers when the request's head came, in nanoseconds of the loop's clock.
func (x *Exchange) Opened() int64 { return x.opened }

// Replayable reports whether the request can be sent once more: it is whole in memory as far as it came, and nothing of an answer was
// passed on.
func (x *Exchange) Replayable() bool { return !x.begun && x.req.replayable() }

// Keep says how many bytes of the request's body are kept for another attempt; 0 keeps none.
func (x *Exchange) Keep(limit int) { x.limit = limit }

// Went answers when the running attempt was sent, on the loop's clock; ok is false of one that waits for a connection.
func (x *Exchange) Went() (at int64, ok bool) { return x.upAt, x.up != nil }

// Value answers the value of the request's first field of that name, in lower case.
func (x *Exchange) Value(name string) (value string, ok bool) {
	for i := range x.Fields {
		if x.Fields[i].Name == name {
			return x.Fields[i].Value, true
		}
	}
	return "", false
}

// Said answers the value of the first field of that name, in lower case, of the head that Handler.Head is being told of, or of the
// trailers where they have come with it.
func (x *Exchange) Said(name string) (value string, ok bool) {
	return said(name, x.answer, x.res.trailers)
}

// HeldSaid is Said of the held attempt, while Handler.HeldAnswered is being told of its head.
func (x *Exchange) HeldSaid(name string) (value string, ok bool) {
	return said(name, x.held.kept, x.held.res.trailers)
}

func said(name string, lists ...[]hpack.Field) (value string, ok bool) {
	for _, fields := range lists {
		for i := range fields {
			if fields[i].Name == name {
				return fields[i].Value, true
			}
		}
	}
	return "", false
}

// Set gives the request a field, in the place of the first one of that name, in lower case. It holds from the next attempt on.
func (x *Exchange) Set(name, value string) {
	for i := range x.Fields {
		if x.Fields[i].Name == name {
			x.Fields[i].Value = value
			return
		}
	}
	x.Fields = append(x.Fields, hpack.Field{Name: name, Value: value})
}

// Has reports whether the request has a field of that name, in lower case.
func (x *Exchange) Has(name string) bool {
	_, ok := x.Value(name)
	return ok
}

func (x *Exchange) memory() *Memory { return x.o.Memory }

func (x *Exchange) downConn() *conn {
	if x.down == nil {
		return nil
	}
	return &x.down.conn
}

func (x *Exchange) upConn() *conn {
	if x.up == nil {
		return nil
	}
	return &x.up.conn
}

// progress ends the streams that both directions are done with. It is called whenever a pipe has moved.
func (x *Exchange) progress() {
	if x.pending != nil {
		return
	}
	if x.up != nil && x.req.sent && x.res.ended {
		if x.short {
			x.up.resetStream(x.upID, frame.Cancel) // the endpoint waits for the rest, or does not care for it
		}
		x.leaveUp()
		x.over()
	}
	switch {
	case x.down == nil || !x.res.sent:
	case x.req.ended:
		x.down.rapid.earn()
		x.leaveDown()
	case x.up == nil:
		// Nobody takes the rest of the request. "A server MAY … request that the client abort transmission of a request without
		// error by sending a RST_STREAM with an error code of NO_ERROR": RFC 9113, section 8.1.
		x.cutDown(frame.NoError)
	}
}

// over tells the handler that nothing more happens upstream.
func (x *Exchange) over() {
	if !x.quiet {
		x.quiet = true
		x.DropHeld()
		x.h.Ended(x, x.end)
	}
	x.settle()
}

// leaveUp takes the exchange off its upstream connection.
func (x *Exchange) leaveUp() {
	u := x.up
	if x.pending != nil {
		x.pending.remove(x)
		x.answered = false // nobody was told
	}
	u.blocked.leave(&x.req)
	delete(u.streams, x.upID)
	x.up = nil
	u.freed()
	x.settle()
}

// leaveDown takes the exchange off its downstream connection.
func (x *Exchange) leaveDown() {
	d := x.down
	d.blocked.leave(&x.res)
	delete(d.streams, x.id)
	d.l.Share(-1)
	d.lately.add(x.id)
	x.down = nil
	x.res.drop()
	d.freed()
	x.settle()
}

// settle takes the exchange apart once both its streams have ended and the handler is done with it, for another request.
func (x *Exchange) settle() {
	if x.up != nil || x.down != nil || x.queue != nil || x.holder != nil || !x.quiet || x.spare {
		return
	}
	if x.Place != nil {
		x.Place.Give()
		x.Place = nil
	}
	if done := x.Done; done != nil {
		x.Done = nil
		done()
	}
	x.DropHeld()
	x.req.drop()
	x.res.drop()
	x.o.Memory.add(-x.size)
	x.size = 0
	forget(&x.Fields)
	forget(&x.kept)
	forget(&x.req.trailers)
	forget(&x.res.trailers)
	x.h, x.spare = nil, true
	x.o.Memory.keep(x)
}

// forget empties a list of fields, and keeps it to be used again if it is small.
func forget(fields *[]hpack.Field) {
	if cap(*fields) > keptFields {
		*fields = nil
	}
	clear((*fields)[:cap(*fields)])
	*fields = (*fields)[:0]
}

// cutUp ends the running attempt: the endpoint sees RST_STREAM. It also ends the wait for a connection.
func (x *Exchange) cutUp(code frame.Code) {
	if x.queue != nil {
		x.queue.Forget(x)
		x.queue = nil
	}
	if x.up == nil {
		return
	}
	x.up.resetStream(x.upID, code)
	x.leaveUp()
}

// Drop ends the running attempt, so that another one can be sent.
func (x *Exchange) Drop() {
	x.cutUp(frame.Cancel)
	x.ready()
}

// ready prepares another attempt.
func (x *Exchange) ready() {
	x.answered, x.interim = false, 0
	x.req.again()
	window := x.res.window
	x.res.drop()
	x.res.begin(x, false)
	x.res.window = window // the downstream stream has carried nothing yet
}

// fail tells the handler that the attempt, which is off its connection, has failed.
func (x *Exchange) fail(f Failure) {
	if x.holder != nil {
		x.onHeldEnd(f)
		return
	}
	if x.begun {
		// Too late for another one. The client is shown that the answer is cut.
		x.end.Truncated = true
		if x.Request.GRPC && !f.Reset && x.res.declared < 0 {
			x.unavailable()
			x.over()
			return
		}
		code := f.Code
		if !f.Reset {
			code = frame.InternalError
		}
		x.end.Code = code
		x.cutDown(code)
		x.over()
		return
	}
	x.ready()
	if x.down == nil { // the client is gone
		x.over()
		return
	}
	x.h.Failed(x, f)
}

// unavailable ends the answer to a gRPC call, behind what came of it, with the status that gRPC's libraries give to a call whose own
// connection is lost. A reset without a status they would take for INTERNAL, which tells applications not to try again.
func (x *Exchange) unavailable() {
	const code = 14 // UNAVAILABLE
	x.end.GRPC = code
	p := &x.res
	p.ended = true
	p.trailers = append(p.trailers[:0], hpack.Field{Name: "grpc-status", Value: strconv.Itoa(code)},
		hpack.Field{Name: "grpc-message", Value: "sluice: the connection to the endpoint was lost within the answer"})
	p.pump()
}

// Fail says that no connection to the endpoint came about.
func (x *Exchange) Fail(err error) {
	x.queue = nil
	x.fail(Failure{Connect: true, Unprocessed: true, Err: err})
}

// cutDown ends the downstream stream with RST_STREAM.
func (x *Exchange) cutDown(code frame.Code) {
	if d := x.down; d != nil {
		d.resetStream(x.id, code)
		d.reset = d.l.Now()
		x.leaveDown()
	}
}

// Reset ends the exchange with RST_STREAM.
func (x *Exchange) Reset(code frame.Code) {
	x.quiet = true
	x.DropHeld()
	x.cutUp(frame.Cancel)
	x.cutDown(code)
	x.settle()
}

// Reply answers the request with fields and, where there is one, a body, which must be small.
func (x *Exchange) Reply(fields []hpack.Field, body string) {
	x.quiet = true
	x.DropHeld()
	x.cutUp(frame.Cancel)
	x.req.commit()
	d := x.down
	if d == nil {
		x.settle()
		return
	}
	d.appendHeaders(x.id, fields, body == "")
	if x.begun = true; body != "" {
		x.res.receive([]byte(body), 0, true)
	} else {
		x.res.ended, x.res.sent = true, true
	}
	x.progress()
}
