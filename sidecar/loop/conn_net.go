//go:build !linux || netloop || race

package loop

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"
)

// Conn is a TCP connection of a loop. One coroutine may read while another writes and a third waits for its hang-up.
type Conn struct {
	l      *Loop
	tcp    *net.TCPConn
	closed bool

	readDeadline, writeDeadline int64

	// ahead is what a goroutine has read to learn whether there is anything to read; Read takes it first.
	ahead     [4096]byte
	aheadN    int
	aheadErr  error
	fetching  bool
	reading   int // coroutines inside Read
	aheadDone bool

	finned, broken  bool
	ended           error // why the connection first failed or ended
	reader, watcher *Task
	onClose         func()
	remote, local   netip.AddrPort
	sent            uint64
	dialled         bool
}

func (l *Loop) newConn(tcp *net.TCPConn) *Conn {
	c := &Conn{l: l, tcp: tcp, remote: unmap(tcp.RemoteAddr().(*net.TCPAddr).AddrPort()),
		local: unmap(tcp.LocalAddr().(*net.TCPAddr).AddrPort())}
	l.conns[c] = struct{}{}
	return c
}

func (c *Conn) abort() { c.tcp.SetDeadline(time.Unix(1, 0)) }

func (c *Conn) check() error {
	if c.closed {
		return ErrClosed
	}
	if c.l.stopping {
		return ErrStopped
	}
	return nil
}

// fetch begins to read ahead, unless that runs or has ended.
func (c *Conn) fetch() {
	if c.fetching || c.aheadDone || c.closed {
		return
	}
	c.fetching = true
	c.setReadDeadline(Never)
	go func() {
		n, err := c.tcp.Read(c.ahead[:])
		c.l.mu.Lock()
		defer c.l.mu.Unlock()
		c.fetching = false
		c.aheadDone = true
		c.aheadN, c.aheadErr = n, err
		c.sawError(err)
		if c.reader != nil {
			c.reader.poke()
		}
		if c.watcher != nil {
			c.watcher.poke()
		}
	}()
}

func (c *Conn) sawError(err error) {
	if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		return
	}
	if c.ended == nil {
		c.ended = err
	}
	if err == io.EOF {
		c.finned = true
	} else {
		c.broken = true
	}
}

func (c *Conn) setReadDeadline(t int64) {
	if c.l.stopping {
		return
	}
	c.tcp.SetReadDeadline(wall(t))
}

func wall(t int64) time.Time {
	if t == Never {
		return time.Time{}
	}
	return time.Now().Add(time.Duration(t - clock()))
}

// Loop answers the loop the connection belongs to.
func (c *Conn) Loop() *Loop { return c.l }

// RemoteAddr answers the peer's address. Safe for concurrent use.
func (c *Conn) RemoteAddr() netip.AddrPort { return c.remote }

// LocalAddr answers this side's address.
func (c *Conn) LocalAddr() netip.AddrPort { return c.local }

// SetReadDeadline bounds Read, also one that waits now, in nanoseconds of the loop's clock; Never takes the bound away.
func (c *Conn) SetReadDeadline(t int64) {
	c.readDeadline = t
	if c.reading > 0 {
		c.setReadDeadline(t)
	}
	if c.reader != nil {
		c.reader.poke()
	}
}

// SetWriteDeadline bounds Write and its kin in the same way.
func (c *Conn) SetWriteDeadline(t int64) {
	c.writeDeadline = t
	if !c.l.stopping {
		c.tcp.SetWriteDeadline(wall(t))
	}
}

// Readable reports whether bytes, the peer's FIN or a reset are there to read, as far as the loop was told. It makes no system
// call, and is right but for one case: behind a call that took as much as it asked for, it is true though nothing may be left.
// An idle upstream connection that is readable must not be used again.
func (c *Conn) Readable() bool {
	c.fetch()
	return c.aheadDone
}

// Pending is Readable without its one case.
func (c *Conn) Pending() bool { return c.Readable() }

// FinFirst reports whether the peer's FIN came before anything else ended the connection. FIN acknowledges what had come until
// then, which a reset does not; see Acknowledged.
func (c *Conn) FinFirst() bool { return c.ended == io.EOF || errors.Is(c.ended, syscall.EPIPE) }

// PeerFinished reports whether the peer has sent FIN; bytes may be unread before it.
func (c *Conn) PeerFinished() bool { return c.finned || c.broken }

// PeerGone reports whether the connection was reset or ended in both directions.
func (c *Conn) PeerGone() bool { return c.broken }

// Read reads into p as soon as there is something. io.EOF is the peer's FIN; ErrTimeout the read deadline.
func (c *Conn) Read(p []byte) (int, error) {
	if err := c.check(); err != nil {
		return 0, err
	}
	if len(p) == 0 {
		return 0, nil
	}
	for c.fetching {
		if c.readDeadline != Never && clock() >= c.readDeadline {
			return 0, ErrTimeout
		}
		c.reader = c.l.cur
		c.l.Park(c.readDeadline)
		c.reader = nil
		if err := c.check(); err != nil {
			return 0, err
		}
	}
	if c.aheadDone {
		if c.aheadN > 0 {
			n := copy(p, c.ahead[:c.aheadN])
			c.aheadN = copy(c.ahead[:], c.ahead[n:c.aheadN])
			if c.aheadN == 0 && c.aheadErr == nil {
				c.aheadDone = false
			}
			return n, nil
		}
		return 0, c.fail(c.aheadErr)
	}
	c.setReadDeadline(c.readDeadline)
	var n int
	var err error
	c.reading++
	c.l.block(func() { n, err = c.tcp.Read(p) })
	c.reading--
	c.sawError(err)
	if err != nil && c.watcher != nil {
		c.watcher.poke()
	}
	if n > 0 {
		return n, nil
	}
	return 0, c.fail(err)
}

// TryRead is Read that does not wait: it answers 0 and no error when nothing is there.
func (c *Conn) TryRead(p []byte) (int, error) {
	if err := c.check(); err != nil {
		return 0, err
	}
	if c.readDeadline != Never && clock() >= c.readDeadline {
		return 0, ErrTimeout
	}
	if !c.Readable() {
		return 0, nil
	}
	return c.Read(p)
}

// fail turns package net's errors into the loop's.
func (c *Conn) fail(err error) error {
	switch {
	case err == nil || err == io.EOF:
		return err
	case c.check() != nil:
		return c.check()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return ErrTimeout
	}
	return err
}

// Write writes all of p.
func (c *Conn) Write(p []byte) (int, error) {
	if err := c.check(); err != nil {
		return 0, err
	}
	var n int
	var err error
	c.l.block(func() { n, err = c.tcp.Write(p) })
	c.sent += uint64(n)
	c.failedWrite(err)
	return n, c.fail(err)
}

// Writev writes all segments in as few system calls as the kernel allows. It does not change bufs.
func (c *Conn) Writev(bufs ...[]byte) (int, error) {
	if err := c.check(); err != nil {
		return 0, err
	}
	own := append(net.Buffers(nil), bufs...)
	var n int64
	var err error
	c.l.block(func() { n, err = own.WriteTo(c.tcp) })
	c.sent += uint64(n)
	c.failedWrite(err)
	return int(n), c.fail(err)
}

func (c *Conn) failedWrite(err error) {
	if err != nil && c.ended == nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		c.ended = err
	}
}

// CloseWrite sends FIN; reading goes on.
func (c *Conn) CloseWrite() error {
	if err := c.check(); err != nil {
		return err
	}
	return c.tcp.CloseWrite()
}

// Close closes the connection; whoever waits on it is answered ErrClosed. Closing again does nothing.
func (c *Conn) Close() error {
	if c.closed {
		return nil
	}
	c.closed = true
	delete(c.l.conns, c)
	for _, t := range []*Task{c.reader, c.watcher} {
		if t != nil {
			t.poke()
		}
	}
	err := c.tcp.Close()
	if c.onClose != nil {
		c.onClose()
	}
	return err
}

// Reset closes the connection with RST instead of FIN, and drops what was written but not yet sent.
func (c *Conn) Reset() error {
	if c.closed {
		return nil
	}
	c.tcp.SetLinger(0)
	return c.Close()
}

// Sent answers how many bytes the kernel has taken so far.
func (c *Conn) Sent() uint64 { return c.sent }

// Splice moves what src has to read, up to max bytes (negative: without bound), to dst without copying it through the process,
// and returns when nothing more is there: it waits for dst, not for src. It answers how many bytes dst took. The error is io.EOF
// when src ended; of others, srcErr says whether src failed rather than dst.
func (l *Loop) Splice(dst, src *Conn, max int64) (n int64, srcErr bool, err error) {
	buf := l.Buffer(Large)
	defer l.Release(buf)
	for max < 0 || n < max {
		p := buf
		if max >= 0 && max-n < int64(len(p)) {
			p = p[:max-n]
		}
		k, err := src.TryRead(p)
		if err != nil || k == 0 {
			return n, err != nil, err
		}
		k, err = dst.Write(p[:k])
		n += int64(k)
		if err != nil {
			return n, false, err
		}
	}
	return n, false, nil
}

// Wait parks until cond holds, the deadline passes (ErrTimeout) or the loop stops (ErrStopped). cond is asked again after each
// event on r (readable, FIN, reset) and on h (FIN, reset; either may be nil), and after Wake. A coroutine may read r and
// another h meanwhile.
func (l *Loop) Wait(deadline int64, r, h *Conn, cond func() bool) error {
	for {
		if l.stopping {
			return ErrStopped
		}
		if cond() {
			return nil
		}
		if deadline != Never && deadline <= clock() {
			return ErrTimeout
		}
		if r != nil {
			if r.closed {
				return ErrClosed
			}
			r.fetch()
			r.reader = l.cur
		}
		if h != nil {
			h.fetchUnlessRead()
			h.watcher = l.cur
		}
		if !cond() {
			l.Park(deadline)
		}
		if r != nil {
			r.reader = nil
		}
		if h != nil {
			h.watcher = nil
		}
	}
}

// fetchUnlessRead begins to read ahead to notice a hang-up, unless a coroutine reads the connection and will notice it.
func (c *Conn) fetchUnlessRead() {
	if c.reading == 0 {
		c.fetch()
	}
}

// Dial connects to addr.
func (l *Loop) Dial(addr netip.AddrPort, o DialOptions) (*Conn, error) {
	if l.stopping {
		return nil, ErrStopped
	}
	d := net.Dialer{Timeout: o.Timeout, KeepAlive: -1}
	if idle, interval, count := o.probes(); idle > 0 {
		d.KeepAliveConfig = net.KeepAliveConfig{Enable: true, Idle: time.Duration(idle) * time.Second,
			Interval: time.Duration(interval) * time.Second, Count: count}
	}
	var nc net.Conn
	var err error
	l.block(func() { nc, err = d.DialContext(context.Background(), "tcp", unmap(addr).String()) })
	if err != nil {
		if ne, ok := err.(net.Error); ok && ne.Timeout() {
			err = os.NewSyscallError("connect", ErrTimeout)
		}
		return nil, err
	}
	c := l.newConn(nc.(*net.TCPConn))
	if l.stopping {
		c.Close()
		return nil, ErrStopped
	}
	c.connected()
	return c, nil
}

// Listener accepts connections on one loop. In this implementation loops cannot share an address.
type Listener struct {
	l      *Loop
	tcp    *net.TCPListener
	closed bool
}

// Accept waits for a connection. Shortage of descriptors or memory is waited out, a tenth of a second at a time.
func (ln *Listener) Accept() (*Conn, error) {
	for {
		if ln.l.stopping {
			return nil, ErrStopped
		}
		if ln.closed {
			return nil, ErrClosed
		}
		var nc *net.TCPConn
		var err error
		ln.l.block(func() { nc, err = ln.tcp.AcceptTCP() })
		switch {
		case err == nil:
			return ln.l.newConn(nc), nil
		case ln.closed || ln.l.stopping:
		default:
			ln.l.stats.acceptFailures.Add(1)
			if err := ln.l.Sleep(100 * time.Millisecond); err != nil {
				return nil, err
			}
		}
	}
}

// Addr answers the address listened on. Safe for concurrent use.
func (ln *Listener) Addr() netip.AddrPort { return unmap(ln.tcp.Addr().(*net.TCPAddr).AddrPort()) }

// Close closes the listening socket; connections already in its queue are reset by the kernel.
func (ln *Listener) Close() error {
	if ln.closed {
		return nil
	}
	ln.closed = true
	delete(ln.l.lns, ln)
	return ln.tcp.Close()
}
