//go:build linux && (netloop || race)

package loop

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Listen opens a listening socket on addr; port 0 takes a free one. It may be called before Run.
func (l *Loop) Listen(addr netip.AddrPort) (*Listener, error) {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var serr error
		if err := c.Control(func(fd uintptr) {
			serr = errors.Join(unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1), stayTracked(int(fd)))
		}); err != nil {
			return err
		}
		return serr
	}}
	lc.SetMultipathTCP(false)
	nl, err := lc.Listen(context.Background(), "tcp", addr.String())
	if err != nil {
		return nil, err
	}
	ln := &Listener{l: l, tcp: nl.(*net.TCPListener)}
	l.lns[ln] = struct{}{}
	return ln, nil
}

// control runs f on the connection's descriptor.
func (c *Conn) control(f func(fd int)) error {
	rc, err := c.tcp.SyscallConn()
	if err != nil {
		return err
	}
	return rc.Control(func(fd uintptr) { f(int(fd)) })
}

// TryWrite is Write that does not wait: it answers how much of p the kernel took.
func (c *Conn) TryWrite(p []byte) (done int, err error) {
	for done < len(p) {
		if err := c.check(); err != nil {
			return done, err
		}
		n, werr := 0, error(nil)
		if err := c.control(func(fd int) { n, werr = unix.Write(fd, p[done:]) }); err != nil {
			return done, err
		}
		switch werr {
		case nil:
			done += n
			c.sent += uint64(n)
		case unix.EINTR:
		case unix.EAGAIN:
			return done, nil
		default:
			err := os.NewSyscallError("write", werr)
			c.sawError(err)
			return done, err
		}
	}
	return done, nil
}

// Acknowledged answers how many of the Sent bytes the peer's kernel has acknowledged, also after a reset; ok is false when the
// kernel does not tell. The peer's kernel may hold an acknowledgement back for 40 ms and more while its program has the bytes
// already; only what a FIN did not acknowledge (FinFirst) was not delivered for certain.
func (c *Conn) Acknowledged() (n uint64, ok bool) {
	if c.closed {
		return 0, false
	}
	err := c.control(func(fd int) {
		if info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			n, ok = min(info.Bytes_acked-min(info.Bytes_acked, synCounted(c)), c.sent), true
		}
	})
	return n, ok && err == nil
}

// Unanswered answers how often in a row the kernel has sent something anew, bytes or the question whether the window has opened, without
// an answer of the peer's kernel. One that is there answers, though its program reads nothing.
func (c *Conn) Unanswered() (n int) {
	if c.closed {
		return 0
	}
	c.control(func(fd int) {
		if info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			n = int(max(info.Retransmits, info.Probes))
		}
	})
	return n
}

func (c *Conn) connected() {
	c.dialled = true
	c.control(learnSyn)
}

// OriginalDst answers where the connection was going before a REDIRECT rule; it errs when there was none.
func (c *Conn) OriginalDst() (dst netip.AddrPort, err error) {
	if c.closed {
		return dst, ErrClosed
	}
	const soOriginalDst = 80 // SO_ORIGINAL_DST and IP6T_SO_ORIGINAL_DST, linux/netfilter_ipv4.h
	cerr := c.control(func(fd int) {
		if c.remote.Addr().Is4() {
			var m *unix.IPv6Mreq
			if m, err = unix.GetsockoptIPv6Mreq(fd, unix.IPPROTO_IP, soOriginalDst); err == nil {
				b := m.Multiaddr
				dst = netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[4:8])), uint16(b[2])<<8|uint16(b[3]))
			}
			return
		}
		var m *unix.IPv6MTUInfo
		if m, err = unix.GetsockoptIPv6MTUInfo(fd, unix.IPPROTO_IPV6, soOriginalDst); err == nil {
			port := *(*[2]byte)(unsafe.Pointer(&m.Addr.Port))
			dst = netip.AddrPortFrom(netip.AddrFrom16(m.Addr.Addr), uint16(port[0])<<8|uint16(port[1]))
		}
	})
	if cerr != nil {
		return dst, cerr
	}
	return dst, os.NewSyscallError("getsockopt SO_ORIGINAL_DST", err)
}
