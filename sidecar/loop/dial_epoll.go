//go:build linux && !netloop && !race

package loop

import (
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Dial connects to addr.
func (l *Loop) Dial(addr netip.AddrPort, o DialOptions) (*Conn, error) {
	addr = unmap(addr)
	family, sa := sockaddr(addr)
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	setOptions(fd, o)
	err = unix.Connect(fd, sa)
	if err != nil && err != unix.EINPROGRESS && err != unix.EINTR {
		unix.Close(fd)
		return nil, os.NewSyscallError("connect", err)
	}
	c, rerr := l.newConn(fd, addr)
	if rerr != nil {
		return nil, rerr
	}
	if err == nil {
		c.connected()
		return c, nil
	}
	deadline := Never
	if o.Timeout > 0 {
		deadline = l.now + int64(o.Timeout)
	}
	for !c.writable {
		c.writer = l.cur
		ok := l.suspendUntil(deadline)
		c.writer = nil
		if err := c.check(); err != nil {
			c.Close()
			return nil, err
		}
		if !ok && !c.writable {
			c.Close()
			return nil, os.NewSyscallError("connect", ErrTimeout)
		}
	}
	if c.broken || c.finned {
		if n, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR); err != nil || n != 0 {
			c.Close()
			return nil, os.NewSyscallError("connect", syscall.Errno(n))
		}
	}
	c.connected()
	return c, nil
}

func setOptions(fd int, o DialOptions) {
	unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_OOBINLINE, 1) // see Listen
	if o.UserTimeout > 0 {
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(o.UserTimeout/time.Millisecond))
	}
	if idle, interval, count := o.probes(); idle > 0 {
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, idle)
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, interval)
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPCNT, count)
	}
}

func sockaddr(a netip.AddrPort) (int, unix.Sockaddr) {
	if a.Addr().Is4() {
		return unix.AF_INET, &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return unix.AF_INET6, &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16(), ZoneId: zoneID(a.Addr().Zone())}
}

func addrOf(sa unix.Sockaddr) netip.AddrPort {
	switch s := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(s.Addr), uint16(s.Port))
	case *unix.SockaddrInet6:
		return unmap(netip.AddrPortFrom(netip.AddrFrom16(s.Addr), uint16(s.Port)))
	}
	return netip.AddrPort{}
}
