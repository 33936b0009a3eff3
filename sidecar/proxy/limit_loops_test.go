package proxy

import (
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/loop"
	"github.com/sluice-mesh/sluice/sidecar/metrics"
	"github.com/sluice-mesh/sluice/sidecar/rules"
)

// All connections of a moment may be on one loop: it may use what no other does, and what it uses no other may.
func TestLimitsHoldForAllLoopsTogether(t *testing.T) {
	a, b := newPair(t)
	o := newOrigin(t)
	a.ruled(func(ru *rules.Rules) { ru.Limits.Requests, ru.Limits.Pending, ru.Limits.Queue = 3, 1, patience }, a.eps(o.addr)...)
	var clients, servers []*peer
	for range 3 {
		c := b.dial()
		c.send(get)
		s := o.accept()
		s.expect(get, "one loop has all of the limit")
		clients, servers = append(clients, c), append(servers, s)
	}
	waits := a.dial()
	waits.send(post)
	a.counts("requests wait", 1, a.waiting)
	refused := b.dial()
	refused.send(get)
	if got := refused.rest(); !strings.Contains(got, "has its most of 3 requests (sluice.mesh/max-requests), and 1 requests wait already (sluice.mesh/max-pending)") {
		t.Errorf("got %q", got)
	}
	b.counts("requests were refused", 1, b.service().Limited[metrics.LimitPending].Load)

	servers[0].send(ok)
	clients[0].expect(ok, "an answer makes room on the other loop")
	s := o.accept()
	s.expect(post, "the request that waited there")
	s.send(ok)
	waits.expect(ok, "its answer")
	for i := range 2 {
		servers[i+1].send(ok)
		clients[i+1].expect(ok, "an answer")
	}
	for _, c := range append(clients, waits) {
		c.close()
	}
}

// What waits takes memory, for whichever Service it does.
func TestNoMoreWaitInAllQueuesThanMayInTheProxy(t *testing.T) {
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2"} {
		t.Run(protocol, func(t *testing.T) {
			shared := NewShared()
			shared.MaxPending = 1
			r := newRig(t, func(o *Options) { o.Shared = shared })
			h, release := hanging(t, named("x"))
			server, c := newH2Server(t, h, func(s *http.Server) { s.Protocols.SetHTTP1(true) }), http.DefaultClient
			r.serve(server.addr)
			if protocol == "HTTP/2" {
				c = r.h2Client()
			} else {
				tr := &http.Transport{}
				defer tr.CloseIdleConnections()
				c = &http.Client{Transport: tr}
			}
			r.with(func(ru *rules.Rules) { ru.Limits.Requests, ru.Limits.Queue = 1, patience })
			var wg sync.WaitGroup
			ask := func(status int, text string) {
				res, err := c.Get("http://" + r.addr.String() + "/")
				if got := body(t, res, err); err == nil && (res.StatusCode != status || !strings.Contains(got, text)) {
					t.Errorf("got %d %q, want %d %q", res.StatusCode, got, status, text)
				}
			}
			wg.Go(func() { ask(200, "x") })
			r.eventually("the first request", func() bool { return r.m.Loop(0).Upstreams.Load() == 1 })
			wg.Go(func() { ask(200, "x") })
			r.counts("requests wait", 1, r.waiting)
			ask(503, "1 requests wait in this proxy already (--max-pending)")
			if n := r.service().Limited[metrics.LimitProxyPending].Load(); n != 1 {
				t.Errorf("%d requests count as refused, want 1", n)
			}
			release()
			wg.Wait()
			if n := shared.pending.Load(); n != 0 {
				t.Errorf("%d requests count as waiting in the end", n)
			}
		})
	}
}

// An opaque connection that ends makes room as a request does.
func TestConnectionsAreLimitedOnAllLoopsTogether(t *testing.T) {
	a, b := newPair(t)
	o := newOrigin(t)
	a.ruled(func(ru *rules.Rules) { ru.Limits.Connections, ru.Limits.Queue = 1, patience }, a.eps(o.addr)...)
	first := a.dial()
	first.send("\x00\x01\x02\x03 neither HTTP nor TLS")
	busy := o.accept()
	busy.expect("\x00\x01\x02\x03 neither HTTP nor TLS", "the first connection")
	waits := b.dial()
	waits.send(get)
	b.counts("requests wait", 1, b.waiting)
	first.close()
	busy.close()
	s := o.accept()
	s.expect(get, "the request that waited for the connection's end")
	s.send(ok)
	waits.expect(ok, "its answer")
	waits.close()
}

// No endpoint ever has more requests than it may, whichever loops they come to, and no request is lost over it.
func TestAtMostSoManyRequestsFromAllLoops(t *testing.T) {
	const limit = 3
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2"} {
		t.Run(protocol, func(t *testing.T) {
			var running, most atomic.Int64
			act := func() {
				n := running.Add(1)
				for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
				}
				time.Sleep(time.Millisecond)
				running.Add(-1)
			}
			a, b := newPair(t)
			two := protocol == "HTTP/2"
			if two {
				a.serve(newH2Server(t, func(w http.ResponseWriter, q *http.Request) { act() }).addr)
			} else {
				a.serve(newFaulty(t, func(_ int64, c *net.TCPConn) bool {
					act()
					_, err := io.WriteString(c, ok)
					return err == nil
				}).addr)
			}
			a.with(func(ru *rules.Rules) { ru.Limits.Requests, ru.Limits.Queue = limit, patience })
			var wg sync.WaitGroup
			for _, r := range []*rig{a, b} {
				wg.Go(func() {
					if !two {
						r.crowd(10, 20, func(k, _ int) string { return []string{get, post}[k%2] }, func(k, i, status int, body string) {
							if status != 200 {
								t.Errorf("request %d of client %d: %d %q", i, k, status, body)
							}
						})
						return
					}
					c := r.h2Client()
					for range 40 {
						wg.Go(func() {
							res, err := c.Get("http://web/")
							if body(t, res, err); err == nil && res.StatusCode != 200 {
								t.Errorf("got %d", res.StatusCode)
							}
						})
					}
				})
			}
			wg.Wait()
			if n := most.Load(); n != limit {
				t.Errorf("at most %d requests ran at once, want %d", n, limit)
			}
		})
	}
}

// The queue calls whoever came first and has not been called, like a list; waiters whose loop has ended are passed over, and no call is
// lost: as long as anybody waits on a loop that runs, one of them is called once there is room.
func TestTheQueueLosesNoCall(t *testing.T) {
	dead, err := loop.New(loop.Options{})
	if err != nil {
		t.Fatal(err)
	}
	go dead.Run()
	dead.Stop()
	<-dead.Done()
	l, err := loop.New(loop.Options{})
	if err != nil {
		t.Fatal(err)
	}
	go l.Run()
	defer func() { l.Stop(); <-l.Done() }()

	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		k := &queue{}
		var line []*waiter
		room := 0 // places that nobody has taken
		for range 200 {
			switch rnd.IntN(4) {
			case 0:
				v := &waiter{l: l}
				if rnd.IntN(4) == 0 {
					v.l = dead
				}
				n, joined := k.join(v, 10)
				if n != len(line) || joined != (n < 10) {
					t.Fatalf("seed %d: joined %v behind %d, want behind %d", seed, joined, n, len(line))
				}
				if joined {
					line = append(line, v)
				}
			case 1:
				room++
				k.free(l)
			case 2: // one gives up
				if len(line) > 0 {
					i := rnd.IntN(len(line))
					k.leave(line[i], false)
					line = slices.Delete(line, i, i+1)
				}
			case 3: // the called one looks
				for i, v := range line {
					if !v.ready {
						continue
					}
					v.ready = false
					turn, called := k.look(v)
					if !turn || !called {
						t.Fatalf("seed %d: one that was called does not have its turn", seed)
					}
					if room > 0 {
						room--
						k.leave(v, true)
						line = slices.Delete(line, i, i+1)
					}
					break
				}
			}
			called, lives := 0, 0
			for _, v := range line {
				if v.l == l {
					lives++
				}
				if v.ready {
					called++
				}
			}
			if int(k.n.Load()) != len(line) || called > 1 {
				t.Fatalf("seed %d: %d counted of %d, %d called", seed, k.n.Load(), len(line), called)
			}
			if first := slices.IndexFunc(line, func(v *waiter) bool { return v.l == l }); lives > 0 && called == 1 && !line[first].ready {
				t.Fatalf("seed %d: not the first is called", seed)
			}
			if room > 0 && lives > 0 && called == 0 {
				// Who joins looks by itself; here it does not, so that only room that came before everybody may lie about.
				if k.free(l); !slices.ContainsFunc(line, func(v *waiter) bool { return v.ready }) {
					t.Fatalf("seed %d: nobody can be called any more", seed)
				}
			}
		}
	}
}
