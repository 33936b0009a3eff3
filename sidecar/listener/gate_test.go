package listener

import (
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/loop"
	"github.com/sluice-mesh/sluice/sidecar/metrics"
	"github.com/sluice-mesh/sluice/test/meshtest"
)

// echo serves a connection until its client closes it.
func echo(c *loop.Conn, _ netip.AddrPort) bool {
	b := make([]byte, 1)
	for {
		if _, err := c.Read(b); err != nil {
			return false
		}
		c.Write(b)
	}
}

func elsewhere(*loop.Conn) (netip.AddrPort, error) {
	return netip.MustParseAddrPort("192.0.2.1:80"), nil
}

// served reports whether a connection answers; one that waits does not, within a moment.
func served(c net.Conn, patience time.Duration) bool {
	c.SetDeadline(time.Now().Add(patience))
	b := []byte("x")
	if _, err := c.Write(b); err != nil {
		return false
	}
	_, err := io.ReadFull(c, b)
	return err == nil
}

// No more than so many connections are served at a time, over all listeners; the others wait, connected, until one ends.
func TestTheGateHoldsForAllListeners(t *testing.T) {
	var text strings.Builder
	g := NewGate(2, slog.New(slog.NewTextHandler(&text, nil)))
	var addrs []netip.AddrPort
	var stats []*metrics.Loop
	for range 2 {
		a, s := start(t, Options{Serve: echo, OriginalDst: elsewhere, Gate: g})
		addrs, stats = append(addrs, a), append(stats, s)
	}
	var open []net.Conn
	for i := range 2 {
		c, err := dial(t, addrs[0])
		if err != nil || !served(c, 10*time.Second) {
			t.Fatalf("connection %d is not served: %v", i, err)
		}
		open = append(open, c)
	}
	var wait []net.Conn
	for i := range 4 {
		c, err := dial(t, addrs[i%2])
		if err != nil {
			t.Fatalf("a connection that has to wait is refused: %v", err)
		}
		if served(c, 20*time.Millisecond) {
			t.Errorf("connection %d is served beside two", i+2)
		}
		wait = append(wait, c)
	}
	waited := func() uint64 {
		return stats[0].Limited[metrics.LimitConnections].Load() + stats[1].Limited[metrics.LimitConnections].Load()
	}
	// Each listener holds one; the other two are in its queue.
	for until := time.Now().Add(10 * time.Second); waited() != 2; time.Sleep(time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("%d connections count as having waited before a place is free, want one of each listener", waited())
		}
	}
	for range 4 {
		open[0].Close()
		open = open[1:]
		next := func() bool { // which of them is let in depends on which listener was first
			for i, c := range wait {
				c.SetDeadline(time.Now().Add(time.Millisecond))
				if _, err := io.ReadFull(c, make([]byte, 1)); err == nil {
					open, wait = append(open, c), slices.Delete(wait, i, i+1)
					return true
				}
			}
			return false
		}
		for until := time.Now().Add(10 * time.Second); !next(); {
			if time.Now().After(until) {
				t.Fatalf("none of %d got the place of one that ended", len(wait))
			}
		}
	}
	// One that was in the queue waits, too, if it is accepted before the next place is free.
	if n := waited(); n < 2 || n > 4 {
		t.Errorf("%d connections count as having waited, want 2 to 4", n)
	}
	if n := strings.Count(text.String(), "connections wait: as many are open as may be"); n != 1 {
		t.Errorf("the log has %d lines of it, want one:\n%s", n, text.String())
	}
}

// Connections come and go on all sides: there are never more than may be, and none is forgotten.
func TestTheGateForgetsNobody(t *testing.T) {
	const most = 3
	g := NewGate(most, slog.New(slog.DiscardHandler))
	var now, peak atomic.Int64
	serve := func(c *loop.Conn, dst netip.AddrPort) bool {
		n := now.Add(1)
		for p := peak.Load(); n > p && !peak.CompareAndSwap(p, n); p = peak.Load() {
		}
		echo(c, dst)
		now.Add(-1)
		return false
	}
	var addrs []netip.AddrPort
	for range 3 {
		a, _ := start(t, Options{Serve: serve, OriginalDst: elsewhere, Gate: g})
		addrs = append(addrs, a)
	}
	var wg sync.WaitGroup
	for i := range 12 {
		wg.Go(func() {
			for k := range 40 {
				c, err := net.Dial("tcp", addrs[(i+k)%len(addrs)].String())
				if err != nil {
					t.Error(err)
					return
				}
				if !served(c, 10*time.Second) {
					t.Errorf("connection %d of client %d was not served", k, i)
				}
				c.Close()
			}
		})
	}
	wg.Wait()
	if n := peak.Load(); n > most {
		t.Errorf("%d connections were served at a time, want at most %d", n, most)
	}
}

// Without descriptors nothing can be accepted: the loop waits without spinning, and goes on once there are some.
func TestDescriptorsRunOut(t *testing.T) {
	if !meshtest.InChild(t) {
		return
	}
	l, err := loop.New(loop.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := l.Listen(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Serve: echo, OriginalDst: elsewhere, Stats: metrics.New(1, metrics.Words{}).Loop(0)}
	l.Go(func() { Serve(l, ln, o) })
	go l.Run()
	defer func() { l.Stop(); <-l.Done() }()
	// Clients first: what there is for the other side of the last of them is taken away before it is accepted.
	c, err := dial(t, ln.Addr())
	if err != nil || !served(c, 10*time.Second) {
		t.Fatal("the first is not served", err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 40, Max: 40}); err != nil {
		t.Fatal(err)
	}
	var clients []net.Conn
	for {
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			break // this process has no descriptor left
		}
		clients = append(clients, c)
	}
	polls := l.Stats().Polls
	for l.Stats().AcceptFailures < 3 {
		time.Sleep(time.Millisecond)
	}
	if n := l.Stats().Polls - polls; n > 1000 {
		t.Errorf("the loop asked %d times for events while it could not accept", n)
	}
	if !served(c, 10*time.Second) {
		t.Error("who was there before is not served any more")
	}
	for _, c := range clients[1:] {
		c.Close()
	}
	if !served(clients[0], 10*time.Second) {
		t.Error("nobody is served after descriptors have come back")
	}
}
