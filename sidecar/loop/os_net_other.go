//go:build !linux

package loop

import (
	"errors"
	"net"
	"net/netip"
)

// Listen opens a listening socket on addr; port 0 takes a free one. It may be called before Run.
func (l *Loop) Listen(addr netip.AddrPort) (*Listener, error) {
	nl, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(addr))
	if err != nil {
		return nil, err
	}
	ln := &Listener{l: l, tcp: nl}
	l.lns[ln] = struct{}{}
	return ln, nil
}

// Acknowledged needs Linux.
func (c *Conn) Acknowledged() (n uint64, ok bool) { return 0, false }

// Unanswered needs Linux.
func (c *Conn) Unanswered() int { return 0 }

// OriginalDst needs Linux.
func (c *Conn) OriginalDst() (netip.AddrPort, error) {
	return netip.AddrPort{}, errors.New("original destination: not on this system")
}

func (c *Conn) connected() { c.dialled = true }

// TryWrite takes nothing here: whoever calls it goes on with Write.
func (c *Conn) TryWrite([]byte) (int, error) { return 0, c.check() }
