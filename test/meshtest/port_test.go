package meshtest

import (
	"errors"
	"fmt"
	"net"
	"syscall"
	"testing"
)

func TestHeldPort(t *testing.T) {
	addr := HoldPort(t).String()
	for range 3 {
		if c, err := net.Dial("tcp", addr); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatalf("a connect to a port where nobody listens: %v, %v", c, err)
		}
		l, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		s, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		s.Close() // first, so that this end is in TIME-WAIT when the port is listened on again
		c.Close()
		l.Close()
	}
}

// Where a range has a single port, whoever asks for any gets that one, but not while it is held.
func TestNobodyElseGetsAHeldPort(t *testing.T) {
	n := NewNet(t)
	pod := n.Pod("10.77.0.2")
	err := pod.Do(func() error {
		if err := sysctl("net/ipv4/ip_local_port_range", "30000 30000"); err != nil {
			return err
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return fmt.Errorf("the only port, which nobody has: %w", err)
		}
		l.Close()
		addr := HoldPort(t)
		if addr.Port() != 30000 {
			t.Errorf("%v is held", addr)
		}
		if l, err := net.Listen("tcp", "127.0.0.1:0"); err == nil {
			t.Errorf("another listens on %v", l.Addr())
			l.Close()
		}
		if c, err := net.Dial("tcp", addr.String()); err == nil {
			t.Errorf("a connect comes from %v", c.LocalAddr())
			c.Close()
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
