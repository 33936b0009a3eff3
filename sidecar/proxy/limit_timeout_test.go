package proxy

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/metrics"
	"github.com/sluice-mesh/sluice/sidecar/rules"
)

// A request whose time is over while it waits for an endpoint below its limit is answered as any request whose time is over.
func TestATimeoutThatEndsWhileTheRequestWaitsForALimit(t *testing.T) {
	counted := func(r *rig) {
		t.Helper()
		r.counts("timeouts of requests", 1, r.service().Timeouts[1].Load)
		r.counts("requests that waited too long for a limit", 0, r.service().Limited[metrics.LimitQueue].Load)
		r.counts("requests wait", 0, r.waiting)
	}
	t.Run("HTTP/1.1", func(t *testing.T) {
		r, o := newRig(t), newOrigin(t)
		limit := func(ru *rules.Rules) { ru.Limits.Requests, ru.Limits.Queue = 1, patience }
		r.ruled(limit, r.eps(o.addr)...)
		first := r.dial()
		defer first.close()
		first.send(get)
		o.accept().expect(get, "the request that keeps the endpoint busy")
		r.with(func(ru *rules.Rules) { ru.Timeout = 30 * time.Millisecond })
		second := first.sibling()
		second.send(get)
		if got := second.rest(); !strings.HasPrefix(got, "HTTP/1.1 504 ") || !strings.Contains(got, "within 30ms, which is its sluice.mesh/timeout") {
			t.Errorf("got %q", got)
		}
		counted(r)
	})
	t.Run("gRPC", func(t *testing.T) {
		h, release := hanging(t, named("good"))
		busy, r := newH2Server(t, h), newRig(t)
		r.serve(busy.addr)
		r.with(func(ru *rules.Rules) { ru.Limits.Requests, ru.Limits.Queue = 1, patience })
		c, done := r.h2Client(), make(chan bool)
		go func() {
			defer close(done)
			res, err := c.Post("http://web/", "", strings.NewReader("x"))
			body(t, res, err)
		}()
		r.eventually("the first request", func() bool { return r.m.Loop(0).Upstreams.Load() == 1 })
		q, _ := http.NewRequest("POST", "http://web/pkg.Service/Method", strings.NewReader("\x00\x00\x00\x00\x00"))
		q.Header.Set("Content-Type", "application/grpc")
		q.Header.Set("Grpc-Timeout", "30m")
		res, err := c.Do(q)
		if body(t, res, err); err == nil && (res.Header.Get("Grpc-Status") != "4" || !strings.Contains(res.Header.Get("Grpc-Message"), "grpc-timeout")) {
			t.Errorf("got %v, want DEADLINE_EXCEEDED", res.Header)
		}
		counted(r)
		release()
		<-done
	})
}
