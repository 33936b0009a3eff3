package proxy

import (
	"testing"

	"github.com/sluice-mesh/sluice/sidecar/h1"
	"github.com/sluice-mesh/sluice/sidecar/loop"
)

// A connection without a request holds no coroutine and no buffer; a part of a head is enough to hold both.
func TestAnIdleConnectionHoldsNothing(t *testing.T) {
	if loop.Implementation != "epoll" {
		t.Skip("in the other implementation a coroutine waits for each connection")
	}
	r, o := one(t)
	client, s := warm(r, o)
	idle := func(what string, want bool) {
		t.Helper()
		r.eventually(what, func() (is bool) {
			// The listener's coroutine, and the pools' sweeper.
			r.on(func() { is = (r.l.Live() <= 2 && r.l.BuffersOut() == 0) == want })
			return is
		})
	}
	for range 3 {
		idle("an idle connection to hold nothing", true)
		client.send(get[:10])
		idle("a part of a head to be held", false)
		client.send(get[10:])
		s.expect(get, "the request")
		s.send(ok)
		client.expect(ok, "the answer")
	}
	idle("an idle connection to hold nothing", true)
	client.send(get + get)
	s.expect(get, "the first of two requests")
	s.send(ok)
	s.expect(get, "the second of two requests")
	s.send(ok)
	client.expect(ok+ok, "the answers")
	idle("an idle connection to hold nothing", true)
	client.close()
}

// The loop's end is the end of idle connections.
func TestIdleConnectionsEndWithTheLoop(t *testing.T) {
	r, o := one(t)
	client, _ := warm(r, o)
	other := r.dial()
	other.send(get[:10])
	r.on(func() { r.w.Close() })
	r.l.Stop()
	<-r.l.Done()
	r.stopped = true
	if n := r.m.Loop(0).Open.Load(); n != 0 {
		t.Errorf("%d connections count as open", n)
	}
	client.expectResetOrEnd("an idle connection ends")
	other.expectResetOrEnd("one within a head ends")
}

// One that was closed meanwhile is over, and not idle for ever.
func TestAClosedConnectionIsNotIdle(t *testing.T) {
	r, o := one(t)
	states := make(chan h1.State, 1)
	r.on(func() {
		r.l.Go(func() {
			c, err := r.l.Dial(o.addr, loop.DialOptions{})
			if err != nil {
				t.Error(err)
				states <- h1.Idle
				return
			}
			d := h1.NewDownstream(h1.Stream{Conn: c}, h1.Options{})
			if s := d.Serve(nil); s != h1.Idle {
				t.Errorf("a connection without a request is %d", s)
			}
			c.Close()
			states <- d.Serve(nil)
		})
	})
	if s := got(t, states, "the end"); s != h1.Ended {
		t.Errorf("a closed connection is %d, want %d", s, h1.Ended)
	}
}
