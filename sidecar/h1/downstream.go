package h1

import (
	"errors"
	"io"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/loop"
)

// Options are the settings of downstream connections; the zero value works.
type Options struct {
	// HeadLimit is the largest head, in bytes, of requests and responses; 0 is DefaultHeadLimit.
	HeadLimit int
	// Refused is told of each request that was answered with an error of the codec; nil is told nothing.
	Refused func(Reason)
}

// lingerTime and lingerBytes bound how long a connection that is being closed still takes what the client sends, so that the
// kernel does not answer those bytes with a reset that overtakes our last answer (RFC 9112, section 9.6).
const (
	lingerTime  = time.Second
	lingerBytes = 256 << 10
)

// Downstream is an application's connection.
type Downstream struct {
	Stream
	o Options
	x Exchange
	// halfClosed says that the client's FIN was read: no further request will come, the answer is still wanted.
	halfClosed bool
}

// NewDownstream takes over a connection and the bytes that were read ahead of it.
func NewDownstream(s Stream, o Options) *Downstream {
	return &Downstream{Stream: s, o: o}
}

// Serve reads requests and gives each to handle, which sends it somewhere or replies; it returns when the connection has
// ended. When handle ends an exchange as a tunnel, Serve returns at once and leaves the connection to the caller: it reports
// that by true.
func (d *Downstream) Serve(handle func(*Exchange)) (tunnel bool) {
	for {
		ok := d.readHead()
		if !ok {
			return false
		}
		x := &d.x
		x.begin(d)
		handle(x)
		switch x.end() {
		case again:
		case closing:
			d.finish()
			return false
		case broken:
			d.Reset()
			return false
		case tunnelled:
			return true
		}
	}
}

// readHead waits for the next request head. While none has begun the connection holds no buffer.
func (d *Downstream) readHead() bool {
	l := d.Conn.Loop()
	for {
		if len(d.Buffered()) > 0 {
			n, err := d.x.Request.Parse(d.Buffered(), d.o.HeadLimit)
			if err != nil {
				d.refuse(err)
				return false
			}
			if n > 0 {
				d.x.headLen = n
				return true
			}
		} else {
			d.x.Request.Reset()
			if d.halfClosed {
				d.Close()
				return false
			}
			if err := l.Wait(loop.Never, d.Conn, nil, d.Conn.Readable); err != nil {
				d.Close()
				return false
			}
		}
		if err := d.Fill(loop.Small); err != nil {
			d.Close()
			return false
		}
	}
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
	d.finish()
}

// finish closes in an orderly way: FIN, then what the client still sends is taken for a while.
func (d *Downstream) finish() {
	defer d.Close()
	if len(d.Buffered()) == 0 && !d.Conn.Readable() && !d.x.unread {
		return
	}
	d.Drop()
	if d.Conn.CloseWrite() != nil {
		return
	}
	l := d.Conn.Loop()
	buf := l.Buffer(loop.Medium)
	defer l.Release(buf)
	d.Conn.SetReadDeadline(l.Now() + int64(lingerTime))
	for n := 0; n < lingerBytes; {
		k, err := d.Conn.Read(buf)
		if err != nil {
			return
		}
		n += k
	}
}

// errDownstreamGone is the end of an attempt whose client reset the connection or went away.
var errDownstreamGone = errors.New("client closed the connection")

// sawFin handles the client's FIN during an exchange: it answers whether the upstream is to be told, which it is when nothing
// but the FIN follows the request. A client that shuts down its sending side still waits for the answer.
func (d *Downstream) sawFin() (tell bool, err error) {
	if d.Conn.PeerGone() {
		return false, errDownstreamGone
	}
	if !d.atEOF() {
		return false, nil
	}
	if d.Conn.PeerGone() {
		return false, errDownstreamGone
	}
	d.halfClosed = true
	return len(d.Buffered()) == d.x.taken, nil
}

func isEOF(err error) bool { return err == io.EOF }
