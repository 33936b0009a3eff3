package listener

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/loop"
	"github.com/sluice-mesh/sluice/sidecar/metrics"
	"github.com/sluice-mesh/sluice/test/meshtest"
)

func TestMain(m *testing.M) { meshtest.Main(m) }

// start serves on a loop of its own until the test ends, and answers the address and the loop's counters.
func start(t *testing.T, o Options) (netip.AddrPort, *metrics.Loop) {
	t.Helper()
	l, err := loop.New(loop.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := l.Listen(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	o.Stats = metrics.New(1, metrics.Words{}).Loop(0)
	ended := make(chan error, 1)
	l.Go(func() { ended <- Serve(l, ln, o) })
	go l.Run()
	t.Cleanup(func() {
		l.Stop()
		<-l.Done()
		if err := <-ended; err != nil {
			t.Errorf("Serve answers %v behind Stop, want nil", err)
		}
		if n := o.Stats.Open.Load(); n != 0 {
			t.Errorf("%d connections count as open", n)
		}
	})
	return ln.Addr(), o.Stats
}

func dial(t *testing.T, addr netip.AddrPort) (net.Conn, error) {
	t.Helper()
	c, err := net.Dial("tcp", addr.String())
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(10 * time.Second))
	return c, nil
}

// Without a REDIRECT rule there is no original destination; with one that leads here, it is this address. Serving either would
// lead back here for ever.
func TestConnectionsToTheProxyItselfAreReset(t *testing.T) {
	for name, original := range map[string]func(*loop.Conn) (netip.AddrPort, error){
		"no rule":                 nil,
		"the kernel's error":      func(*loop.Conn) (netip.AddrPort, error) { return netip.AddrPort{}, errors.New("no") },
		"a rule that leads to us": func(c *loop.Conn) (netip.AddrPort, error) { return c.LocalAddr(), nil },
	} {
		t.Run(name, func(t *testing.T) {
			addr, stats := start(t, Options{OriginalDst: original, Serve: func(*loop.Conn, netip.AddrPort) bool { t.Error("it was served"); return false }})
			c, err := dial(t, addr)
			if err == nil {
				_, err = io.ReadAll(c)
			}
			if !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("got %v, want a reset", err)
			}
			if n := stats.LoopGuard.Load(); n != 1 {
				t.Errorf("%d connections count as refused, want 1", n)
			}
		})
	}
}

func TestConnectionIsServedWithItsDestinationAndClosed(t *testing.T) {
	dst := netip.MustParseAddrPort("192.0.2.1:80")
	addr, stats := start(t, Options{
		OriginalDst: func(*loop.Conn) (netip.AddrPort, error) { return dst, nil },
		Serve: func(c *loop.Conn, got netip.AddrPort) bool {
			if got != dst {
				t.Errorf("served with destination %v, want %v", got, dst)
			}
			c.Write([]byte("hello"))
			return false
		}})
	c, err := dial(t, addr)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(c); string(b) != "hello" || err != nil {
		t.Errorf("got %q, %v", b, err)
	}
	if n := stats.Accepted.Load(); n != 1 {
		t.Errorf("%d connections accepted, want 1", n)
	}
}

// A connection that Serve leaves to somebody else counts, and keeps its place, until that one closes it.
func TestAConnectionThatGoesOnCountsUntilItIsClosed(t *testing.T) {
	g := NewGate(1, slog.New(slog.DiscardHandler))
	var left *loop.Conn // on the loop
	addr, stats := start(t, Options{OriginalDst: elsewhere, Gate: g, Serve: func(c *loop.Conn, _ netip.AddrPort) bool {
		if left == nil {
			left = c
			c.Loop().GoWhenReadable(c, func() { c.Close() })
			return true
		}
		return echo(c, netip.AddrPort{})
	}})
	first, err := dial(t, addr)
	if err != nil {
		t.Fatal(err)
	}
	second, err := dial(t, addr)
	if err != nil {
		t.Fatal(err)
	}
	if served(second, 100*time.Millisecond) {
		t.Error("a connection was served beside one that may be the only one")
	}
	if n := stats.Open.Load(); n != 1 {
		t.Errorf("%d connections count as open, want 1", n)
	}
	first.Write([]byte("x"))
	second.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.ReadFull(second, make([]byte, 1)); err != nil {
		t.Errorf("the next connection was not served behind it: %v", err)
	}
}
