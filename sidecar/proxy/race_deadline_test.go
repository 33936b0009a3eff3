package proxy

import (
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/classify"
	"github.com/sluice-mesh/sluice/sidecar/rules"
)

// A request's time holds in a race, too, whose rival has not even a connection when the attempt that it raced ends.
func TestARequestsTimeIsOverWhileARivalConnects(t *testing.T) {
	connecting := func(t *testing.T) (r *rig, client, first *peer) {
		r = newRig(t, func(o *Options) { o.Upstream.ConnectTimeout = 2 * patience })
		o := newOrigin(t)
		r.ruled(func(ru *rules.Rules) { ru.Hedge, ru.Timeout = 20*time.Millisecond, time.Second }, r.eps(o.addr, fullQueue(t))...)
		client = r.dial()
		client.send(get)
		first = o.accept()
		first.expect(get, "the request")
		r.eventually("the race", func() bool { return r.service().Retries[classify.LostRace].Load() == 1 })
		return r, client, first
	}
	end := func(r *rig) {
		r.t.Helper()
		r.counts("timeouts of requests", 1, r.service().Timeouts[1].Load)
		r.counts("attempts that timed out", 1, func() uint64 { return r.attempts(classify.TimedOut) })
		// Who has not taken a connection in nearly a second is suspect, as with any attempt, and the other one is not.
		r.on(func() {
			for addr, ep := range r.endpoints {
				if l := ep.Load[0]; (l.SuspectUntil != 0) != (l.Fails == 1) || l.Ejections != 0 || l.Fails == 1 && l.Latency < float64(500*time.Millisecond) {
					r.t.Errorf("%v: %+v", addr, l)
				}
			}
		})
	}
	t.Run("the first attempt was cut", func(t *testing.T) {
		r, client, first := connecting(t)
		first.reset()
		if got := client.rest(); !strings.HasPrefix(got, "HTTP/1.1 504 ") || !strings.Contains(got, "within 1s, which is its sluice.mesh/timeout; the last of 2 attempts") {
			t.Errorf("got %q", got)
		}
		end(r)
	})
	t.Run("the first attempt was answered with an error", func(t *testing.T) {
		r, client, first := connecting(t)
		first.send(status(503))
		client.expect(status(503), "what there is, when the time is over")
		client.close()
		end(r)
	})
	t.Run("the first attempt runs", func(t *testing.T) {
		r, client, _ := connecting(t)
		if got := client.rest(); !strings.HasPrefix(got, "HTTP/1.1 504 ") {
			t.Errorf("got %q", got)
		}
		r.counts("timeouts of requests", 1, r.service().Timeouts[1].Load)
		r.counts("attempts that timed out", 2, func() uint64 { return r.attempts(classify.TimedOut) })
	})
}
