package h1

import (
	"errors"
	"io"

	"github.com/sluice-mesh/sluice/sidecar/loop"
)

// errHandOver ends an exchange of a bound connection that goes on as bytes.
var errHandOver = errors.New("the connection carries more than HTTP/1.x")

// Bind gives the connection an upstream connection of its own, for a destination with nothing to choose from. Nothing is shared
// then, so nothing has to be edited or kept apart: heads are sent as they came, options of the connection included, and both ends
// see each other's FIN and reset. Serve answers true, for a tunnel, as soon as the connection carries something else than a request
// and its answer: when either side ends it, when the endpoint speaks unasked or in a way that cannot be followed, or when a request
// is larger than what is read. A request whose framing is wrong is refused all the same.
func (d *Downstream) Bind(up *Upstream) { d.bound = up }

// Settle ends what is left of the exchange a tunnel began in, so that what is buffered goes into the tunnel first. It waits until
// the rest of the request's body has been sent; meanwhile bytes may go the other way. It answers io.EOF when the client has ended
// and the endpoint knows.
func (d *Downstream) Settle() error {
	x := d.x
	if x == nil || x.d == nil {
		return nil // there was none
	}
	if !x.settled {
		d.Conn.Loop().Wait(loop.Never, nil, nil, func() bool { return !x.pump.running })
		if err := x.pump.err; err != nil && err != errCutShort {
			return err
		}
		x.settle()
	}
	if x.told {
		return io.EOF
	}
	return nil
}

// moreOrRaw is more for a bound connection, which always waits: the endpoint may be first to say something.
func (d *Downstream) moreOrRaw() (s State, more bool) {
	up, l := d.bound, d.Conn.Loop()
	for {
		err := l.WaitEither(loop.Never, d.Conn, up.Conn, func() bool { return d.Conn.Readable() || up.Conn.Readable() })
		if err != nil {
			d.Close()
			return Ended, false
		}
		if up.Conn.Readable() {
			err := up.TryFill(loop.Small)
			if err == io.EOF || len(up.Buffered()) > 0 {
				return Tunnel, false
			}
			if err != nil {
				d.Reset()
				return Ended, false
			}
		}
		before := len(d.Buffered())
		err = d.TryFill(loop.Small)
		if err == io.EOF {
			return Tunnel, false
		}
		if err != nil {
			d.Reset()
			return Ended, false
		}
		if len(d.Buffered()) > before {
			return Ended, true
		}
	}
}

// outgrown reports whether a head was refused for its size alone.
func outgrown(err error) bool {
	switch r, _ := ReasonOf(err); r {
	case LineTooLong, HeadTooLarge, TooManyFields:
		return true
	}
	return false
}

// handsOver reports whether an exchange that ended with err goes on as bytes, which holds for a bound connection unless it was
// reset. What was read of the endpoint's bytes and not passed on is still in its buffer.
func (x *Exchange) handsOver(side Side, err error) bool {
	if x.d.bound == nil {
		return false
	}
	_, unreadable := ReasonOf(err)
	if err == errHandOver || side == SideUpstream && (err == io.EOF || unreadable) {
		x.end = tunnelled
		return true
	}
	return false
}

// opens reports whether the answer whose head has come is handed over as it is: its end is the connection's.
func (x *Exchange) opens(res *Response) bool {
	if x.d.bound == nil || res.Status != 101 && !res.connect && res.Body != UntilClose {
		return false
	}
	x.end = tunnelled
	return true
}

// mindClient looks at what a client does while it waits for an answer. Its FIN directly behind the request is passed on; behind bytes
// of a further request it is that one's. On a bound connection such bytes are looked at too: a request waits its turn, but an
// unfinished one behind which the client ends, or one too large to be read, shows that these are not requests, and the endpoint may
// want them before it answers.
func (x *Exchange) mindClient(up *Upstream) error {
	d := x.d
	// Without a FIN only a bound connection comes here; of others nobody looks twice.
	x.finSeen = d.bound == nil
	eof, err := x.lookAhead()
	if err != nil || d.Conn.PeerGone() {
		return errClientGone
	}
	rest := x.next.buf[x.next.r:x.next.w]
	if eof {
		x.finSeen, d.halfClosed = true, true
	}
	if len(rest) == 0 {
		d.Conn.Loop().Release(x.next.buf)
		x.next = readAhead{}
		if eof {
			x.tell(up)
		}
		return nil
	}
	if d.bound == nil {
		return nil
	}
	var further Request
	n, err := further.Parse(rest, d.o.HeadLimit)
	switch {
	case outgrown(err), err == nil && n == 0 && eof:
		return errHandOver
	case err != nil || n > 0:
		x.looked = true
	}
	return nil
}

// lookAhead reads what there is behind the request, into a buffer of its own: views into the connection's stay as they are.
func (x *Exchange) lookAhead() (eof bool, err error) {
	d, l := x.d, x.d.Conn.Loop()
	if x.next.buf == nil {
		rest := d.Buffered()[x.taken:]
		x.next = readAhead{buf: l.Buffer(len(rest) + loop.Small)}
		x.next.w = copy(x.next.buf, rest)
	}
	for d.Conn.Readable() {
		if x.next.w == len(x.next.buf) {
			larger := l.Buffer(2 * len(x.next.buf))
			x.next.r, x.next.w = 0, copy(larger, x.next.buf[x.next.r:x.next.w])
			l.Release(x.next.buf)
			x.next.buf = larger
		}
		n, err := d.Conn.TryRead(x.next.buf[x.next.w:])
		x.next.w += n
		switch {
		case err == io.EOF:
			return true, nil
		case err != nil:
			return false, err
		case n == 0 || x.next.w-x.next.r > d.headLimit():
			return false, nil
		}
	}
	return false, nil
}

func (d *Downstream) headLimit() int {
	if d.o.HeadLimit > 0 {
		return d.o.HeadLimit
	}
	return DefaultHeadLimit
}
