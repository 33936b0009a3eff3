package loop

import (
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"
)

// run starts a loop for a test and answers it with a function that runs f as a coroutine and waits for its end.
func run(t *testing.T) (*Loop, func(f func() error)) {
	t.Helper()
	l, err := New(Options{OnPanic: func(v any, stack []byte) { t.Errorf("panic: %v\n%s", v, stack) }})
	if err != nil {
		t.Fatal(err)
	}
	go l.Run()
	t.Cleanup(func() {
		l.Stop()
		select {
		case <-l.Done():
		case <-time.After(10 * time.Second):
			t.Error("the loop did not end within 10 s of Stop")
		}
	})
	return l, func(f func() error) {
		t.Helper()
		if err := call(l, f); err != nil {
			t.Fatal(err)
		}
	}
}

// call runs f as a coroutine of l and answers its error.
func call(l *Loop, f func() error) error {
	done := make(chan error, 1)
	l.Post(func() {
		l.Go(func() { done <- f() })
	})
	select {
	case err := <-done:
		return err
	case <-time.After(20 * time.Second):
		return errors.New("the coroutine did not end within 20 s")
	}
}

// listen makes an ordinary listener for a peer outside the loop.
func listen(t *testing.T) (net.Listener, netip.AddrPort) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln, ln.Addr().(*net.TCPAddr).AddrPort()
}

// dialled answers a connection of l and its peer.
func dialled(t *testing.T, l *Loop) (*Conn, net.Conn) {
	t.Helper()
	ln, addr := listen(t)
	var c *Conn
	if err := call(l, func() (err error) { c, err = l.Dial(addr, DialOptions{}); return err }); err != nil {
		t.Fatal(err)
	}
	peer, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { peer.Close() })
	return c, peer
}

func loopback() netip.AddrPort { return netip.MustParseAddrPort("127.0.0.1:0") }

// echo accepts on the loop and sends back what comes, until EOF.
func echo(t *testing.T, l *Loop) netip.AddrPort {
	t.Helper()
	var addr netip.AddrPort
	err := call(l, func() error {
		ln, err := l.Listen(loopback())
		if err != nil {
			return err
		}
		addr = ln.Addr()
		l.Go(func() {
			for {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				l.Go(func() {
					defer c.Close()
					buf := l.Buffer(Medium)
					defer l.Release(buf)
					for {
						n, err := c.Read(buf)
						if err != nil {
							return
						}
						if _, err := c.Write(buf[:n]); err != nil {
							return
						}
					}
				})
			}
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return addr
}
