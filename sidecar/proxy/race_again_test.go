package proxy

import (
	"context"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/classify"
	"github.com/sluice-mesh/sluice/sidecar/rules"
)

// A race that finds nobody at its moment is tried again.
func TestARaceIsTriedAgain(t *testing.T) {
	one := func(ru *rules.Rules) { quickRace(ru); ru.Limits.Requests = 1 }
	t.Run("the other endpoint had as many requests as it may", func(t *testing.T) {
		r, hung, other := newRig(t), newOrigin(t), newOrigin(t)
		r.ruled(one, r.eps(hung.addr, other.addr)...)
		first, second := r.dial(), r.dial()
		first.send(get)
		hung.accept().expect(get, "the request that hangs")
		second.send(post)
		busy := other.accept()
		busy.expect(post, "the request that takes the other endpoint's only place")
		first.expectSilence("the time to a race goes by")
		first.expectSilence("the time to a race goes by")
		busy.send(ok)
		second.expect(ok, "the answer of the other endpoint, which has a place now")
		busy.expect(get, "the request that hung")
		busy.send(ok)
		first.expect(ok, "its answer")
		first.close()
		second.close()
	})
	t.Run("the other endpoint came later", func(t *testing.T) {
		r, client, _, _ := racing(t, get, 0, quickRace)
		client.expectSilence("there is nobody else")
		client.expectSilence("there is nobody else")
		o := newOrigin(t)
		r.ruled(quickRace, append(r.target.Snapshot().Set.Endpoints, r.eps(o.addr)...)...)
		s := o.accept()
		s.expect(get, "the request, to the endpoint that has come")
		s.send(ok)
		client.expect(ok, "its answer")
		client.close()
	})
}

// What no endpoint has seen costs nothing: not in a race either.
func TestARivalThatIsRefusedCostsNoRetry(t *testing.T) {
	r, hung, good := newRig(t), newOrigin(t), newOrigin(t)
	r.ruled(func(ru *rules.Rules) { quickRace(ru); ru.Retry.Most = 1 }, r.eps(hung.addr, closedPort(t), good.addr)...)
	client := r.dial()
	client.send(get)
	hung.accept().expect(get, "the request that hangs")
	s := good.accept()
	s.expect(get, "the request, though one further attempt has failed already")
	s.send(ok)
	client.expect(ok, "its answer")
	client.close()
}

// A kept connection that turns out dead says nothing of its endpoint: not in a race either.
func TestARaceAndDeadConnections(t *testing.T) {
	t.Run("the rival's", func(t *testing.T) {
		r, hung, other := newRig(t), newOrigin(t), newOrigin(t)
		r.ruled(quickRace, r.eps(other.addr)...)
		client, kept := warm(r, other)
		r.ruled(quickRace, r.eps(hung.addr, other.addr)...)
		client.send(get)
		hung.accept().expect(get, "the request that hangs")
		kept.expect(get, "the request, on the kept connection")
		kept.reset()
		s := other.accept()
		s.expect(get, "the request, on a new connection to the only other endpoint")
		s.send(ok)
		client.expect(ok, "its answer")
		client.close()
		r.counts("attempts that were cut", 1, func() uint64 { return r.attempts(classify.Cut) })
	})
	t.Run("of one that nobody could race", func(t *testing.T) {
		r, o := newRig(t), newOrigin(t)
		r.ruled(quickRace, r.eps(o.addr)...)
		client, kept := warm(r, o)
		client.send(get)
		kept.expect(get, "the request, on the kept connection")
		client.expectSilence("there is nobody else")
		client.expectSilence("there is nobody else")
		kept.reset()
		s := o.accept()
		s.expect(get, "the request, on a new connection")
		s.send(ok)
		client.expect(ok, "the answer")
		client.close()
	})
	t.Run("of the one that was raced", func(t *testing.T) {
		r, first, second := newRig(t), newOrigin(t), newOrigin(t)
		r.ruled(quickRace, r.eps(first.addr, second.addr)...)
		client, kept := warm(r, first)
		client.send(get)
		kept.expect(get, "the request, on the kept connection")
		rival := second.accept()
		rival.expect(get, "the request, to another endpoint")
		kept.reset()
		client.expectSilence("the rival goes on")
		rival.send(status(503))
		s := first.accept()
		s.expect(get, "the request, on a new connection")
		s.send(ok)
		client.expect(ok, "the answer")
		client.close()
	})
}

// aborting is a server of HTTP/2 that ends its connection instead of answering one request, the n-th.
func aborting(t *testing.T, n int, then http.HandlerFunc) *h2Server {
	type key struct{}
	var begun atomic.Int64
	return newH2Server(t, func(w http.ResponseWriter, q *http.Request) {
		if begun.Add(1) == int64(n) {
			q.Context().Value(key{}).(net.Conn).Close()
			return
		}
		then(w, q)
	}, func(s *http.Server) {
		s.ConnContext = func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, key{}, c) }
	})
}

func TestARaceOfAStreamIsTriedAgain(t *testing.T) {
	race := func(r *rules.Rules) { r.HangRace.Floor = 30 * time.Millisecond }
	// unraced asks for an answer that is not raced in its time, and has then bring about the change that lets it be.
	unraced := func(t *testing.T, r *rig, then func()) {
		t.Helper()
		time.AfterFunc(200*time.Millisecond, then)
		c := r.h2Client()
		c.Timeout = patience
		res, err := c.Get("http://web/")
		if got := body(t, res, err); got != "good" {
			t.Errorf("got %q", got)
		}
	}
	h := func(t *testing.T) *h2Server {
		h, _ := hanging(t, named("never"))
		return newH2Server(t, h)
	}
	t.Run("the other endpoint had as many requests as it may", func(t *testing.T) {
		hung, good := h(t), newH2Server(t, named("good"))
		r := newRig(t)
		r.inOrder(hung.addr, good.addr)
		r.with(func(ru *rules.Rules) { race(ru); ru.Limits.Requests = 1 })
		ep := r.eps(good.addr)[0]
		ep.Places.Take(1)
		unraced(t, r, ep.Places.Give)
	})
	t.Run("the other endpoint came later", func(t *testing.T) {
		hung, good := h(t), newH2Server(t, named("good"))
		r := newRig(t)
		r.inOrder(hung.addr)
		r.with(race)
		unraced(t, r, func() { r.inOrder(hung.addr, good.addr) })
	})
	t.Run("the rival's connection was dead", func(t *testing.T) {
		hung, good := h(t), aborting(t, 2, named("good"))
		r := newRig(t)
		r.inOrder(good.addr)
		unraced(t, r, func() {})
		r.inOrder(hung.addr, good.addr)
		r.with(race)
		unraced(t, r, func() {})
	})
	t.Run("the connection of one that nobody could race was dead", func(t *testing.T) {
		gate := make(chan bool)
		var began atomic.Int64
		o := aborting(t, 2, named("good"))
		abort := o.srv.Handler
		o.srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			if began.Add(1) == 2 {
				<-gate
			}
			abort.ServeHTTP(w, q)
		})
		r := newRig(t)
		r.inOrder(o.addr)
		r.with(race)
		unraced(t, r, func() {})
		unraced(t, r, func() { close(gate) })
	})
	t.Run("the connection of the one that was raced was dead", func(t *testing.T) {
		gate := make(chan bool)
		first, second := aborting(t, 2, named("good")), newH2Server(t, func(w http.ResponseWriter, q *http.Request) { <-gate; w.WriteHeader(503) })
		r := newRig(t)
		r.inOrder(first.addr)
		unraced(t, r, func() {})
		abort, asked := first.srv.Handler, make(chan bool)
		var began atomic.Int64
		first.srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			if began.Add(1) == 1 {
				<-asked
			}
			abort.ServeHTTP(w, q)
		})
		r.inOrder(first.addr, second.addr)
		r.with(race)
		go func() {
			r.eventually("the race", func() bool { return r.service().Retries[classify.LostRace].Load() == 1 })
			close(asked)
			r.counts("attempts that were cut", 1, func() uint64 { return r.attempts(classify.Cut) })
			close(gate)
		}()
		unraced(t, r, func() {})
	})
}
