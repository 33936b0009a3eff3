package meshtest

import (
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// HoldPort answers a port of 127.0.0.1 that is the test's until its end: a socket is bound to it that does not listen. Connects
// are refused, unless the test has somebody listen there, as often as it likes: net.Listen can, and whoever sets SO_REUSEADDR. The
// kernel gives the port to nobody who wants just any, to listen or to connect from, whereas that of a closed listener is soon another's.
func HoldPort(t testing.TB) netip.AddrPort {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		t.Fatal(err)
	}
	addr := unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}
	if err := unix.Bind(fd, &addr); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return netip.AddrPortFrom(netip.AddrFrom4(addr.Addr), uint16(name.(*unix.SockaddrInet4).Port))
}

// ListenHeld listens on a port that is the test's until its end, see HoldPort.
func ListenHeld(t testing.TB) *net.TCPListener {
	t.Helper()
	l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(HoldPort(t)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}
