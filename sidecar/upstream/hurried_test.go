package upstream

import (
	"errors"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/loop"
)

// stall fills the line of connections that the server has not accepted: a connect hangs until the server accepts what it answers here.
func (r *rig) stall() {
	r.t.Helper()
	raw, err := r.ln.SyscallConn()
	if err != nil {
		r.t.Fatal(err)
	}
	if cerr := raw.Control(func(fd uintptr) { err = syscall.Listen(int(fd), 0) }); cerr != nil || err != nil {
		r.t.Fatal(cerr, err)
	}
	c, err := net.Dial("tcp", r.ln.Addr().String())
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
}

// hurry asks for a connection that is not to be had in the time that there is.
func (r *rig) hurry() {
	r.t.Helper()
	r.do(func() {
		const within = 20 * time.Millisecond
		began := time.Now()
		u, err := r.p.Get(r.ep, false, within)
		if u != nil || !errors.Is(err, loop.ErrTimeout) {
			r.t.Errorf("got %v, %v, want a timeout", u, err)
		}
		if took := time.Since(began); took < within {
			r.t.Errorf("it was given up after %v of %v", took, within)
		}
	})
}

func (r *rig) suspect() (yes bool) {
	r.do(func() { yes = r.ep.Load[0].SuspectUntil > r.l.Now() })
	return yes
}

func TestAConnectGivenUpInAHurryGoesOn(t *testing.T) {
	t.Run("and makes the endpoint suspect when it fails", func(t *testing.T) {
		o := Defaults()
		o.ConnectTimeout = time.Second
		r := newRig(t, o)
		r.stall()
		r.hurry()
		if r.suspect() {
			t.Error("20 ms speak against the endpoint")
		}
		r.hurry() // has one of its own: those that go on are not to become many
		if n := r.stats.ConnectFailures.Load(); n != 1 {
			t.Errorf("%d connects have failed, want the second", n)
		}
		r.eventually("the endpoint to be suspect", func() bool { return r.ep.Load[0].SuspectUntil > r.l.Now() })
		r.eventually("nobody to dial any more", func() bool { return r.l.Live() == 1 })
		r.hurry()
		if n := r.stats.ConnectFailures.Load(); n != 2 {
			t.Errorf("%d connects have failed, want the first as well", n)
		}
		r.eventually("the next one to go on", func() bool { return r.stats.ConnectFailures.Load() == 3 })
	})
	// The kernel asks again after a second.
	late := func(t *testing.T) *rig {
		o := Defaults()
		o.ConnectTimeout, o.IdleTimeout = patience, time.Minute
		r := newRig(t, o)
		r.stall()
		r.hurry()
		return r
	}
	t.Run("and its connection serves a later request", func(t *testing.T) {
		r := late(t)
		r.do(func() { r.ep.Load[0].Fails = 1 })
		r.accept()
		r.eventually("the connection to be kept", func() bool { return r.stats.Idle.Load() == 1 })
		r.do(func() {
			if n := r.ep.Load[0].Fails; n != 0 {
				t.Errorf("%d connects count as failed", n)
			}
		})
		u := r.get()
		if !u.Reused {
			t.Error("another one was made")
		}
		r.put(u)
	})
	t.Run("and its connection is not kept when nobody is to use it", func(t *testing.T) {
		r := late(t)
		r.do(r.p.Close)
		r.accept()
		if !ended(r.accept()) {
			t.Error("it stays open")
		}
		if n := r.stats.Idle.Load(); n != 0 {
			t.Errorf("%d are kept", n)
		}
	})
	t.Run("and ends with the loop", func(t *testing.T) {
		r := newRig(t, Defaults())
		r.stall()
		r.hurry()
		r.l.Stop()
		select {
		case <-r.l.Done():
		case <-time.After(patience):
			t.Error("the loop does not end")
		}
	})
}

// A connect in a hurry that takes as long as it ever does is nobody else's.
func TestAConnectInAHurry(t *testing.T) {
	r := newRig(t, Defaults())
	const within = 50 * time.Millisecond
	best := within
	for range 3 {
		r.do(func() {
			began := time.Now()
			u, err := r.p.Get(r.ep, false, within)
			best = min(best, time.Since(began))
			if err != nil {
				t.Error(err)
				return
			}
			if u.Reused {
				t.Error("it counts as used before")
			}
			u.Close()
		})
	}
	if n, k := r.stats.Connects.Load(), r.stats.Idle.Load(); n != 3 || k != 0 {
		t.Errorf("%d connects, %d idle; want 3, 0", n, k)
	}
	if best >= within {
		t.Error("each took the whole time")
	}
	r.ln.Close()
	r.do(func() {
		if _, err := r.p.Get(r.ep, false, within); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("got %v, want to be refused", err)
		}
	})
	if !r.suspect() {
		t.Error("an endpoint that refuses is not suspect")
	}
}
