package h2

import (
	"time"

	"github.com/sluice-mesh/sluice/sidecar/h2/frame"
)

const (
	// connWindow is what a peer may send on a connection at first, and maxConnWindow what that grows to as long as its bytes go on. Credit is
	// returned as the bytes come: a stream that stalls must not take the others' share.
	connWindow    = 256 << 10
	maxConnWindow = 1 << 20
	// firstWindow is what a peer may send on a stream at first, and maxWindow what that grows to as long as its bytes flow. A path of
	// 1 Gbit/s and 1 ms needs 125 KB, and half a window comes back at a time.
	firstWindow = frame.DefaultWindow
	maxWindow   = 256 << 10
	// smallWindow takes the place of both while memory is short; a buffer of the smallest size holds it. See Memory.
	smallWindow = 4 << 10
	// withholdTime bounds, in nanoseconds, how long a peer that does not acknowledge a smaller window gets no credit.
	withholdTime = int64(time.Second)
)

// grant is what a peer may send on a connection and on each of its streams.
type grant struct {
	credit int64 // of the connection
	target int64 // its window
	owed   int64 // bytes that came and were not returned
	flow   int64 // bytes that went on since the window was made larger

	// base is what the window of a new stream is: what we said last, or what we said before while a smaller one is not acknowledged.
	base int64
	said int64
	// unacked are the SETTINGS that were not acknowledged; changing says that a window is among them, said at that time.
	unacked  int
	changing bool
	at       int64
}

func (g *grant) init() {
	*g = grant{credit: frame.DefaultWindow, target: connWindow, base: firstWindow, said: firstWindow}
}

// withheld reports whether the connection's credit is not to be returned now.
func (g *grant) withheld(now int64) bool {
	return g.changing && g.said < g.base && now-g.at < withholdTime
}

// adjust tells the peer the window that streams begin with, when that has changed: RFC 9113, section 6.9.2. A larger one holds at once, a
// smaller one once it is acknowledged.
func (c *conn) adjust() {
	want := c.o.Memory.window()
	if want == c.said || c.changing || c.closed {
		return
	}
	c.room(32)
	c.out = frame.AppendSettings(c.out, frame.Setting{ID: frame.InitialWindowSize, Value: uint32(want)})
	c.dirty()
	c.said, c.changing, c.at = want, true, c.l.Now()
	c.unacked++
	if want > c.base {
		c.shift(want - c.base)
	}
	c.nudge() // withheld credit is to be returned in time
}

// onAck takes the acknowledgement of SETTINGS.
func (c *conn) onAck() {
	c.acked = true
	if c.unacked == 0 {
		return // of none
	}
	if c.unacked--; c.unacked > 0 || !c.changing {
		return
	}
	c.changing = false
	if c.said < c.base {
		c.shift(c.said - c.base)
	}
	c.returnCredit()
	c.adjust() // there may be another by now
}

// shift changes the windows of all streams as the peer does.
func (c *conn) shift(n int64) {
	c.base += n
	for _, x := range c.streams {
		p := c.role.pipeOf(x)
		p.credit += n
		p.target += n
		if p.target < smallWindow {
			p.owed += smallWindow - p.target
			p.target = smallWindow
		}
		p.renew()
		if p.up && x.watched {
			x.More() // nothing has gone on to be returned, and nothing comes by itself once the window is used up
		}
	}
}

// took counts a DATA frame against the connection's window. It reports false when there was none left.
func (c *conn) took(n int64) bool {
	if c.credit -= n; c.credit < 0 {
		return false
	}
	c.owed += n
	c.returnCredit()
	return true
}

// returnCredit returns the connection's credit for what has come.
func (c *conn) returnCredit() {
	if c.owed < c.grant.target/2 || c.withheld(c.l.Now()) {
		return
	}
	switch tight := c.o.Memory.tight(); {
	case tight && c.grant.target > connWindow:
		n := min(c.owed, c.grant.target-connWindow)
		c.owed -= n
		c.grant.target -= n
	case !tight && c.flow >= c.grant.target && c.grant.target < maxConnWindow:
		c.flow = 0
		n := min(c.grant.target, maxConnWindow-c.grant.target)
		c.owed += n
		c.grant.target += n
	}
	if c.owed == 0 {
		return
	}
	c.room(32)
	c.out = frame.AppendWindowUpdate(c.out, 0, uint32(c.owed))
	c.credit += c.owed
	c.owed = 0
	c.dirty()
}

// renew returns credit to the sender for what went on. A stream whose bytes flow gets a larger window.
//
// What the sender may send, what waits and what is owed make up the target at any time.
func (p *pipe) renew() {
	s, id := p.from()
	if p.ended || s == nil {
		return
	}
	tight, limit := p.x.memory().tight(), int64(maxWindow)
	if tight && p.waiting() > 0 {
		limit = smallWindow
	}
	if n := min(p.owed, p.target-limit); n > 0 {
		p.owed -= n
		p.target -= n
	}
	if p.owed == 0 || p.owed < p.target/2 {
		return
	}
	s.flow += p.owed
	if n := min(p.target, limit-p.target); n > 0 && !tight && p.waiting() == 0 {
		p.owed += n
		p.target += n
	}
	s.room(32)
	s.out = frame.AppendWindowUpdate(s.out, id, uint32(p.owed))
	s.dirty()
	p.credit += p.owed
	p.owed = 0
}
