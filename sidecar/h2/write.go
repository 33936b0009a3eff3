package h2

import (
	"github.com/sluice-mesh/sluice/sidecar/h2/frame"
	"github.com/sluice-mesh/sluice/sidecar/h2/hpack"
	"github.com/sluice-mesh/sluice/sidecar/loop"
)

// room makes sure that n more bytes fit into out.
func (c *conn) room(n int) {
	if cap(c.out)-len(c.out) >= n {
		return
	}
	need := len(c.out) + n
	b := c.l.Buffer(max(need+need/2, min(2*need, loop.Bulk)))
	n = copy(b, c.out)
	c.dropOut()
	c.out, c.size = b[:n], len(b)
	c.o.Memory.add(c.size)
}

// dirty has out sent at the end of this turn.
func (c *conn) dirty() {
	if !c.asked && !c.draining {
		c.asked = true
		c.l.AtTurnEnd(c)
	}
}

// Flush sends what was collected; what the socket does not take is left to a coroutine of its own.
func (c *conn) Flush() {
	c.asked = false
	c.flush()
	if c.blocked.first != nil && !c.draining {
		c.unblock()
	}
}

func (c *conn) flush() {
	if c.closed || c.draining || len(c.out) == 0 {
		return
	}
	n, err := c.c.TryWrite(c.out)
	if err != nil {
		c.failed = err
		c.dropOut()
		return // who reads will learn of it
	}
	if n == len(c.out) {
		c.dropOut()
		return
	}
	b, size := c.out, c.size
	c.out = nil
	c.backlog, c.before, c.draining = len(b)-n, c.c.Sent(), true
	c.l.Go(func() { c.drain(b, n, size) })
}

func (c *conn) dropOut() {
	if c.out != nil {
		c.release(c.out, c.size)
		c.out = nil
	}
}

// release gives back a buffer that was lent, and counted, with that size.
func (c *conn) release(b []byte, size int) {
	c.l.Release(b[:cap(b)])
	c.o.Memory.add(-size)
}

// drain writes what the socket did not take at once, until nothing waits any more.
func (c *conn) drain(b []byte, from, size int) {
	defer func() { // also when a panic passes
		c.backlog, c.draining = 0, false
		if c.task != nil {
			c.task.Wake() // say may wait for it
		}
	}()
	for {
		_, err := c.c.Write(b[from:])
		c.release(b, size)
		c.backlog = 0
		if err != nil {
			c.failed = err
			c.dropOut()
			return
		}
		c.unblock()
		if len(c.out) == 0 || c.closed {
			return
		}
		b, from, size = c.out, 0, c.size
		c.out, c.backlog, c.before = nil, len(b), c.c.Sent()
	}
}

// spare answers how many bytes of data may still be put into out.
func (c *conn) spare() int64 {
	water := highWater
	if c.o.Memory.tight() {
		water = tightWater
	}
	return int64(water - c.backlog - len(c.out))
}

// appendHeaders appends a field block.
func (c *conn) appendHeaders(id uint32, fields []hpack.Field, end bool) {
	size := 64
	for i := range fields {
		size += len(fields[i].Name) + len(fields[i].Value) + 16
	}
	c.room(size + size/frame.DefaultMaxSize*frame.HeaderLen)
	at := len(c.out)
	b := c.enc.Begin(c.out[:at+frame.HeaderLen])
	for i := range fields {
		b = c.enc.Append(b, fields[i])
	}
	h := frame.Header{Length: uint32(len(b) - at - frame.HeaderLen), Type: frame.Headers, Flags: frame.EndHeaders, Stream: id}
	if end {
		h.Flags |= frame.EndStream
	}
	if int(h.Length) <= c.maxFrame {
		h.Put(b[at:])
		c.out = b
	} else {
		c.out = c.split(b, at, h)
	}
	c.calm.earn(2)
	c.dirty()
	if len(c.out) > controlWater {
		c.nudge() // the connection has to be ended, see serve
	}
}

// split makes HEADERS and CONTINUATION frames of a block that is too large for one; it stands in b behind the room for a header at at.
func (c *conn) split(b []byte, at int, h frame.Header) []byte {
	rest := append([]byte(nil), b[at+frame.HeaderLen:]...)
	b = b[:at]
	h.Flags &^= frame.EndHeaders
	for len(rest) > 0 {
		n := min(len(rest), c.maxFrame)
		h.Length = uint32(n)
		if n == len(rest) {
			h.Flags |= frame.EndHeaders
		}
		b = append(h.Append(b), rest[:n]...)
		rest = rest[n:]
		h.Type, h.Flags = frame.Continuation, 0
	}
	return b
}

// appendData appends DATA frames and takes them off the connection's window. all says that nothing more waits on the stream, so that it is
// not the window that makes the frame small.
func (c *conn) appendData(id uint32, data []byte, end, all bool) {
	c.room(len(data) + frame.HeaderLen*(1+len(data)/c.maxFrame))
	c.window -= int64(len(data))
	if all || len(data) >= crumb {
		c.calm.earn(4)
	} else {
		c.calm.crumble()
	}
	for {
		n := min(len(data), c.maxFrame)
		c.out = frame.AppendData(c.out, id, data[:n], end && n == len(data))
		data = data[n:]
		if len(data) == 0 {
			break
		}
	}
	c.dirty()
	if c.spare() <= 0 {
		c.flush()
	}
}

// resetStream appends an RST_STREAM.
func (c *conn) resetStream(id uint32, code frame.Code) {
	c.room(32)
	c.out = frame.AppendResetStream(c.out, id, code)
	c.dirty()
}

// say ends the connection's way out: GOAWAY, then what is still to be sent, then FIN. It waits, but not for long.
func (c *conn) say(last uint32, e *frame.ConnError) {
	c.room(64)
	reason := ""
	if e.Reason != frame.NoReason {
		reason = e.Reason.String()
	}
	c.out = frame.AppendGoAway(c.out, last, e.Code, reason)
	c.c.SetWriteDeadline(c.l.Now() + int64(lingerTime))
	c.flush()
	c.l.Wait(c.l.Now()+int64(lingerTime), nil, nil, func() bool { return !c.draining })
	if c.draining || c.failed != nil || c.c.CloseWrite() != nil {
		return
	}
	// Take what is still on its way for a moment, or the kernel's reset overtakes GOAWAY.
	buf := c.l.Buffer(loop.Medium)
	defer c.l.Release(buf)
	c.c.SetReadDeadline(c.l.Now() + int64(lingerTime))
	for n := 0; n < lingerBytes; {
		k, err := c.c.Read(buf)
		if err != nil {
			return
		}
		n += k
	}
}
