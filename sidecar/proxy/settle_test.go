package proxy

import (
	"math"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/sluice-mesh/sluice/sidecar/classify"
	"github.com/sluice-mesh/sluice/sidecar/cluster"
	"github.com/sluice-mesh/sluice/sidecar/metrics"
	"github.com/sluice-mesh/sluice/sidecar/rules"
)

// A request that ends while it waits leaves no doubt open: the endpoint that it was to find out about has answered badly.
func TestADoubtIsSettledWhereTheRequestEndsInAWait(t *testing.T) {
	// probed makes the next attempt at ep the one that finds out whether it may return, and answers whether it has been judged: the endpoint is out
	// for the second time then.
	probed := func(r *rig, ep *cluster.Endpoint) (judged func() bool) {
		load := &ep.Load[0]
		r.on(func() { load.Bad, load.Ejections, load.SuspectUntil = math.MaxUint16, 1, 1 })
		return func() (yes bool) {
			r.on(func() { yes = !load.Probing && load.Ejections == 2 })
			return yes
		}
	}
	// crowded publishes two endpoints, the second of which is full.
	crowded := func(t *testing.T, r *rig, bad netip.AddrPort, wait time.Duration) (judged func() bool) {
		eps := r.eps(bad, closedPort(t))
		r.ruled(func(ru *rules.Rules) { ru.Limits.Requests, ru.Limits.Queue = 1, wait }, eps...)
		eps[1].Places.Take(1)
		t.Cleanup(eps[1].Places.Give)
		return probed(r, eps[0])
	}
	for name, publish := range map[string]func(t *testing.T, r *rig, bad netip.AddrPort) (judged func() bool){
		"for room": func(t *testing.T, r *rig, bad netip.AddrPort) func() bool { return crowded(t, r, bad, patience) },
		"to be sent again": func(t *testing.T, r *rig, bad netip.AddrPort) func() bool {
			eps := r.eps(bad)
			r.ruled(func(ru *rules.Rules) { ru.Retry.Backoff = rules.Backoff{Base: time.Minute, Most: time.Minute} }, eps...)
			return probed(r, eps[0])
		},
	} {
		t.Run("its client leaves while it waits "+name, func(t *testing.T) {
			r, bad := newRig(t), newOrigin(t)
			judged := publish(t, r, bad.addr)
			client := r.dial()
			client.send(get)
			s := bad.accept()
			s.expect(get, "the request")
			s.send(status(500))
			r.eventually("the request to wait", func() bool { return r.waiting()+r.service().Retries[classify.ServerError].Load() == 1 })
			client.reset()
			r.eventually("the endpoint to be judged", judged)
		})
	}
	t.Run("there is no room in time: HTTP/1.1", func(t *testing.T) {
		r, bad := newRig(t), newOrigin(t)
		judged := crowded(t, r, bad.addr, 20*time.Millisecond)
		client := r.dial()
		client.send(get)
		s := bad.accept()
		s.expect(get, "the request")
		s.send("hello\r\n\r\n")
		r.counts("requests that have waited too long", 1, r.service().Limited[metrics.LimitQueue].Load)
		client.close()
		r.eventually("the endpoint to be judged", judged)
	})
	t.Run("there is no room in time: HTTP/2", func(t *testing.T) {
		r := newRig(t)
		bad := newServer(t, func(_ int, c *net.TCPConn) {
			asked(c, func(out *http2.Framer, id uint32, path string) { // a head without a status
				out.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: []byte("\x00\x01x\x01y"), EndHeaders: true, EndStream: true})
			})
		})
		r.target.HTTP2.Store(true)
		judged := crowded(t, r, bad.addr, 20*time.Millisecond)
		c := r.h2Client()
		if status, text, _ := ask(t, c, "GET", "/", ""); status != 503 {
			t.Errorf("got %d %q", status, text)
		}
		r.counts("malformed answers", 1, func() uint64 { return r.attempts(classify.BadAnswer) })
		r.eventually("the endpoint to be judged", judged)
		c.CloseIdleConnections()
	})
}
