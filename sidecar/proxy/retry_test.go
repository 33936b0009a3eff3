package proxy

import (
	"strings"
	"testing"

	"github.com/sluice-mesh/sluice/sidecar/classify"
	"github.com/sluice-mesh/sluice/sidecar/metrics"
)

func TestConnectFailures(t *testing.T) {
	large := strings.Repeat("x", 3<<20)
	bodies := map[string]string{
		"no body":               get,
		"a small body":          post,
		"a large body":          "POST / HTTP/1.1\r\nHost: web\r\nContent-Length: " + itoa(len(large)) + "\r\n\r\n" + large,
		"a large, chunked body": "POST / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n" + hex(len(large)) + "\r\n" + large + "\r\n0\r\n\r\n",
	}
	for name, request := range bodies {
		t.Run(name+" goes whole to the endpoint that can be reached", func(t *testing.T) {
			r, o := newRig(t), newOrigin(t)
			r.inOrder(closedPort(t), closedPort(t), o.addr)
			client := r.dial()
			go client.c.Write([]byte(request))
			s := o.accept()
			s.expect(request, "the request")
			s.send(ok)
			client.expect(ok, "the answer")
			client.close()
			r.counts("attempts count as connect failures", 2, func() uint64 { return r.attempts(classify.ConnectFailed) })
			r.counts("connect failures", 2, r.m.Loop(0).ConnectFailures.Load)
			r.counts("retries", 2, r.service().Retries[classify.ConnectFailed].Load)
		})
	}
	t.Run("all endpoints refuse: 503 that names them", func(t *testing.T) {
		r := newRig(t)
		a, b := closedPort(t), closedPort(t)
		r.inOrder(a, b)
		client := r.dial()
		client.send(get)
		answer := client.rest()
		want := "sluice: no endpoint of default/web:80 can be reached: 3 addresses tried, the last was " + clusterIP.String() + ": "
		if !strings.HasPrefix(answer, "HTTP/1.1 503 Service Unavailable\r\n") || !strings.Contains(answer, want) {
			t.Errorf("got %q, want 503 with %q", answer, want)
		}
		r.counts("requests count as 5xx", 1, r.service().Classes[5].Load)
	})
	t.Run("all endpoints refuse: the original destination is the last way out", func(t *testing.T) {
		r, o := newRig(t), newOrigin(t)
		r.inOrder(closedPort(t), closedPort(t))
		r.goingTo(o.addr)
		r.resolver.set(o.addr, r.target)
		client := r.dial()
		client.send(post)
		s := o.accept()
		s.expect(post, "the request, which was never sent before")
		s.send(ok)
		client.expect(ok, "the answer")
		client.close()
		r.counts("attempts at the original destination", 1, r.service().Attempts[metrics.Original][classify.Answered].Load)
	})
	t.Run("a request that may have arrived does not go to the original destination", func(t *testing.T) {
		r, o, last := newRig(t), newOrigin(t), newOrigin(t)
		r.inOrder(o.addr, closedPort(t))
		r.goingTo(last.addr)
		r.resolver.set(last.addr, r.target)
		client := r.dial()
		client.send(get)
		s := o.accept()
		s.expect(get, "the request")
		s.reset()
		if answer := client.rest(); !strings.HasPrefix(answer, "HTTP/1.1 503 ") {
			t.Errorf("got %q, want 503: kube-proxy might choose the same endpoint again", answer)
		}
		if n := r.service().Attempts[metrics.Original][classify.Answered].Load(); n != 0 {
			t.Errorf("%d attempts at the original destination, want none", n)
		}
	})
	t.Run("an endpoint that refused is avoided, and found again", func(t *testing.T) {
		r, o := newRig(t), newOrigin(t)
		bad := closedPort(t)
		r.serve(bad, o.addr)
		client := r.dial()
		var s *peer
		for range 20 {
			client.send(get)
			if s == nil {
				s = o.accept()
			}
			s.expect(get, "the request")
			s.send(ok)
			client.expect(ok, "the answer")
		}
		client.close()
		if n := r.m.Loop(0).ConnectFailures.Load(); n > 1 {
			t.Errorf("%d connects failed: a suspect is to be passed over", n)
		}
	})
	t.Run("no endpoints: the original destination", func(t *testing.T) {
		r, o := newRig(t), newOrigin(t)
		r.goingTo(o.addr)
		r.resolver.set(o.addr, r.target)
		client := r.dial()
		client.send(get)
		s := o.accept()
		s.expect(get, "the request")
		s.send(ok)
		client.expect(ok, "the answer")
		client.close()
		r.counts("attempts count as sent to the original destination", 1, r.service().Attempts[2][classify.Answered].Load)
	})
	t.Run("no endpoints, and the original destination refuses: so do we", func(t *testing.T) {
		r := newRig(t)
		dst := closedPort(t)
		r.goingTo(dst)
		r.resolver.set(dst, r.target)
		client := r.dial()
		client.send(get)
		client.expectReset("what the client would see")
		r.counts("requests count as not answered", 1, r.service().Classes[0].Load)
	})
}

func TestAnswerCutBeforeItsHead(t *testing.T) {
	cut := func(t *testing.T, request string) (*rig, *peer, *origin) {
		r, bad, good := newRig(t), newOrigin(t), newOrigin(t)
		r.inOrder(bad.addr, good.addr)
		client := r.dial()
		client.send(request)
		s := bad.accept()
		s.expect(request, "the request")
		s.send("HTTP/1.1 200 O")
		s.close()
		return r, client, good
	}
	t.Run("GET is sent to another endpoint", func(t *testing.T) {
		r, client, good := cut(t, get)
		s := good.accept()
		s.expect(get, "the request")
		s.send(ok)
		client.expect(ok, "the answer")
		client.close()
		r.counts("retries", 1, r.service().Retries[classify.Cut].Load)
	})
	t.Run("POST is not", func(t *testing.T) {
		r, client, good := cut(t, post)
		client.expectEnd("the client sees what the proxy saw: FIN and no answer")
		good.noConnection("though the request may have had an effect")
		r.counts("requests count as not answered", 1, r.service().Classes[0].Load)
	})
	t.Run("nor GET when the budget is used up", func(t *testing.T) {
		r, bad, good := newRig(t, func(o *Options) { o.Budget.Burst, o.Budget.Ratio, o.Budget.PerSecond = 0, 0, 0 }), newOrigin(t), newOrigin(t)
		r.inOrder(bad.addr, good.addr)
		client := r.dial()
		client.send(get)
		s := bad.accept()
		s.expect(get, "the request")
		s.reset()
		client.expectReset("the client sees what the proxy saw")
		good.noConnection("though the budget is used up")
		r.counts("retries refused", 1, r.service().Refused.Load)
	})
}
