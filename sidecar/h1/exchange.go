package h1

import (
	"errors"
	"fmt"
	"io"

	"github.com/sluice-mesh/sluice/sidecar/loop"
)

// Exchange is one request and its answer on a downstream connection. Its handler calls Send, with another upstream after each
// failure it may and wants to repair, then Forward once, or Reply instead.
type Exchange struct {
	Request Request

	d       *Downstream
	headLen int // bytes of the head in the downstream buffer
	taken   int // … and with the body bytes that were read ahead with it
	whole   bool
	chunks  Chunks
	rest    int64 // of a body with a length: bytes beyond taken

	// The request's body beyond taken is moved by a coroutine of its own, the pump, while the answer may already come back.
	pumping  bool
	pumped   bool // the pump has taken bytes that are not in the buffer any more
	pumpErr  error
	pumpSide Side
	discard  bool // the pump drops what it still reads
	next     []byte
	nextR    int
	nextW    int

	begun     bool // anything of an answer was sent downstream
	answered  bool // … all of it
	keep      bool // the downstream connection goes on
	tunnel    bool
	reset     bool // the answer was cut: the client must see it
	unread    bool // a part of the request was not read
	told      bool // the running upstream was told of the client's FIN
	watchDown bool

	segments [8][]byte
}

// Side says on which side of the proxy something failed.
type Side uint8

// The sides; SideNone is the zero value.
const (
	SideNone Side = iota
	SideDownstream
	SideUpstream
)

// Result is the end of one attempt, or of its first half up to the response head.
type Result struct {
	// Status is the final answer's status; 0 when none came.
	Status int
	// Err says why the attempt failed, on the side Side; nil when it did not.
	Err  error
	Side Side
	// Unprocessed says that the request cannot have reached the endpoint's program.
	Unprocessed bool
	// Replayable says that the request is still whole in memory and nothing of an answer was sent downstream.
	Replayable bool
	// Reusable says that the upstream connection may serve another exchange.
	Reusable bool
	// Tunnel says that the answer switched protocols: the connections carry opaque bytes from here on.
	Tunnel bool
}

type ending uint8

const (
	again ending = iota
	closing
	broken
	tunnelled
)

func (x *Exchange) begin(d *Downstream) {
	r := &x.Request
	*x = Exchange{Request: *r, d: d, headLen: x.headLen, watchDown: true}
	x.taken, x.whole = x.headLen, true
	ahead := int64(len(d.Buffered()) - x.headLen)
	switch r.Body {
	case Length:
		n := min(ahead, r.Length)
		x.taken += int(n)
		x.rest = r.Length - n
		x.whole = x.rest == 0
	case Chunked:
		x.whole = false // until its chunks were followed, in Send
	}
}

// scanAhead follows the part of a chunked body that was read ahead. An error is the client's fault.
func (x *Exchange) scanAhead() error {
	if x.Request.Body != Chunked || x.taken > x.headLen || x.whole {
		return nil
	}
	ahead := x.d.Buffered()[x.headLen:]
	if len(ahead) == 0 {
		return nil
	}
	n, done, err := x.chunks.Scan(ahead)
	if err != nil {
		return err
	}
	x.taken += n
	x.whole = done
	return nil
}

// end settles the downstream connection after the handler.
func (x *Exchange) end() ending {
	d := x.d
	if x.pumping {
		x.stopPump()
	}
	if x.next != nil {
		d.Unread(x.next, x.nextR, x.nextW)
		x.next = nil
	} else if !x.tunnel {
		d.Advance(x.taken)
	}
	switch {
	case x.tunnel:
		d.Advance(x.taken)
		return tunnelled
	case x.reset:
		return broken
	case !x.answered || !x.keep || x.unread:
		return closing
	}
	return again
}

// Reply answers the request itself, with a short text, and closes the downstream connection after it.
func (x *Exchange) Reply(status int, text string) {
	if x.begun {
		x.reset = true
		return
	}
	head := x.Request.Method != nil && string(x.Request.Method) == "HEAD"
	b := Answer(status, text, head)
	x.begun = true
	x.unread = !x.whole && !x.pumpDone()
	if _, err := x.d.Conn.Write(b); err != nil {
		x.reset = true
		return
	}
	x.answered = true
	x.keep = false
}

// Abort ends the exchange by resetting the downstream connection: the client sees what it would see of a server that is not
// there.
func (x *Exchange) Abort() { x.reset = true }

// Begun reports whether anything of an answer was sent downstream.
func (x *Exchange) Begun() bool { return x.begun }

// Downstream answers the connection the request came on.
func (x *Exchange) Downstream() *Downstream { return x.d }

func (x *Exchange) pumpDone() bool { return x.pumped && !x.pumping && x.pumpErr == nil }

// fail makes the result of an attempt that failed on one side.
func (x *Exchange) fail(up *Upstream, side Side, err error) Result {
	r := Result{Err: err, Side: side}
	if side == SideUpstream && !x.begun {
		r.Unprocessed = up.unprocessed()
		r.Replayable = !x.pumped && !x.pumping
	}
	return r
}

// upstreamError says what an upstream's failure was, in one form for EOF and errors.
func upstreamError(err error) error {
	if err == io.EOF {
		return errors.New("closed by the endpoint")
	}
	return err
}

func clientError(err error) error {
	if err == io.EOF || err == nil {
		return errDownstreamGone
	}
	return fmt.Errorf("client: %w", err)
}

// stopPump ends the pump: what the client still sends is dropped until it has noticed.
func (x *Exchange) stopPump() {
	if !x.pumping {
		return
	}
	l := x.d.Conn.Loop()
	x.discard, x.unread = true, true
	x.d.Conn.CloseWrite()
	x.d.Conn.SetReadDeadline(l.Now() + int64(lingerTime))
	l.Wait(loop.Never, nil, nil, func() bool { return !x.pumping })
	x.d.Conn.SetReadDeadline(loop.Never)
}
