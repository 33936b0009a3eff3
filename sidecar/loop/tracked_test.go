//go:build linux && !netloop && !race

package loop

import (
	"net/netip"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A redirected connection that is silent must not be forgotten by the kernel's table of connections: it is probed.
func TestAnAcceptedConnectionIsProbed(t *testing.T) {
	l, do := run(t)
	do(func() error {
		ln, err := l.Listen(netip.MustParseAddrPort("127.0.0.1:0"))
		if err != nil {
			return err
		}
		defer ln.Close()
		dialled, err := l.Dial(ln.Addr(), DialOptions{Timeout: 5 * time.Second})
		if err != nil {
			return err
		}
		defer dialled.Close()
		c, err := ln.Accept()
		if err != nil {
			return err
		}
		defer c.Close()
		for _, o := range []struct {
			name          string
			level, option int
			most          int
		}{
			{"SO_KEEPALIVE", syscall.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
			{"TCP_KEEPIDLE", unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 30},
		} {
			if got, err := unix.GetsockoptInt(c.fd, o.level, o.option); err != nil || got < 1 || got > o.most {
				t.Errorf("%s is %d, %v, want between 1 and %d", o.name, got, err, o.most)
			}
		}
		return nil
	})
}
