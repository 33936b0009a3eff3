package proxy

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/metrics"
	"github.com/sluice-mesh/sluice/sidecar/rules"
	"github.com/sluice-mesh/sluice/sidecar/shard"
	"github.com/sluice-mesh/sluice/sidecar/shardkey"
)

// owned publishes pods whose keys are owned as a ConfigMap says.
func (p *pods) owned(t *testing.T, data map[string]string, down ...int) {
	t.Helper()
	var err error
	if p.table, err = shard.ParseTable(shard.Lookup, data); err != nil {
		t.Error(err)
		return
	}
	p.publish(down...)
}

// What the map has no entry for is refused where the Service says so, whenever that shows: also behind a wait, and between attempts.
func TestKeysThatLeaveTheTable(t *testing.T) {
	const without = "sluice: requests to default/web:80 need a shard key, which is header:account (sluice.mesh/shard-key): header:account " +
		"has a value that the Service's map has no entry for\n"
	byTable := func(change func(*rules.Rules)) func(*rules.Rules) {
		return func(r *rules.Rules) {
			r.Shard.Key, r.Shard.Map, r.Shard.Lookup, r.Shard.NoKey = "header:account", "lookup", "owners", rules.KeyReject
			r.Limits.Queue = patience
			change(r)
		}
	}
	waiting := func(r *rules.Rules) { r.Shard.Fallback, r.Shard.FallbackWait = rules.FallWait, patience }
	here, gone := map[string]string{"acme": "web-1"}, map[string]string{"other": "web-1"}
	type answer struct {
		status int
		text   string
	}
	protocols(t, func(t *testing.T, client func(r *rig) *http.Client) {
		// asks sends a request of the key, whose answer is to come.
		asks := func(t *testing.T, cl *http.Client) <-chan answer {
			c := make(chan answer, 1)
			go func() {
				status, text, _ := ask(t, cl, "POST", "/", "x", "account: acme")
				c <- answer{status, text}
			}()
			return c
		}
		refused := func(t *testing.T, c <-chan answer) {
			t.Helper()
			if a := got(t, c, "an answer"); a.status != 400 || a.text != without {
				t.Errorf("%d %q, want 400 %q", a.status, a.text, without)
			}
		}
		// busy has pods the second of which holds what it is sent until end.
		busy := func(t *testing.T, change func(*rules.Rules)) (p *pods, cl *http.Client, end func()) {
			p = newPods(t, 3, byTable(change))
			p.owned(t, here)
			entered, hold := make(chan int, 3), make(chan bool)
			p.does(func(pod int, _ http.ResponseWriter, _ *http.Request) { entered <- pod; <-hold })
			cl = client(p.r)
			first := asks(t, cl)
			if pod := got(t, entered, "the first request"); pod != 1 {
				t.Errorf("web-%d is asked first", pod)
			}
			return p, cl, func() {
				t.Helper()
				close(hold)
				if a := got(t, first, "the first answer"); a.status != 200 {
					t.Errorf("the first: %+v", a)
				}
				if n := len(entered); n > 0 {
					t.Errorf("%d more were sent to pods", n)
				}
				cl.CloseIdleConnections()
			}
		}
		t.Run("while it waits for the table", func(t *testing.T) {
			for rule, want := range map[rules.KeyMissing]answer{rules.KeyReject: {400, without}, rules.KeyBalance: {200, "web-0"}} {
				p := newPods(t, 3, byTable(func(r *rules.Rules) { waiting(r); r.Shard.NoKey = rule }))
				cl := client(p.r)
				c := asks(t, cl)
				p.r.eventually("the request to wait", func() bool { return p.r.service().ForOwner.Load() == 1 })
				p.owned(t, gone)
				if a := got(t, c, "an answer"); a != want {
					t.Errorf("%v: %+v, want %+v", rule, a, want)
				}
				if n := p.r.service().Decisions[metrics.OwnerAway].Load(); n != uint64(want.status-200)/200 {
					t.Errorf("%v: %d requests counted as refused", rule, n)
				}
				cl.CloseIdleConnections()
			}
		})
		t.Run("while it waits for the owner", func(t *testing.T) {
			p := newPods(t, 3, byTable(waiting))
			p.owned(t, here, 1)
			cl := client(p.r)
			c := asks(t, cl)
			p.r.eventually("the request to wait", func() bool { return p.r.service().ForOwner.Load() == 1 })
			p.owned(t, gone, 1)
			refused(t, c)
			cl.CloseIdleConnections()
		})
		t.Run("while it waits for its turn", func(t *testing.T) {
			p, cl, end := busy(t, func(r *rules.Rules) { r.Shard.Serialize = true })
			c := asks(t, cl)
			p.r.eventually("the request to wait", func() bool { return p.r.service().ForTurn.Load() == 1 })
			p.owned(t, gone)
			end()
			refused(t, c)
		})
		t.Run("while it waits for room", func(t *testing.T) {
			p, cl, end := busy(t, func(r *rules.Rules) { r.Limits.Requests = 1 })
			c := asks(t, cl)
			p.r.eventually("the request to wait", func() bool { return p.r.waiting() == 1 })
			p.owned(t, gone)
			refused(t, c)
			end()
		})
		for _, f := range []rules.Fallback{rules.FallOver, rules.FallWait, rules.FallStrict} {
			t.Run("between attempts, "+f.String(), func(t *testing.T) {
				p := newPods(t, 3, byTable(func(r *rules.Rules) { r.Shard.Fallback, r.Shard.FallbackWait = f, time.Minute }))
				p.owned(t, here)
				var asked atomic.Int64
				p.does(func(pod int, _ http.ResponseWriter, _ *http.Request) {
					asked.Add(1)
					p.owned(t, gone)
					panic(http.ErrAbortHandler)
				})
				cl := client(p.r)
				if status, text, _ := ask(t, cl, "GET", "/", "", "account: acme"); status != 400 || text != without || asked.Load() != 1 {
					t.Errorf("%d %q from %d pods, want 400 %q", status, text, asked.Load(), without)
				}
				cl.CloseIdleConnections()
			})
		}
		for _, f := range []rules.Fallback{rules.FallOver, rules.FallWait, rules.FallStrict} {
			t.Run("its stream is refused, "+f.String(), func(t *testing.T) {
				p := newPods(t, 3, byTable(func(r *rules.Rules) { r.Shard.Fallback, r.Shard.FallbackWait = f, time.Minute }))
				refuse := make(chan bool)
				p.eps[1] = p.r.eps(refusesMidway(t, 1, refuse))[0]
				p.eps[1].Name = "web-1"
				p.owned(t, here)
				cl := p.r.h2Client()
				c := asks(t, cl)
				p.r.eventually("the request to be under way", func() (on bool) {
					p.r.on(func() { on = p.eps[1].Load[0].InFlight == 1 })
					return on
				})
				p.owned(t, gone)
				refuse <- true
				refused(t, c)
				p.r.counts("requests came, none of which was the client's own retry", 1, p.r.service().Keys[shardkey.Found].Load)
				cl.CloseIdleConnections()
			})
		}
		t.Run("a gRPC call", func(t *testing.T) {
			p := newPods(t, 3, byTable(waiting))
			cl := p.r.h2Client()
			done := make(chan http.Header, 1)
			go func() {
				_, _, h := ask(t, cl, "POST", "/a.B/C", "", "content-type: application/grpc", "te: trailers", "account: acme")
				done <- h
			}()
			p.r.eventually("the request to wait", func() bool { return p.r.service().ForOwner.Load() == 1 })
			p.owned(t, gone)
			if h := got(t, done, "an answer"); h.Get("Grpc-Status") != "3" || !strings.Contains(h.Get("Grpc-Message"), "has no entry for") {
				t.Errorf("%v", h)
			}
			cl.CloseIdleConnections()
		})
	})
}
