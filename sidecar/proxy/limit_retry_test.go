package proxy

import (
	"net/http"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/classify"
	"github.com/sluice-mesh/sluice/sidecar/metrics"
	"github.com/sluice-mesh/sluice/sidecar/rules"
)

// A request that may be sent again, on the retry budget, waits where the endpoints that are left have as many requests as they may.
func TestAFurtherAttemptWaitsForRoom(t *testing.T) {
	// crowded has a request at the first of two endpoints, while the second has its most.
	crowded := func(t *testing.T, request string, change func(*rules.Rules)) (r *rig, client, bad *peer, good *origin, room func()) {
		r = newRig(t)
		b, g := newOrigin(t), newOrigin(t)
		r.ruled(func(ru *rules.Rules) { ru.Limits.Requests = 1; ru.Limits.Queue = patience; change(ru) }, r.eps(b.addr, g.addr)...)
		places := &r.eps(g.addr)[0].Places
		places.Take(1)
		client = r.dial()
		client.send(request)
		bad = b.accept()
		bad.expect(request, "the request")
		return r, client, bad, g, places.Give
	}
	for name, c := range map[string]struct {
		fail func(p *peer)
		o    classify.Outcome
	}{"cut": {(*peer).reset, classify.Cut}, "answered 503": {func(p *peer) { p.send(status(503)) }, classify.ServerError}} {
		t.Run(name, func(t *testing.T) {
			r, client, bad, good, room := crowded(t, get, func(*rules.Rules) {})
			c.fail(bad)
			r.eventually("the request to wait", func() bool { return r.waiting() == 1 })
			r.counts("requests sent again, while this one waits", 0, r.service().Retries[c.o].Load)
			room()
			s := good.accept()
			s.expect(get, "the request again")
			s.send(ok)
			client.expect(ok, "the answer")
			client.close()
			r.counts("requests sent again", 1, r.service().Retries[c.o].Load)
		})
	}
	t.Run("answered 503, and there is no room in time", func(t *testing.T) {
		r, client, bad, _, room := crowded(t, get, func(ru *rules.Rules) { ru.Limits.Queue = 50 * time.Millisecond })
		bad.send(status(503))
		client.expect(status(503), "what there is")
		client.close()
		room()
		r.counts("requests that have waited too long", 1, r.service().Limited[metrics.LimitQueue].Load)
		r.counts("requests sent again", 0, r.service().Retries[classify.ServerError].Load)
	})
	t.Run("answered 503, and too many wait", func(t *testing.T) {
		r, client, bad, _, room := crowded(t, get, func(ru *rules.Rules) { ru.Limits.Pending = 0 })
		bad.send(status(503))
		client.expect(status(503), "what there is")
		client.close()
		room()
		r.counts("requests that may not wait", 1, r.service().Limited[metrics.LimitPending].Load)
	})
	t.Run("answered 503, and the time is over", func(t *testing.T) {
		r, client, bad, _, room := crowded(t, get, func(ru *rules.Rules) { ru.Timeout = 500 * time.Millisecond })
		bad.send(status(503))
		client.expect(status(503), "what there is")
		client.close()
		room()
		r.counts("timeouts of requests", 1, r.service().Timeouts[1].Load)
	})
	t.Run("nobody waits for a place that is kept for an error", func(t *testing.T) {
		r, a, b := newRig(t), newOrigin(t), newOrigin(t)
		r.ruled(func(ru *rules.Rules) { ru.Limits.Requests, ru.Limits.Queue = 1, patience }, r.eps(a.addr, b.addr)...)
		first, second := r.dial(), r.dial()
		first.send(get)
		atA := a.accept()
		atA.expect(get, "the first request")
		second.send(get)
		atB := b.accept()
		atB.expect(get, "the second request")
		atA.send("HTTP/1.1 503 Oh\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n")
		r.eventually("the first to wait for the other's place", func() bool { return r.waiting() == 1 })
		atB.send(status(503))
		s := a.accept()
		s.expect(get, "the second request, at the first one's")
		s.send(ok)
		second.expect(ok, "the answer")
		atB.expect(get, "the first request, at the second one's")
		atB.send(ok)
		first.expect(ok, "the answer")
		first.close()
		second.close()
	})
	t.Run("the client leaves meanwhile", func(t *testing.T) {
		r, client, bad, _, room := crowded(t, get, func(*rules.Rules) {})
		bad.send(status(503))
		r.eventually("the request to wait", func() bool { return r.waiting() == 1 })
		client.reset()
		r.eventually("nobody to wait", func() bool { return r.waiting() == 0 })
		room()
	})
	for name, c := range map[string]struct {
		request string
		change  func(*rules.Rules)
	}{
		"a POST":                {post, func(*rules.Rules) {}},
		"no retries":            {get, func(ru *rules.Rules) { ru.Retry.Most = 0 }},
		"the budget is used up": {get, func(ru *rules.Rules) { ru.Retry.Budget = rules.Budget{} }},
		"it is no reason to":    {get, func(ru *rules.Rules) { ru.Retry.On = 0 }},
	} {
		t.Run("does not wait: "+name, func(t *testing.T) {
			r, client, bad, _, room := crowded(t, c.request, c.change)
			bad.send(status(503))
			client.expect(status(503), "the answer")
			client.close()
			room()
			r.counts("requests met a limit", 0, r.service().Limited[metrics.LimitPending].Load)
		})
	}
}

// A wait for room that is none of an attempt's end, as after a pause, is not counted for the one before.
func TestAFurtherAttemptThatHasWaitedIsCountedOnce(t *testing.T) {
	r := newRig(t)
	r.target.Hold()
	r.on(func() {
		rt := r.w.newRoute(r.target, clusterIP)
		defer rt.release()
		q := &request{}
		q.begin(rt)
		q.full = true
		if !q.crowdedOut(&attempt{outcome: classify.ConnectFailed}) {
			t.Error("it does not wait")
		}
		for range 2 {
			q.resent()
		}
	})
	r.counts("requests sent again", 1, r.service().Retries[classify.ConnectFailed].Load)
}

func TestAFurtherAttemptOfAStreamWaitsForRoom(t *testing.T) {
	ask := func(t *testing.T, bad http.HandlerFunc, change func(*rules.Rules), then func(r *rig, room func())) (status int, text string) {
		t.Helper()
		b, g := newH2Server(t, bad), newH2Server(t, named("good"))
		r := newRig(t)
		r.inOrder(b.addr, g.addr)
		r.with(func(ru *rules.Rules) { ru.Limits.Requests = 1; ru.Limits.Queue = patience; change(ru) })
		places := &r.eps(g.addr)[0].Places
		places.Take(1)
		done := make(chan bool)
		go func() { then(r, places.Give); close(done) }()
		res, err := r.h2Client().Get("http://web/")
		text = body(t, res, err)
		<-done
		if res != nil {
			status = res.StatusCode
		}
		return status, text
	}
	for name, c := range map[string]struct {
		bad http.HandlerFunc
		o   classify.Outcome
	}{"cut": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, classify.Cut}, "answered 503": {failing(503, "sorry"), classify.ServerError}} {
		t.Run(name, func(t *testing.T) {
			var stats *metrics.Service
			status, text := ask(t, c.bad, func(*rules.Rules) {}, func(r *rig, room func()) {
				stats = r.service()
				r.eventually("the request to wait", func() bool { return r.waiting() == 1 })
				r.counts("requests sent again, while this one waits", 0, stats.Retries[c.o].Load)
				room()
				r.counts("requests sent again", 1, stats.Retries[c.o].Load)
			})
			if status != 200 || text != "good" {
				t.Errorf("got %d %q", status, text)
			}
		})
	}
	t.Run("answered 503, and there is no room in time", func(t *testing.T) {
		status, text := ask(t, failing(503, "sorry"), func(ru *rules.Rules) { ru.Limits.Queue = 50 * time.Millisecond }, func(r *rig, room func()) {
			r.counts("requests that have waited too long", 1, r.service().Limited[metrics.LimitQueue].Load)
			r.counts("requests sent again", 0, r.service().Retries[classify.ServerError].Load)
			room()
		})
		if status != 503 || text != "sorry" {
			t.Errorf("got %d %q, want what there is", status, text)
		}
	})
	t.Run("answered 503, and too many wait", func(t *testing.T) {
		status, text := ask(t, failing(503, "sorry"), func(ru *rules.Rules) { ru.Limits.Pending = 0 }, func(r *rig, room func()) {
			r.counts("requests that may not wait", 1, r.service().Limited[metrics.LimitPending].Load)
			room()
		})
		if status != 503 || text != "sorry" {
			t.Errorf("got %d %q, want what there is", status, text)
		}
	})
	t.Run("answered 503, and the time is over", func(t *testing.T) {
		status, text := ask(t, failing(503, "sorry"), func(ru *rules.Rules) { ru.Timeout = 500 * time.Millisecond }, func(r *rig, room func()) {
			r.counts("timeouts of requests", 1, r.service().Timeouts[1].Load)
			room()
		})
		if status != 503 || text != "sorry" {
			t.Errorf("got %d %q, want what there is", status, text)
		}
	})
}
