//go:build linux && !netloop && !race

package loop

import (
	"context"
	"net"
	"net/netip"
	"os"
	"strconv"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Listener accepts connections on one loop. The loops of a process listen on one address side by side (SO_REUSEPORT), and the
// kernel spreads connections over them.
type Listener struct {
	l      *Loop
	fd     int
	slot   uint32
	addr   netip.AddrPort
	ready  bool
	closed bool
	waiter *Task
}

// Listen opens a listening socket on addr; port 0 takes a free one. It may be called before Run.
func (l *Loop) Listen(addr netip.AddrPort) (*Listener, error) {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var serr error
		err := c.Control(func(fd uintptr) {
			serr = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
			// Accepted sockets inherit these.
			if serr == nil {
				serr = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
			}
			if serr == nil {
				// An urgent byte (RFC 6093) would be taken out of what is read, and lost: FTP's ABOR ends with one.
				serr = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_OOBINLINE, 1)
			}
			if serr == nil {
				serr = stayTracked(int(fd))
			}
		})
		if err != nil {
			return err
		}
		return serr
	}}
	// Go listens with MPTCP unless told otherwise; on the loopback address that buys nothing and costs with each call.
	lc.SetMultipathTCP(false)
	nl, err := lc.Listen(context.Background(), "tcp", addr.String())
	if err != nil {
		return nil, err
	}
	defer nl.Close()
	// The net package chose the socket's options as everywhere in Go; the loop takes the descriptor over.
	file, err := nl.(*net.TCPListener).File()
	if err != nil {
		return nil, err
	}
	defer file.Close()
	fd, err := unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("fcntl", err)
	}
	ln := &Listener{l: l, fd: fd, addr: unmap(nl.Addr().(*net.TCPAddr).AddrPort())}
	ln.slot, err = l.register(fd, unix.EPOLLIN|epollET, nil, ln)
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return ln, nil
}

func (ln *Listener) event() {
	ln.ready = true
	ln.l.wake(ln.waiter)
}

// Addr answers the address listened on. Safe for concurrent use.
func (ln *Listener) Addr() netip.AddrPort { return ln.addr }

// Accept waits for a connection. Shortage of descriptors or memory is waited out, a tenth of a second at a time.
func (ln *Listener) Accept() (*Conn, error) {
	for {
		if ln.l.stopping {
			return nil, ErrStopped
		}
		if ln.closed {
			return nil, ErrClosed
		}
		if !ln.ready {
			ln.waiter = ln.l.cur
			ln.l.suspend()
			ln.waiter = nil
			continue
		}
		fd, peer, errno := accept(ln.fd)
		switch errno {
		case 0:
			c, err := ln.l.newConn(fd, peer)
			if err == nil {
				if !ln.addr.Addr().IsUnspecified() {
					c.local = ln.addr
				}
				ln.l.charge(0)
				return c, nil
			}
			// The user's epoll watches are used up (fs.epoll.max_user_watches), or memory: this connection is lost.
			if err := ln.short(); err != nil {
				return nil, err
			}
		case unix.EAGAIN:
			ln.ready = false
		case unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM:
			if err := ln.short(); err != nil {
				return nil, err
			}
		case unix.EINTR, unix.ECONNABORTED, unix.EPROTO, unix.EPERM:
		default:
			return nil, os.NewSyscallError("accept", errno)
		}
	}
}

// short counts a shortage and waits for a while.
func (ln *Listener) short() error {
	ln.l.stats.acceptFailures.Add(1)
	return ln.l.Sleep(100 * time.Millisecond)
}

// accept is accept4 by a raw call. Package unix would ask for the socket's protocol as well, to tell Bluetooth from others.
func accept(fd int) (int, netip.AddrPort, syscall.Errno) {
	var sa unix.RawSockaddrAny
	size := uint32(unix.SizeofSockaddrAny)
	n, _, errno := syscall.RawSyscall6(syscall.SYS_ACCEPT4, uintptr(fd), uintptr(unsafe.Pointer(&sa)), uintptr(unsafe.Pointer(&size)),
		unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
	if errno != 0 {
		return -1, netip.AddrPort{}, errno
	}
	return int(n), rawAddr(&sa), 0
}

func rawAddr(sa *unix.RawSockaddrAny) netip.AddrPort {
	switch sa.Addr.Family {
	case unix.AF_INET:
		in := (*unix.RawSockaddrInet4)(unsafe.Pointer(sa))
		return netip.AddrPortFrom(netip.AddrFrom4(in.Addr), ntohs(&in.Port))
	case unix.AF_INET6:
		in := (*unix.RawSockaddrInet6)(unsafe.Pointer(sa))
		return unmap(netip.AddrPortFrom(netip.AddrFrom16(in.Addr), ntohs(&in.Port)))
	}
	return netip.AddrPort{}
}

// ntohs reads a port, which the kernel keeps in network order.
func ntohs(p *uint16) uint16 {
	b := (*[2]byte)(unsafe.Pointer(p))
	return uint16(b[0])<<8 | uint16(b[1])
}

// Close closes the listening socket; connections already in its queue are reset by the kernel.
func (ln *Listener) Close() error {
	if ln.closed {
		return nil
	}
	ln.closed = true
	ln.l.wake(ln.waiter)
	ln.l.unregister(ln.slot)
	return unix.Close(ln.fd)
}

func zoneID(zone string) uint32 {
	if zone == "" {
		return 0
	}
	if ifi, err := net.InterfaceByName(zone); err == nil {
		return uint32(ifi.Index)
	}
	n, _ := strconv.ParseUint(zone, 10, 32)
	return uint32(n)
}
