package h1

import (
	"time"

	"github.com/sluice-mesh/sluice/sidecar/loop"
	"github.com/sluice-mesh/sluice/sidecar/retry"
)

// Options are the settings of downstream connections; the zero value works.
type Options struct {
	// HeadLimit is the largest head, in bytes, of requests and responses; 0 is DefaultHeadLimit.
	HeadLimit int
	// Workspaces is shared by the connections of a loop; nil gives each connection its own.
	Workspaces *Workspaces
	// Memory bounds what is kept of requests' bodies, see Exchange.Keep; nil is without bound.
	Memory *retry.Memory
	// Refused is told of each request that was answered with an error of the codec; nil is told nothing.
	Refused func(Reason)
}

// lingerTime and lingerSilence bound how long a connection that is being closed still takes what the client sends, so that the kernel
// does not answer those bytes with a reset that overtakes our last answer (RFC 9112, section 9.6): in all, and while nothing comes. A client
// that has been refused an upload may send all of it before it looks for an answer. They are nginx's lingering_time and
// lingering_timeout, which its clients have without us. Where the endpoint has gone nobody takes an upload any more: the bounds for abandoned
// clients are for what is on its way.
const (
	lingerTime    = 30 * time.Second
	lingerSilence = 5 * time.Second
	abandonedTime = time.Second
	abandonedMost = 256 << 10
)

// Downstream is an application's connection.
type Downstream struct {
	Stream
	o Options
	// request and x are borrowed from o.Workspaces while a request is under way; nil while the connection is idle.
	request *Request
	x       *Exchange
	space   *workspace
	// halfClosed says that the client's FIN was read: no further request will come, the answer is still wanted.
	halfClosed bool
	// bound is the connection's own upstream, if it has one. See Bind.
	bound *Upstream
}

// NewDownstream takes over a connection and the bytes that were read ahead of it.
func NewDownstream(s Stream, o Options) *Downstream {
	if o.Workspaces == nil {
		o.Workspaces = &Workspaces{}
	}
	return &Downstream{Stream: s, o: o}
}

// State is what has become of a connection that was served.
type State uint8

// The states.
const (
	// Ended is a connection that is closed.
	Ended State = iota
	// Tunnel is one whose exchange ended as a tunnel. It is the caller's, with what was read ahead.
	Tunnel
	// Idle is one of which the next request has not begun. It holds no buffer, and is to be served again once it is readable. A bound one is
	// never idle.
	Idle
)

// Serve reads requests and gives each to handle, which sends it somewhere or replies, for as long as there is one.
func (d *Downstream) Serve(handle func(*Exchange)) (s State) {
	defer func() {
		// Behind a tunnel's exchange Settle still looks at it.
		if s != Tunnel {
			d.giveBack()
		}
	}()
	for {
		n, instead := d.readHead()
		if n == 0 {
			return instead
		}
		if err := d.x.begin(d, n); err != nil {
			d.refuse(err)
			return Ended
		}
		handle(d.x)
		switch d.x.settle() {
		case again:
		case tunnelled:
			return Tunnel
		case broken:
			d.Reset()
			return Ended
		case closing:
			d.finish(d.x.unread(), lingerTime, -1)
			return Ended
		default:
			d.finish(d.x.unread(), abandonedTime, abandonedMost)
			return Ended
		}
	}
}

// readHead reads the next request head and answers its length, or 0 and what has become of the connection.
func (d *Downstream) readHead() (n int, s State) {
	for {
		if len(d.Buffered()) > 0 {
			d.borrow()
			n, err := d.request.Parse(d.Buffered(), d.o.HeadLimit)
			if err != nil {
				if d.bound != nil && outgrown(err) {
					return 0, Tunnel
				}
				d.refuse(err)
				return 0, Ended
			}
			if n > 0 {
				return n, Ended
			}
		} else {
			d.giveBack()
		}
		if s, more := d.more(); !more {
			return 0, s
		}
	}
}

// more reads on in a head, for which it waits, or in the next one, if that is there. It reports false, and what the connection is, when there is
// nothing.
func (d *Downstream) more() (s State, more bool) {
	if d.bound != nil {
		return d.moreOrRaw()
	}
	var err error
	switch {
	case len(d.Buffered()) > 0:
		err = d.Fill(loop.Small)
	case d.Conn.Readable() || d.Conn.Closed() || d.Conn.Loop().Stopping():
		err = d.TryFill(loop.Small)
	}
	if err != nil {
		d.Close()
		return Ended, false
	}
	return Idle, len(d.Buffered()) > 0
}

// refuse answers a request that cannot be read, and closes.
func (d *Downstream) refuse(err error) {
	reason, ok := ReasonOf(err)
	if !ok {
		d.Close()
		return
	}
	if d.o.Refused != nil {
		d.o.Refused(reason)
	}
	if _, err := d.Conn.Write(reason.Answer()); err != nil {
		d.Close()
		return
	}
	d.finish(true, lingerTime, -1)
}

// finish closes in an orderly way: FIN, then what the client still sends is taken for a while, and up to most bytes unless that is negative.
// Meanwhile the connection holds no buffer but while it reads.
func (d *Downstream) finish(unread bool, within time.Duration, most int) {
	defer d.Close()
	if len(d.Buffered()) == 0 && !unread && !d.Conn.Pending() {
		return
	}
	d.Drop()
	if d.Conn.CloseWrite() != nil {
		return
	}
	d.giveBack()
	l := d.Conn.Loop()
	end := l.Now() + int64(within)
	d.Conn.SetReadDeadline(end)
	for n, err := 0, error(nil); err == nil && (most < 0 || n < most); {
		if err = l.Wait(min(end, l.Now()+int64(lingerSilence)), d.Conn, nil, d.Conn.Readable); err != nil {
			return
		}
		buf := l.Buffer(loop.Large)
		var k int
		k, err = d.Conn.TryRead(buf)
		n += k
		l.Release(buf)
	}
}
