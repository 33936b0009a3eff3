//go:build linux && !netloop && !race

package loop

import (
	"errors"
	"io"
	"net/netip"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Conn is a TCP connection of a loop. One coroutine may read while another writes and a third waits for its hang-up.
type Conn struct {
	l    *Loop
	fd   int
	slot uint32

	// Readiness as of the last events; edge-triggered, so a flag stays until a call was refused (EAGAIN).
	readable, writable bool
	// finned is EPOLLRDHUP: the peer sent FIN, perhaps behind bytes not read yet. It never means abort.
	finned bool
	// urgent is EPOLLPRI: a read ends at an urgent byte, though more may be there (tcp_recvmsg, net/ipv4/tcp.c).
	urgent bool
	// broken is EPOLLERR or EPOLLHUP: reset, or both directions ended.
	broken bool
	closed bool
	// ended is why the connection first failed or ended: io.EOF for the peer's FIN.
	ended error

	readDeadline, writeDeadline int64

	reader, writer, watcher *Task
	later                   func() // see GoWhenReadable
	onClose                 func()

	remote, local netip.AddrPort
	sent          uint64 // bytes the kernel took
	dialled       bool
}

const connEvents = unix.EPOLLIN | unix.EPOLLPRI | unix.EPOLLOUT | unix.EPOLLRDHUP | epollET

func (l *Loop) newConn(fd int, remote netip.AddrPort) (*Conn, error) {
	c := &Conn{l: l, fd: fd, remote: remote}
	slot, err := l.register(fd, connEvents, c, nil)
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	c.slot = slot
	return c, nil
}

func (c *Conn) event(ev uint32) {
	if ev&(unix.EPOLLIN|unix.EPOLLPRI|unix.EPOLLRDHUP|unix.EPOLLERR|unix.EPOLLHUP) != 0 {
		c.readable = true
		c.urgent = c.urgent || ev&unix.EPOLLPRI != 0
		c.l.wake(c.reader)
		c.goLater()
	}
	if ev&(unix.EPOLLOUT|unix.EPOLLERR|unix.EPOLLHUP) != 0 {
		c.writable = true
		c.l.wake(c.writer)
	}
	if ev&(unix.EPOLLRDHUP|unix.EPOLLERR|unix.EPOLLHUP) != 0 {
		c.finned = c.finned || ev&unix.EPOLLRDHUP != 0
		c.broken = c.broken || ev&(unix.EPOLLERR|unix.EPOLLHUP) != 0
		c.l.wake(c.watcher)
	}
}

func (c *Conn) wakeAll() {
	c.l.wake(c.reader)
	c.l.wake(c.writer)
	c.l.wake(c.watcher)
	c.goLater()
}

// check answers why the connection cannot be used, if so.
func (c *Conn) check() error {
	if c.closed {
		return ErrClosed
	}
	if c.l.stopping {
		return ErrStopped
	}
	return nil
}

// Loop answers the loop the connection belongs to.
func (c *Conn) Loop() *Loop { return c.l }

// RemoteAddr answers the peer's address. Safe for concurrent use.
func (c *Conn) RemoteAddr() netip.AddrPort { return c.remote }

// LocalAddr answers this side's address.
func (c *Conn) LocalAddr() netip.AddrPort {
	if !c.local.IsValid() && !c.closed {
		if sa, err := unix.Getsockname(c.fd); err == nil {
			c.local = addrOf(sa)
		}
	}
	return c.local
}

// SetReadDeadline bounds Read, also one that waits now, in nanoseconds of the loop's clock; Never takes the bound away.
func (c *Conn) SetReadDeadline(t int64) {
	c.readDeadline = t
	c.l.wake(c.reader)
}

// SetWriteDeadline bounds Write and its kin in the same way.
func (c *Conn) SetWriteDeadline(t int64) {
	c.writeDeadline = t
	c.l.wake(c.writer)
}

// Readable reports whether bytes, the peer's FIN or a reset are there to read, as far as the loop was told. It makes no system
// call, and is right but for one case: behind a call that took as much as it asked for, it is true though nothing may be left.
// An idle upstream connection that is readable must not be used again.
func (c *Conn) Readable() bool { return c.readable }

// Pending is Readable without its one case: there it asks the kernel.
func (c *Conn) Pending() bool {
	if !c.readable || c.closed || c.finned || c.broken {
		return c.readable
	}
	var b [1]byte
	for {
		_, _, err := unix.Recvfrom(c.fd, b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		switch err {
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			c.readable = false
		}
		return c.readable
	}
}

// PeerFinished reports whether the peer has sent FIN; bytes may be unread before it.
func (c *Conn) PeerFinished() bool { return c.finned || c.broken }

// PeerGone reports whether the connection was reset or ended in both directions.
func (c *Conn) PeerGone() bool { return c.broken }

// FinFirst reports whether the peer's FIN came before anything else ended the connection. FIN acknowledges what had come until
// then, which a reset does not; see Acknowledged.
func (c *Conn) FinFirst() bool {
	// A reset behind a FIN is EPIPE, another one ECONNRESET: tcp_reset, net/ipv4/tcp_input.c.
	return c.ended == io.EOF || errors.Is(c.ended, unix.EPIPE)
}

// end notes why the connection failed or ended.
func (c *Conn) end(err error) error {
	if c.ended == nil {
		c.ended = err
	}
	return err
}

// Read reads into p as soon as there is something. io.EOF is the peer's FIN; ErrTimeout the read deadline.
func (c *Conn) Read(p []byte) (int, error) {
	for {
		if c.readable {
			n, err := c.TryRead(p)
			if n > 0 || err != nil || len(p) == 0 {
				return n, err
			}
			continue
		}
		if err := c.awaitReadable(); err != nil {
			return 0, err
		}
	}
}

// awaitReadable gives way once until something may be there to read.
func (c *Conn) awaitReadable() error {
	if err := c.check(); err != nil {
		return err
	}
	c.reader = c.l.cur
	ok := c.l.suspendUntil(c.readDeadline)
	c.reader = nil
	if !ok && !c.readable {
		return ErrTimeout
	}
	return nil
}

// late reports whether a deadline has passed.
func (l *Loop) late(deadline int64) bool { return deadline != Never && deadline <= l.now }

// TryRead is Read that does not wait: it answers 0 and no error when nothing is there.
func (c *Conn) TryRead(p []byte) (int, error) {
	for {
		if err := c.check(); err != nil {
			return 0, err
		}
		if c.l.late(c.readDeadline) {
			return 0, ErrTimeout
		}
		if !c.readable {
			return 0, nil
		}
		n, _, errno := syscall.RawSyscall(syscall.SYS_READ, uintptr(c.fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
		switch errno {
		case 0:
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
			c.readable, c.urgent = false, false
			return 0, nil
		default:
			c.broken = true
			return 0, c.end(os.NewSyscallError("read", errno))
		}
		if n == 0 {
			if len(p) == 0 {
				return 0, nil
			}
			c.finned = true
			return 0, c.end(io.EOF)
		}
		if int(n) < len(p) && !c.finned && !c.broken && !c.urgent {
			// Nothing is left, and new bytes will make a new edge. Behind a FIN there is no further edge: read on.
			c.readable = false
		}
		c.l.charge(int(n))
		return int(n), nil
	}
}

// Write writes all of p.
func (c *Conn) Write(p []byte) (int, error) {
	done := 0
	for done < len(p) {
		if err := c.check(); err != nil {
			return done, err
		}
		n, _, errno := syscall.RawSyscall(syscall.SYS_WRITE, uintptr(c.fd), uintptr(unsafe.Pointer(unsafe.SliceData(p[done:]))), uintptr(len(p)-done))
		if errno == 0 {
			done += int(n)
			c.sent += uint64(n)
			if done < len(p) {
				c.l.charge(int(n))
			}
			continue
		}
		if err := c.waitWrite(errno, "write"); err != nil {
			return done, err
		}
	}
	return done, nil
}

// TryWrite is Write that does not wait: it answers how much of p the kernel took.
func (c *Conn) TryWrite(p []byte) (int, error) {
	done := 0
	for done < len(p) {
		if err := c.check(); err != nil {
			return done, err
		}
		n, _, errno := syscall.RawSyscall(syscall.SYS_WRITE, uintptr(c.fd), uintptr(unsafe.Pointer(unsafe.SliceData(p[done:]))), uintptr(len(p)-done))
		switch errno {
		case 0:
			done += int(n)
			c.sent += uint64(n)
		case syscall.EINTR:
		case syscall.EAGAIN:
			return done, nil
		default:
			return done, c.end(os.NewSyscallError("write", errno))
		}
	}
	return done, nil
}

// waitWrite handles a refused write: it answers nil when the write is to be tried again.
func (c *Conn) waitWrite(errno syscall.Errno, call string) error {
	switch errno {
	case syscall.EINTR:
		return nil
	case syscall.EAGAIN:
	default:
		return c.end(os.NewSyscallError(call, errno))
	}
	c.writable = false
	for !c.writable {
		c.writer = c.l.cur
		ok := c.l.suspendUntil(c.writeDeadline)
		c.writer = nil
		if err := c.check(); err != nil {
			return err
		}
		if !ok && !c.writable {
			return ErrTimeout
		}
	}
	return nil
}

// Writev writes all segments in as few system calls as the kernel allows. It does not change bufs.
func (c *Conn) Writev(bufs ...[]byte) (int, error) {
	total, skip := 0, 0
	for _, b := range bufs {
		total += len(b)
	}
	done := 0
	for done < total {
		if err := c.check(); err != nil {
			return done, err
		}
		iov := c.l.iov[:0]
		skip = done
		for _, b := range bufs {
			if skip >= len(b) {
				skip -= len(b)
				continue
			}
			b = b[skip:]
			skip = 0
			v := unix.Iovec{Base: unsafe.SliceData(b)}
			v.SetLen(len(b))
			iov = append(iov, v)
			if len(iov) == 64 {
				break
			}
		}
		c.l.iov = iov
		n, _, errno := syscall.RawSyscall(syscall.SYS_WRITEV, uintptr(c.fd), uintptr(unsafe.Pointer(unsafe.SliceData(iov))), uintptr(len(iov)))
		clear(iov)
		if errno == 0 {
			done += int(n)
			c.sent += uint64(n)
			continue
		}
		if err := c.waitWrite(errno, "writev"); err != nil {
			return done, err
		}
	}
	return done, nil
}

// CloseWrite sends FIN; reading goes on.
func (c *Conn) CloseWrite() error {
	if err := c.check(); err != nil {
		return err
	}
	return os.NewSyscallError("shutdown", unix.Shutdown(c.fd, unix.SHUT_WR))
}

// Close closes the connection; whoever waits on it is answered ErrClosed. Closing again does nothing.
func (c *Conn) Close() error {
	if c.closed {
		return nil
	}
	c.closed = true
	c.wakeAll()
	c.l.unregister(c.slot)
	err := closeRaw(c.fd)
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
	unix.SetsockoptLinger(c.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	return c.Close()
}

// Sent answers how many bytes the kernel has taken so far.
func (c *Conn) Sent() uint64 { return c.sent }

// Acknowledged answers how many of the Sent bytes the peer's kernel has acknowledged, also after a reset; ok is false when the
// kernel does not tell. The peer's kernel may hold an acknowledgement back for 40 ms and more while its program has the bytes
// already; only what a FIN did not acknowledge (FinFirst) was not delivered for certain.
func (c *Conn) Acknowledged() (n uint64, ok bool) {
	if c.closed {
		return 0, false
	}
	info, err := unix.GetsockoptTCPInfo(c.fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return 0, false
	}
	return min(info.Bytes_acked-min(info.Bytes_acked, synCounted(c)), c.sent), true
}

// Unanswered answers how often in a row the kernel has sent something anew, bytes or the question whether the window has opened, without
// an answer of the peer's kernel. One that is there answers, though its program reads nothing.
func (c *Conn) Unanswered() int {
	if c.closed {
		return 0
	}
	info, err := unix.GetsockoptTCPInfo(c.fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return 0
	}
	return int(max(info.Retransmits, info.Probes))
}

func (c *Conn) connected() {
	c.dialled = true
	learnSyn(c.fd)
}

// OriginalDst answers where the connection was going before a REDIRECT rule; it errs when there was none.
func (c *Conn) OriginalDst() (netip.AddrPort, error) {
	if c.closed {
		return netip.AddrPort{}, ErrClosed
	}
	const soOriginalDst = 80 // SO_ORIGINAL_DST and IP6T_SO_ORIGINAL_DST, linux/netfilter_ipv4.h
	level := uintptr(unix.IPPROTO_IP)
	if !c.remote.Addr().Is4() {
		level = unix.IPPROTO_IPV6
	}
	var sa unix.RawSockaddrAny
	size := uint32(unix.SizeofSockaddrInet6)
	_, _, errno := syscall.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(c.fd), level, soOriginalDst, uintptr(unsafe.Pointer(&sa)),
		uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return netip.AddrPort{}, os.NewSyscallError("getsockopt SO_ORIGINAL_DST", errno)
	}
	return rawAddr(&sa), nil
}
