package h1

import (
	"errors"
	"io"
)

// Exchange is one request and its answer on a downstream connection. Its handler calls Send, on another upstream after each
// failure it may and wants to repair, then Forward once; or Reply, Refuse or Abort instead.
type Exchange struct {
	// Request is the request's head; its views hold until the exchange ends.
	Request *Request
	// Extra goes into the head of the answer that is passed on, or made by Reply.
	Extra Extra

	d       *Downstream
	headLen int   // bytes of the head in the downstream buffer
	taken   int   // … with the body bytes that were read ahead behind it
	rest    int64 // of a body with a length: bytes that were not read yet
	whole   bool  // taken is the whole request
	chunks  Chunks

	pump   pump
	replay replay
	prefix prefix
	// Of Await: when it gives up, and what ends it, if that is not nil and true.
	until int64
	cut   *bool
	next  readAhead // what the pump read beyond this request
	begun bool      // anything of a final answer was sent downstream
	end   ending

	// finSeen says that the client's FIN behind the request was dealt with in the running attempt; told, that it was passed on to
	// the upstream connection that a tunnel goes on with.
	finSeen, told bool
	continued     bool // 100 (Continue) was passed on, or said
	looked        bool // what follows behind the request need not be looked at again; see mindClient
	settled       bool // settle has been done

	answer Chunks

	out outgoing // not the pump's, which has its own: an answer may come while it still sends
}

type readAhead struct {
	buf  []byte
	r, w int
}

// Side says on which side of the proxy something failed.
type Side uint8

// The sides; SideNone is the zero value.
const (
	SideNone Side = iota
	SideDownstream
	SideUpstream
)

// Result is the end of one attempt, or of its first half up to the head of the final answer.
type Result struct {
	// Status is the final answer's status; 0 when none came.
	Status int
	// Err says why the attempt failed, on the side Side; nil when it did not.
	Err  error
	Side Side
	// Unprocessed says that the request cannot have reached the endpoint's program.
	Unprocessed bool
	// Replayable says that the request is still whole in memory, as far as it came, and nothing of a final answer was sent
	// downstream.
	Replayable bool
	// Reusable says that the upstream connection may serve another exchange.
	Reusable bool
	// Tunnel says that the answer switched protocols: the connections carry opaque bytes from here on.
	Tunnel bool
}

// ending is what becomes of the downstream connection behind an exchange.
type ending uint8

const (
	unanswered ending = iota // the handler gave no answer: closed
	again                    // the next request may come
	closing                  // closed in an orderly way
	abandoned                // … where the endpoint has closed with a part of the request unread, or of its answer unsent
	broken                   // reset, so that a cut answer is not taken for a whole one
	tunnelled                // opaque bytes from here on
)

// begin makes an exchange of the head at the front of d's buffer. An error is the client's fault: the part of a chunked body that
// came with the head is wrong.
func (x *Exchange) begin(d *Downstream, headLen int) error {
	*x = Exchange{Request: d.request, d: d, headLen: headLen, taken: headLen, whole: true}
	switch d.request.Body {
	case Length:
		n := min(int64(len(d.Buffered())-headLen), d.request.Length)
		x.taken += int(n)
		x.rest = d.request.Length - n
		x.whole = x.rest == 0
	case Chunked:
		x.chunks.Reset(d.o.HeadLimit, false)
		n, done, err := x.chunks.Scan(d.Buffered()[headLen:])
		if err != nil {
			return err
		}
		x.taken += n
		x.whole = done
	}
	return nil
}

// settle takes the request off the downstream connection and answers what becomes of that.
func (x *Exchange) settle() ending {
	if x.end == tunnelled && x.pump.running {
		return tunnelled // Settle comes back to it
	}
	x.settled = true
	if !x.pump.running {
		x.forget()
	}
	if x.next.buf != nil {
		x.d.Unread(x.next.buf, x.next.r, x.next.w)
		x.next = readAhead{}
	} else {
		x.d.Advance(x.taken)
	}
	return x.end
}

// unread reports whether a part of the request was not read, or not sent.
func (x *Exchange) unread() bool { return !x.whole && !x.pump.done }

// Reply answers the request itself, with a one-line text, and closes the downstream connection behind it. When a part of another
// answer was sent already it resets the connection instead.
func (x *Exchange) Reply(status int, text string) {
	if x.begun {
		x.Abort()
		return
	}
	x.begun, x.end = true, closing
	answer := appendAnswer(nil, status, text, string(x.Request.Method) == "HEAD", x.Extra.Line)
	if _, err := x.d.Conn.Write(answer); err != nil {
		x.end = broken
	}
}

// Refuse answers a request whose body cannot be read, with the Reason in err, and closes.
func (x *Exchange) Refuse(err error) {
	reason, ok := ReasonOf(err)
	if !ok || x.begun {
		x.Abort()
		return
	}
	if x.d.o.Refused != nil {
		x.d.o.Refused(reason)
	}
	x.Reply(reason.Status(), "bad request: "+reason.String())
}

// Abort resets the downstream connection behind the exchange: the client sees what it would see of a server that is not there.
func (x *Exchange) Abort() { x.end = broken }

// Begun reports whether anything of a final answer was sent downstream.
func (x *Exchange) Begun() bool { return x.begun }

// Downstream answers the connection the request came on.
func (x *Exchange) Downstream() *Downstream { return x.d }

// fail makes the result of an attempt that failed on one side. The pump has ended.
func (x *Exchange) fail(up *Upstream, side Side, err error) Result {
	if side == SideUpstream && err == io.EOF {
		err = ErrClosedByEndpoint
	}
	r := Result{Err: err, Side: side}
	if side == SideUpstream && !x.begun {
		r.Unprocessed = up.unprocessed()
		r.Replayable = !x.pump.consumed
	}
	return r
}

var (
	// ErrLate is the Err of an Await whose time was up. Nothing has ended: it may be called again.
	ErrLate = errors.New("no answer yet")
	// ErrOvertaken is the Err of an Await that was ended from outside, in the same way.
	ErrOvertaken = errors.New("overtaken")
	// ErrClosedByEndpoint is the Err of an attempt whose endpoint sent FIN before the answer was whole.
	ErrClosedByEndpoint = errors.New("connection closed by the endpoint")
	// errClientGone is the end of an attempt whose client reset the connection or ended it within a request.
	errClientGone = errors.New("connection closed by the client")
)
