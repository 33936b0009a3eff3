package h2

import "github.com/sluice-mesh/sluice/sidecar/h2/hpack"

// pipe is one direction of an exchange: data from where it is received to where it is sent. What the receiver cannot take yet waits in
// buf; that is bounded by the window the sender was granted, which is renewed as bytes go on.
type pipe struct {
	x  *Exchange
	up bool // the request's

	buf   []byte // borrowed; bytes [r:w] are to be sent
	r, w  int
	keep  bool // bytes before r stay, for another attempt
	paid  int  // of the bytes to be sent, those that were owed for already: they went on in an earlier attempt
	ended bool // the sender sent END_STREAM
	// trailers end the pipe where there are any; they are the pipe's own.
	trailers []hpack.Field
	size     int   // of the trailers that wait
	declared int64 // content-length; -1 none
	came     int64 // bytes received

	sent   bool  // END_STREAM was sent on
	lost   bool  // bytes went on that are not kept
	window int64 // what the receiver grants

	credit int64 // what the sender may still send
	target int64 // its window
	owed   int64 // bytes that went on and were not returned to it

	inLine bool // in the receiver's line of blocked pipes
	next   *pipe
}

func (p *pipe) begin(x *Exchange, up bool) {
	trailers := p.trailers[:0]
	*p = pipe{x: x, up: up, declared: -1, target: firstWindow, credit: firstWindow, trailers: trailers}
}

// open says what window the sender of the pipe's data begins with.
func (p *pipe) open(window int64) { p.credit, p.target = window, window }

// from answers where the pipe's data comes from; to, where it goes. Nil is a side that is gone, or not there yet.
func (p *pipe) from() (*conn, uint32) {
	if p.up {
		return p.x.downConn(), p.x.id
	}
	return p.x.upConn(), p.x.upID
}

func (p *pipe) to() (*conn, uint32) {
	if p.up {
		return p.x.upConn(), p.x.upID
	}
	if p.x.pending != nil {
		return nil, 0
	}
	return p.x.downConn(), p.x.id
}

func (p *pipe) waiting() int { return p.w - p.r }

// receive takes data of the sender; padding is what came with it and goes nowhere.
func (p *pipe) receive(data []byte, padding int, end bool) {
	p.ended = p.ended || end
	p.owed += int64(padding)
	d, id := p.to()
	if p.keep || p.waiting() > 0 || d == nil || p.sent || d.blocked.first != nil {
		p.store(data)
	} else {
		n := int(max(0, min(int64(len(data)), p.window, d.window, d.spare())))
		last := p.ended && n == len(data) && len(p.trailers) == 0
		if n > 0 || last {
			d.appendData(id, data[:n], last, n == len(data))
			p.window -= int64(n)
			p.owed += int64(n)
			p.sent = last
			p.lost = p.lost || n > 0
		}
		p.store(data[n:])
	}
	p.pump()
}

// store appends to buf.
func (p *pipe) store(data []byte) {
	if len(data) == 0 {
		return
	}
	if p.keep && (p.w+len(data) > p.x.limit || p.x.memory().tight()) {
		p.commit()
	}
	if p.w+len(data) > len(p.buf) {
		p.grow(p.w - p.r + len(data))
	}
	p.w += copy(p.buf[p.w:], data)
}

// grow makes room for n bytes from the first one that is still needed.
func (p *pipe) grow(n int) {
	first := p.r
	if p.keep {
		n += p.r
		first = 0
	}
	b := p.buf
	if n > len(b) {
		b = p.x.l.Buffer(n)
		p.x.memory().add(len(b) - len(p.buf))
	}
	k := copy(b, p.buf[first:p.w])
	if p.buf != nil && &b[0] != &p.buf[0] {
		p.x.l.Release(p.buf)
	}
	p.buf, p.r, p.w = b, p.r-first, k
}

// commit gives up what was kept for another attempt.
func (p *pipe) commit() {
	if p.keep {
		p.keep = false
		p.lost = p.r > 0
		p.shrink()
	}
}

// shrink gives the buffer back once all of it went on.
func (p *pipe) shrink() {
	if p.r == p.w && !p.keep {
		p.release()
	}
}

// drop forgets everything.
func (p *pipe) drop() {
	p.keep, p.paid = false, 0
	p.release()
	p.held(0)
}

func (p *pipe) release() {
	if p.buf != nil {
		p.x.memory().add(-len(p.buf))
		p.x.l.Release(p.buf)
		p.buf, p.r, p.w = nil, 0, 0
	}
}

// held counts the size of trailers that wait, in bytes.
func (p *pipe) held(n int) {
	if n != p.size {
		p.x.memory().add(n - p.size)
		p.size = n
	}
}

// turnSize is how much one pipe may send before the next one in line gets its turn.
const turnSize = 16 << 10

// pump sends on what waits as far as the receiver takes it, and what ends the pipe.
func (p *pipe) pump() {
	d, id := p.to()
	if d == nil || p.sent {
		p.renew()
		p.x.progress()
		return
	}
	for p.waiting() > 0 && p.window > 0 {
		if d.window <= 0 || d.spare() <= 0 || d.blocked.first != nil && !p.inLine && d.blocked.serving != p {
			d.blocked.join(p)
			break
		}
		n := int(min(int64(p.waiting()), p.window, d.window, d.spare(), turnSize))
		last := n == p.waiting() && p.ended && len(p.trailers) == 0
		d.appendData(id, p.buf[p.r:p.r+n], last, n == p.waiting())
		p.r += n
		p.window -= int64(n)
		p.owed += int64(n - min(n, p.paid))
		p.paid -= min(n, p.paid)
		p.lost = p.lost || !p.keep
		p.sent = last
		if d.blocked.serving == p && p.waiting() > 0 && d.blocked.first != nil {
			d.blocked.join(p) // the others' turn
			break
		}
	}
	if p.ended && !p.sent && p.waiting() == 0 {
		p.sent = true
		if len(p.trailers) > 0 {
			d.appendHeaders(id, p.trailers, true)
		} else {
			d.appendData(id, nil, true, true)
		}
	}
	p.shrink()
	p.renew()
	p.x.progress()
}

// again makes the pipe ready to be sent from its start.
func (p *pipe) again() {
	if p.keep {
		p.paid += p.r
		p.r = 0
	}
	p.sent, p.window = false, 0
}

// resume has the pipe, which is made ready, go on behind its first n bytes, which went out in an attempt before, in the window that was left there.
func (p *pipe) resume(n int, window int64) {
	p.r, p.paid, p.window = n, p.paid-n, window
}

// replayable reports whether the pipe could still be sent from its start.
func (p *pipe) replayable() bool { return !p.lost }
