package proxy

import (
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/cluster"
	"github.com/sluice-mesh/sluice/sidecar/metrics"
	"github.com/sluice-mesh/sluice/sidecar/rules"
)

// No endpoint ever has more requests than it may, and no request is lost over it.
func TestAtMostSoManyRequestsAtAnEndpoint(t *testing.T) {
	for _, limit := range []int{1, 3} {
		var running, most atomic.Int64
		busy := func() *faulty {
			return newFaulty(t, func(_ int64, c *net.TCPConn) bool {
				n := running.Add(1)
				for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
				}
				time.Sleep(time.Millisecond)
				running.Add(-1)
				_, err := c.Write([]byte(ok))
				return err == nil
			})
		}
		a, b := busy(), busy()
		r := newRig(t)
		s := snapshot(t, 2, cluster.Undeclared, "", r.eps(a.addr, b.addr)...)
		s.Rules = rules.Default()
		s.Rules.Limits.Requests, s.Rules.Limits.Queue = limit, patience
		r.target.Publish(s)
		r.crowd(20, 20, func(k, _ int) string { return []string{get, post}[k%2] }, func(k, i, status int, body string) {
			if status != 200 {
				t.Errorf("request %d of client %d: %d %q", i, k, status, body)
			}
		})
		if n := most.Load(); n > int64(2*limit) || n < int64(2*limit-1) {
			t.Errorf("at most %d requests ran at two endpoints, want %d at each", n, limit)
		}
	}
}

func TestLimits(t *testing.T) {
	limited := func(t *testing.T, change func(*rules.Limits)) (r *rig, o *origin, busy *peer, first *peer) {
		r, o = newRig(t), newOrigin(t)
		r.ruled(func(ru *rules.Rules) { ru.Limits.Requests = 1; change(&ru.Limits) }, r.eps(o.addr)...)
		first = r.dial()
		first.send(get)
		busy = o.accept()
		busy.expect(get, "the request that keeps the endpoint busy")
		return r, o, busy, first
	}
	expect503 := func(t *testing.T, client *peer, texts ...string) {
		t.Helper()
		answer := client.rest()
		for _, text := range append(texts, "HTTP/1.1 503 Service Unavailable\r\n") {
			if !strings.Contains(answer, text) {
				t.Errorf("got %q, want %q", answer, text)
			}
		}
	}
	t.Run("a request waits for its turn", func(t *testing.T) {
		_, _, busy, first := limited(t, func(l *rules.Limits) { l.Queue = patience })
		second := first.sibling()
		second.send(post)
		busy.expectSilence("one request at a time")
		busy.send(ok)
		first.expect(ok, "the first answer")
		busy.expect(post, "the second request")
		busy.send(ok)
		second.expect(ok, "the second answer")
		first.close()
		second.close()
	})
	t.Run("too many wait", func(t *testing.T) {
		r, _, busy, first := limited(t, func(l *rules.Limits) { l.Pending = 0 })
		second := first.sibling()
		second.send(get)
		expect503(t, second, "every endpoint of default/web:80 has its most of 1 requests (sluice.mesh/max-requests), and 0 requests wait already (sluice.mesh/max-pending)")
		r.counts("requests were refused", 1, r.service().Limited[metrics.LimitPending].Load)
		busy.send(ok)
		first.expect(ok, "the first answer")
		first.close()
	})
	t.Run("one has waited too long", func(t *testing.T) {
		r, _, busy, first := limited(t, func(l *rules.Limits) { l.Queue = 20 * time.Millisecond })
		second := first.sibling()
		second.send(get)
		expect503(t, second, "this one has waited 20ms (sluice.mesh/queue-timeout)")
		r.counts("requests were refused", 1, r.service().Limited[metrics.LimitQueue].Load)
		busy.send(ok)
		first.expect(ok, "the first answer")
		first.close()
	})
	t.Run("a client that waits may leave", func(t *testing.T) {
		r, _, busy, first := limited(t, func(l *rules.Limits) { l.Queue = patience })
		second := first.sibling()
		second.send(get)
		r.eventually("the second one to wait", func() bool { return r.waiting() == 1 })
		second.reset()
		r.eventually("nobody to wait", func() bool { return r.waiting() == 0 })
		busy.send(ok)
		first.expect(ok, "the first answer")
		busy.expectSilence("nobody asks")
		first.close()
	})
	t.Run("an endpoint that comes is found", func(t *testing.T) {
		r, _, busy, first := limited(t, func(l *rules.Limits) { l.Queue = patience })
		second := first.sibling()
		second.send(get)
		busy.expectSilence("one request at a time")
		o := newOrigin(t)
		r.ruled(func(ru *rules.Rules) { ru.Limits.Requests = 1 }, r.eps(o.addr)...)
		s := o.accept()
		s.expect(get, "the request that waited")
		s.send(ok)
		second.expect(ok, "its answer")
		busy.send(ok)
		first.expect(ok, "the first answer")
		first.close()
		second.close()
	})
	t.Run("connections whose bytes are not parsed", func(t *testing.T) {
		r, o := newRig(t), newOrigin(t)
		s := snapshot(t, 2, cluster.Opaque, "", r.eps(o.addr)...)
		s.Rules = rules.Default()
		s.Rules.Limits.Connections = 1
		r.target.Publish(s)
		first := r.dial()
		first.send("PING")
		busy := o.accept()
		busy.expect("PING", "the first connection")
		r.refused("there is one already")
		r.counts("connections were refused", 1, r.service().Limited[metrics.LimitOpaque].Load)
		first.close()
	})
}
