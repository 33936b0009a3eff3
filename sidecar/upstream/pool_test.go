package upstream

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/cluster"
	"github.com/sluice-mesh/sluice/sidecar/h1"
	"github.com/sluice-mesh/sluice/sidecar/loop"
	"github.com/sluice-mesh/sluice/sidecar/metrics"
	"github.com/sluice-mesh/sluice/test/meshtest"
)

func TestMain(m *testing.M) { meshtest.Main(m) }

const patience = 10 * time.Second

// rig is the pools of a running loop, and a server.
type rig struct {
	t     *testing.T
	l     *loop.Loop
	p     *Pools
	stats *metrics.Loop
	ln    *net.TCPListener
	ep    *cluster.Endpoint
}

func newRig(t *testing.T, o Options) *rig {
	t.Helper()
	ln := meshtest.ListenHeld(t)
	l, err := loop.New(loop.Options{OnPanic: func(v any, stack []byte) { t.Errorf("panic: %v\n%s", v, stack) }})
	if err != nil {
		t.Fatal(err)
	}
	stats := metrics.New(1, metrics.Words{}).Loop(0)
	r := &rig{t: t, l: l, p: New(l, o, stats), stats: stats, ln: ln,
		ep: cluster.NewEndpoint(ln.Addr().(*net.TCPAddr).AddrPort(), 1)}
	go l.Run()
	t.Cleanup(func() { l.Stop(); <-l.Done() })
	return r
}

// do runs f as a coroutine and waits for its end.
func (r *rig) do(f func()) {
	r.t.Helper()
	done := make(chan struct{})
	r.l.Post(func() { r.l.Go(func() { defer close(done); f() }) })
	select {
	case <-done:
	case <-time.After(patience):
		r.t.Fatal("the coroutine does not end")
	}
}

func (r *rig) get() (u *h1.Upstream) {
	r.t.Helper()
	r.do(func() {
		var err error
		if u, err = r.p.Get(r.ep, false, 0); err != nil {
			r.t.Error(err)
		}
	})
	if u == nil {
		r.t.FailNow()
	}
	return u
}

func (r *rig) put(us ...*h1.Upstream) {
	r.do(func() {
		for _, u := range us {
			r.p.Put(u)
		}
	})
}

func (r *rig) accept() net.Conn {
	r.t.Helper()
	r.ln.SetDeadline(time.Now().Add(patience))
	c, err := r.ln.Accept()
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c
}

func (r *rig) eventually(what string, cond func() bool) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := meshtest.Poll(ctx, what, func() (ok bool, _ error) { r.do(func() { ok = cond() }); return ok, nil }); err != nil {
		r.t.Error(err)
	}
}

func ended(c net.Conn) bool {
	_, err := c.Read(make([]byte, 1))
	return err != nil && !isTimeout(err)
}

func isTimeout(err error) bool { ne, ok := err.(net.Error); return ok && ne.Timeout() }

func TestKeptConnectionIsUsedAgain(t *testing.T) {
	r := newRig(t, Defaults())
	a := r.get()
	if a.Reused {
		t.Error("a new connection counts as used before")
	}
	r.put(a)
	b := r.get()
	if a != b || !b.Reused {
		t.Error("the kept connection was not taken")
	}
	r.put(b)
	if c, n, k := r.stats.Connects.Load(), r.stats.Reuses.Load(), r.stats.Idle.Load(); c != 1 || n != 1 || k != 1 {
		t.Errorf("%d connects, %d reuses, %d idle; want 1, 1, 1", c, n, k)
	}
}

func TestLastOneKeptIsTakenFirst(t *testing.T) {
	r := newRig(t, Defaults())
	a, b := r.get(), r.get()
	r.put(a, b)
	if c := r.get(); c != b {
		t.Error("not the one that was kept last")
	} else {
		r.put(c)
	}
}

func TestNoMoreThanMaxIdleAreKept(t *testing.T) {
	o := Defaults()
	o.MaxIdle = 2
	r := newRig(t, o)
	us := []*h1.Upstream{r.get(), r.get(), r.get()}
	conns := []net.Conn{r.accept(), r.accept(), r.accept()}
	r.put(us...)
	if n := r.stats.Idle.Load(); n != 2 {
		t.Errorf("%d are kept, want 2", n)
	}
	if !ended(conns[2]) {
		t.Error("the third one is still open")
	}
}

func TestIdleConnectionsAreClosedInTime(t *testing.T) {
	o := Defaults()
	o.IdleTimeout = 60 * time.Millisecond
	r := newRig(t, o)
	r.put(r.get())
	c := r.accept()
	start := time.Now()
	if !ended(c) {
		t.Fatal("it stays open")
	}
	if d := time.Since(start); d > time.Second {
		t.Errorf("it took %v to close a connection that may idle for %v", d, o.IdleTimeout)
	}
	r.eventually("the sweeper to end once nothing is kept", func() bool { return r.l.Live() == 1 && len(r.p.pools) == 0 })
	if n := r.stats.Idle.Load(); n != 0 {
		t.Errorf("%d count as kept, want 0", n)
	}
	r.put(r.get())
	if c := r.accept(); !ended(c) {
		t.Error("the sweeper did not come back")
	}
}

func TestNothingIsKeptToAnEndpointThatHasLeft(t *testing.T) {
	r := newRig(t, Defaults())
	kept, busy := r.get(), r.get()
	conns := []net.Conn{r.accept(), r.accept()}
	r.put(kept)
	r.ep.Gone.Store(true)
	r.put(busy)
	for i, c := range conns {
		if !ended(c) {
			t.Errorf("connection %d stays open", i)
		}
	}
	r.eventually("nothing to be kept", func() bool { return r.stats.Idle.Load() == 0 && len(r.p.pools) == 0 })
}

func TestConnectionThatTheServerClosedIsNotUsed(t *testing.T) {
	for name, end := range map[string]func(c net.Conn){
		"FIN":   func(c net.Conn) { c.Close() },
		"reset": func(c net.Conn) { c.(*net.TCPConn).SetLinger(0); c.Close() },
		"bytes": func(c net.Conn) { c.Write([]byte("HTTP/1.1 408 Request Timeout\r\n\r\n")) },
	} {
		t.Run(name, func(t *testing.T) {
			o := Defaults()
			o.IdleTimeout = time.Minute // the sweeper does not come before Get
			r := newRig(t, o)
			u := r.get()
			r.put(u)
			end(r.accept())
			r.eventually("the loop to notice", func() bool { return u.Conn.Readable() })
			if got := r.get(); got == u || got.Reused {
				t.Error("it was used again")
			} else {
				r.put(got)
			}
			if n := r.stats.Idle.Load(); n != 1 {
				t.Errorf("%d are kept, want 1", n)
			}
		})
	}
}

func TestStopClosesWhatIsKept(t *testing.T) {
	r := newRig(t, Defaults())
	r.put(r.get(), r.get())
	a, b := r.accept(), r.accept()
	r.l.Post(r.p.Close)
	r.l.Stop()
	<-r.l.Done()
	if !ended(a) || !ended(b) {
		t.Error("a connection is still open")
	}
	if n := r.stats.Idle.Load(); n != 0 {
		t.Errorf("%d count as kept, want 0", n)
	}
}

func TestDialFailure(t *testing.T) {
	r := newRig(t, Defaults())
	r.ln.Close()
	r.do(func() {
		if u, err := r.p.Get(r.ep, false, 0); err == nil {
			t.Errorf("got %v where nothing listens", u)
		}
	})
	if n := r.stats.ConnectFailures.Load(); n != 1 {
		t.Errorf("%d connect failures, want 1", n)
	}
}
