//go:build linux && !netloop && !race

package loop

import (
	"bufio"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"testing"
	"time"
)

// While a loop has work, another one is woken by its events as ever: somebody waits in Go's poller for them, though the busy loop does not come by.
// The client is another process, as what a goroutine does would wake the scheduler.
func TestABusyLoopDoesNotKeepAnotherAsleep(t *testing.T) {
	const stretch = 100 * time.Millisecond
	if peers := os.Getenv("SLUICE_TEST_BUSY"); peers != "" {
		askBeside(t, peers, stretch)
		return
	}
	// Without a relief the answer comes when the stretch is over. The monitor looks every 10 ms, and has the busy loop give way after 10 more. The rest is for
	// a machine that is busy with other things.
	const soon, polled = stretch / 4, stretch * 3 / 5
	kinds := []struct {
		name string
		cpus int
		most time.Duration
		busy func(t *testing.T, l *Loop, c *Conn, until int64) error
	}{
		{"yields", 2, soon, func(_ *testing.T, l *Loop, _ *Conn, until int64) error {
			for clock() < until {
				l.Yield()
			}
			return nil
		}},
		{"lingers", 2, soon, func(t *testing.T, l *Loop, c *Conn, until int64) error {
			for b := make([]byte, 1); clock() < until; {
				if _, err := c.Write(b); err != nil {
					return err
				}
				if _, err := c.Read(b); err != nil {
					return err
				}
			}
			return nil
		}},
		{"has the only CPU", 1, polled, func(_ *testing.T, l *Loop, _ *Conn, until int64) error {
			for clock() < until {
				l.Yield()
			}
			return nil
		}},
	}
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(k.cpus))
			quiet, _ := run(t)
			busy, _ := run(t)
			addr := busied(t, busy, func(c *Conn) error { return k.busy(t, busy, c, clock()+int64(stretch)) })
			child := exec.Command(os.Args[0], "-test.run=^TestABusyLoopDoesNotKeepAnotherAsleep$", "-test.v")
			child.Env = append(os.Environ(), fmt.Sprintf("SLUICE_TEST_BUSY=%s %s %d", echo(t, quiet), addr, k.most))
			out, err := child.CombinedOutput()
			t.Logf("%s", out)
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// busied is an echo that, for each byte that comes, first is busy, with a connection to an echo of the same loop.
func busied(t *testing.T, l *Loop, busy func(c *Conn) error) netip.AddrPort {
	t.Helper()
	inner := echo(t, l)
	var addr netip.AddrPort
	err := call(l, func() error {
		ln, err := l.Listen(loopback())
		if err != nil {
			return err
		}
		addr = ln.Addr()
		l.Go(func() {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			back, err := l.Dial(inner, DialOptions{})
			if err != nil {
				t.Error(err)
				return
			}
			defer back.Close()
			for b := make([]byte, 1); ; {
				if _, err := c.Read(b); err != nil {
					return
				}
				if err := busy(back); err != nil {
					t.Error(err)
					return
				}
				if _, err := c.Write(b); err != nil {
					return
				}
			}
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

// askBeside is the client: it makes one loop busy, asks the other one a few milliseconds later, and does so again when all is quiet.
func askBeside(t *testing.T, peers string, stretch time.Duration) {
	var quiet, busy string
	var most time.Duration
	if _, err := fmt.Sscan(peers, &quiet, &busy, &most); err != nil {
		t.Fatal(err)
	}
	dial := func(addr string) (ask func() time.Duration) {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		c.SetDeadline(time.Now().Add(20 * time.Second))
		r := bufio.NewReader(c)
		return func() time.Duration {
			began := time.Now()
			if _, err := c.Write([]byte{1}); err != nil {
				t.Fatal(err)
			}
			if _, err := r.ReadByte(); err != nil {
				t.Fatal(err)
			}
			return time.Since(began)
		}
	}
	askQuiet, askBusy := dial(quiet), dial(busy)
	askQuiet()
	var took []time.Duration
	for range 9 {
		ended := make(chan time.Duration)
		go func() { ended <- askBusy() }()
		time.Sleep(5 * time.Millisecond)
		took = append(took, askQuiet())
		if long := <-ended; long < stretch {
			t.Fatalf("the other loop was busy for %v only", long)
		}
		time.Sleep(30 * time.Millisecond) // Go's scheduler goes to sleep
	}
	slices.Sort(took)
	t.Logf("answers took %v", took)
	if took[len(took)/2] > most {
		t.Errorf("half of the answers took more than %v", most)
	}
}
