package proxy

import (
	"context"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/metrics"
	"github.com/sluice-mesh/sluice/sidecar/rules"
)

// What a silent client's connection will carry is not known: it takes no place of those that max-connections grants, which a request
// would wait for in vain.
func TestASilentClientTakesNoPlace(t *testing.T) {
	// crowdedPort makes a port that declares nothing and grants one connection to an endpoint; silent clients have one dialled at once.
	crowdedPort := func(t *testing.T, addrs ...netip.AddrPort) *rig {
		r := newRig(t)
		r.on(func() { r.w.silence = time.Microsecond })
		r.ruled(func(ru *rules.Rules) { ru.Limits.Connections, ru.Limits.Queue = 1, patience }, r.eps(addrs...)...)
		return r
	}
	dialled := func(r *rig, n int) {
		r.t.Helper()
		r.counts("connections were made", n, r.m.Loop(0).Connects.Load)
	}
	taken := func(r *rig, n int64, why string, addr netip.AddrPort) {
		r.t.Helper()
		if got := r.eps(addr)[0].Places.Taken(); got != n {
			r.t.Errorf("%d places are taken, want %d: %s", got, n, why)
		}
	}
	refused := func(r *rig, n int) {
		r.t.Helper()
		r.counts("connections were refused", n, r.service().Limited[metrics.LimitOpaque].Load)
	}

	t.Run("so that another client's request is sent", func(t *testing.T) {
		s := newFaulty(t, answering(ok))
		r := crowdedPort(t, s.addr)
		silent := r.dial()
		dialled(r, 1)
		taken(r, 0, "it may yet send a request", s.addr)
		other := silent.sibling()
		other.send(get)
		other.expect(ok, "nothing runs at the endpoint")
		silent.send(get)
		silent.expect(ok, "its turn")
		refused(r, 0)
		silent.close()
		other.close()
	})
	t.Run("and its request waits for one like any other", func(t *testing.T) {
		free, cancel := context.WithCancel(t.Context())
		defer cancel()
		s := newFaulty(t, func(n int64, c *net.TCPConn) bool {
			if n == 1 {
				<-free.Done()
			}
			return answering(ok)(n, c)
		})
		r := crowdedPort(t, s.addr)
		busy := r.dial()
		busy.send(get)
		r.eventually("the request that keeps the endpoint busy", func() bool { return s.requests.Load() == 1 })
		before := int(r.m.Loop(0).Connects.Load())
		silent := busy.sibling()
		dialled(r, before+1)
		silent.expectSilence("it is not refused before it has said what it wants")
		silent.send(get)
		r.eventually("the request to wait", func() bool { return r.waiting() == 1 })
		cancel()
		busy.expect(ok, "the first answer")
		silent.expect(ok, "the second")
		refused(r, 0)
		busy.close()
		silent.close()
	})
	greeting := func(word string) *server {
		return newServer(t, func(_ int, c *net.TCPConn) {
			c.Write([]byte(word))
			io.Copy(io.Discard, c)
		})
	}
	t.Run("a connection whose server speaks first takes one when it does, or is reset", func(t *testing.T) {
		s := greeting("220")
		r := crowdedPort(t, s.addr)
		first := r.dial()
		first.expect("220", "the banner")
		taken(r, 1, "the connection is opaque", s.addr)
		r.refused("there is one already")
		refused(r, 1)
		dialled(r, 1) // the server is known to speak first, and full: it is left alone
		first.close()
		r.eventually("the place to be free", func() bool { return r.eps(s.addr)[0].Places.Taken() == 0 })
		again := r.dial()
		again.expect("220", "the banner")
		again.close()
	})
	t.Run("or goes where there is one", func(t *testing.T) {
		a, b := greeting("one"), greeting("two")
		r := crowdedPort(t, a.addr, b.addr)
		first := r.dial()
		first.expect("one", "the banner of the first endpoint")
		second := r.dial()
		second.expect("two", "the other endpoint has a place")
		taken(r, 1, "the first connection", a.addr)
		taken(r, 1, "the second", b.addr)
		r.refused("both are full")
		refused(r, 1)
		first.close()
		second.close()
	})
	t.Run("a client whose bytes are no request takes one when they come, or is reset", func(t *testing.T) {
		s := newServer(t, func(_ int, c *net.TCPConn) { io.Copy(c, c) })
		r := crowdedPort(t, s.addr)
		first, second := r.dial(), r.dial()
		dialled(r, 2)
		taken(r, 0, "both are silent", s.addr)
		first.send("*1\r\n$4\r\nPING\r\n")
		first.expect("*1\r\n$4\r\nPING\r\n", "the echo")
		taken(r, 1, "the connection is opaque", s.addr)
		second.send("*1\r\n$4\r\nPING\r\n")
		if got := second.expectReset("there is one already"); strings.Contains(got, "PING") {
			t.Errorf("its bytes were passed on: %q", got)
		}
		refused(r, 1)
		first.close()
	})
}

// The original destination is the last way out: no connection to it is refused.
func TestTheOriginalDestinationIsNeverFull(t *testing.T) {
	s := newServer(t, func(_ int, c *net.TCPConn) {
		c.Write([]byte("220"))
		io.Copy(io.Discard, c)
	})
	r := newRig(t)
	r.on(func() { r.w.silence = time.Microsecond })
	r.ruled(func(ru *rules.Rules) { ru.Limits.Connections = 1 })
	r.resolver.set(s.addr, r.target)
	r.goingTo(s.addr)
	first, second := r.dial(), r.dial()
	first.expect("220", "the banner")
	second.expect("220", "the banner")
	first.close()
	second.close()
}
