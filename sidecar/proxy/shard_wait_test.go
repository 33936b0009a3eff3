package proxy

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/metrics"
	"github.com/sluice-mesh/sluice/sidecar/rules"
	"github.com/sluice-mesh/sluice/sidecar/shard"
	"github.com/sluice-mesh/sluice/sidecar/shardkey"
)

func byAccount(f rules.Fallback, wait time.Duration) func(*rules.Rules) {
	return func(r *rules.Rules) {
		r.Shard.Key, r.Shard.Fallback, r.Shard.FallbackWait = "header:account", f, wait
	}
}

// order answers who has a key, and who comes after.
func (p *pods) order(key string) (names []string) {
	for _, o := range p.r.target.Snapshot().Shard.Successors(nil, shardkey.Of([]byte(key)), 10) {
		names = append(names, o.Member.Name)
	}
	return names
}

func number(pod string) (n int) {
	fmt.Sscanf(pod, "web-%d", &n)
	return n
}

func TestFailOver(t *testing.T) {
	protocols(t, func(t *testing.T, client func(r *rig) *http.Client) {
		t.Run("an owner that is not ready", func(t *testing.T) {
			p := newPods(t, 4, byAccount(rules.FallOver, 0))
			cl, key := client(p.r), p.keyOf(2)
			order := p.order(key)
			p.publish(2, number(order[1]))
			if status, pod, _ := ask(t, cl, "POST", "/", "x", "account: "+key); status != 200 || pod != order[2] {
				t.Errorf("%d from %q, want %s", status, pod, order[2])
			}
			p.publish()
			if _, pod, _ := ask(t, cl, "POST", "/", "x", "account: "+key); pod != "web-2" {
				t.Errorf("%q answered once the owner was back", pod)
			}
			cl.CloseIdleConnections()
		})
		t.Run("an owner that cannot be connected to", func(t *testing.T) {
			p := newPods(t, 4, byAccount(rules.FallOver, 0))
			cl, key := client(p.r), p.keyOf(2)
			p.kill(2)
			for range 3 {
				if status, pod, _ := ask(t, cl, "POST", "/", "x", "account: "+key); status != 200 || pod != p.order(key)[1] {
					t.Errorf("%d from %q, want %s", status, pod, p.order(key)[1])
				}
			}
			p.r.counts("connects failed, as the owner is suspect", 1, p.r.m.Loop(0).ConnectFailures.Load)
			cl.CloseIdleConnections()
		})
		t.Run("an owner that answers 503", func(t *testing.T) {
			p := newPods(t, 4, byAccount(rules.FallOver, 0))
			p.does(func(pod int, w http.ResponseWriter, q *http.Request) {
				if pod == 2 {
					w.WriteHeader(503)
				}
			})
			cl, key := client(p.r), p.keyOf(2)
			if status, pod, _ := ask(t, cl, "GET", "/", "", "account: "+key); status != 200 || pod != p.order(key)[1] {
				t.Errorf("%d from %q, want %s", status, pod, p.order(key)[1])
			}
			if status, pod, _ := ask(t, cl, "POST", "/", "x", "account: "+key); status != 503 || pod != "web-2" {
				t.Errorf("%d from %q: a POST goes nowhere else", status, pod)
			}
			cl.CloseIdleConnections()
		})
		t.Run("none can be connected to", func(t *testing.T) {
			p := newPods(t, 2, byAccount(rules.FallOver, 0))
			cl := client(p.r)
			p.kill(0)
			p.kill(1)
			if status, text, _ := ask(t, cl, "GET", "/", "", "account: 1"); status != 503 || !strings.Contains(text, "no endpoint of default/web:80 can be reached") {
				t.Errorf("%d %q", status, text)
			}
			cl.CloseIdleConnections()
		})
	})
}

func TestStrict(t *testing.T) {
	protocols(t, func(t *testing.T, client func(r *rig) *http.Client) {
		p := newPods(t, 4, byAccount(rules.FallStrict, 0))
		cl, key := client(p.r), p.keyOf(2)
		p.publish(2)
		refused := func(want string) {
			t.Helper()
			status, text, _ := ask(t, cl, "GET", "/", "", "account: "+key)
			if status != 503 || !strings.Contains(text, want) || !strings.Contains(text, "sluice.mesh/shard-fallback: strict") {
				t.Errorf("%d %q, want 503 %q", status, text, want)
			}
		}
		refused("pod web-2 of default/web:80 owns the key of this request and is not ready")
		if status, pod, _ := ask(t, cl, "GET", "/", "", "account: "+p.keyOf(1)); status != 200 || pod != "web-1" {
			t.Errorf("%d from %q for another key", status, pod)
		}
		p.publish()
		p.kill(2)
		refused("pod web-2 of default/web:80 owns the key of this request and cannot be reached at " + p.eps[2].Addr.String())
		p.start(t, 2)
		p.does(func(pod int, w http.ResponseWriter, q *http.Request) { w.WriteHeader(503) })
		if status, pod, _ := ask(t, cl, "GET", "/", "", "account: "+key); status != 503 || pod != "web-2" {
			t.Errorf("%d %q, want the owner's own answer", status, pod)
		}
		p.r.counts("requests refused", 2, p.r.service().Decisions[metrics.OwnerAway].Load)
		cl.CloseIdleConnections()
	})
}

func TestWaitForTheOwner(t *testing.T) {
	protocols(t, func(t *testing.T, client func(r *rig) *http.Client) {
		waits := func(p *pods, n int64) {
			t.Helper()
			p.r.eventually("requests to wait", func() bool { return p.r.service().ForOwner.Load() == n })
		}
		t.Run("it comes back", func(t *testing.T) {
			p := newPods(t, 4, byAccount(rules.FallWait, time.Hour)) // what is published wakes them, and not the end of their wait
			cl, key := client(p.r), p.keyOf(2)
			p.publish(2)
			var all sync.WaitGroup
			for range 5 {
				all.Go(func() {
					if status, pod, _ := ask(t, cl, "POST", "/", "x", "account: "+key); status != 200 || pod != "web-2" {
						t.Errorf("%d from %q", status, pod)
					}
				})
			}
			waits(p, 5)
			if _, pod, _ := ask(t, cl, "POST", "/", "x", "account: "+p.keyOf(1)); pod != "web-1" {
				t.Errorf("%q answered another key", pod)
			}
			p.publish()
			all.Wait()
			p.r.counts("requests waited", 5, p.r.service().Decisions[metrics.OwnerWaited].Load)
			cl.CloseIdleConnections()
		})
		t.Run("it does not", func(t *testing.T) {
			p := newPods(t, 4, byAccount(rules.FallWait, 30*time.Millisecond))
			cl := client(p.r)
			key := p.keyOf(2)
			p.publish(2)
			status, text, _ := ask(t, cl, "GET", "/", "", "account: "+key)
			if status != 503 || !strings.Contains(text, "pod web-2 of default/web:80 owns the key of this request and is not ready; the request has waited ") ||
				!strings.Contains(text, "(sluice.mesh/shard-fallback: wait=30ms)") {
				t.Errorf("%d %q", status, text)
			}
			cl.CloseIdleConnections()
		})
		t.Run("the request's time is over before", func(t *testing.T) {
			p := newPods(t, 4, func(r *rules.Rules) { byAccount(rules.FallWait, patience)(r); r.Timeout = 30 * time.Millisecond })
			cl := client(p.r)
			key := p.keyOf(2)
			p.publish(2)
			status, text, _ := ask(t, cl, "GET", "/", "", "account: "+key)
			if status != 504 || !strings.Contains(text, "is not ready; the request's time is over, which is 30ms, its sluice.mesh/timeout") {
				t.Errorf("%d %q", status, text)
			}
			p.r.counts("timeouts of requests", 1, p.r.service().Timeouts[1].Load)
			cl.CloseIdleConnections()
		})
		t.Run("nobody is known to be it", func(t *testing.T) {
			p := newPods(t, 4, byAccount(rules.FallWait, 30*time.Millisecond))
			cl := client(p.r)
			s := *p.r.target.Snapshot()
			spec, _ := shard.ParseSpec("ordinal")
			s.Shard = shard.New(spec, shard.Input{Set: s.Set})
			p.r.target.Publish(&s)
			status, text, _ := ask(t, cl, "GET", "/", "", "account: 1")
			if status != 503 || !strings.Contains(text, "nobody is known to own the key of this request to default/web:80: statefulset-unknown") {
				t.Errorf("%d %q", status, text)
			}
			cl.CloseIdleConnections()
		})
		t.Run("it cannot be connected to for a while", func(t *testing.T) {
			p := newPods(t, 4, byAccount(rules.FallWait, patience))
			cl, key := client(p.r), p.keyOf(2)
			p.kill(2)
			done := make(chan string, 1)
			go func() {
				_, pod, _ := ask(t, cl, "POST", "/", "x", "account: "+key)
				done <- pod
			}()
			p.r.eventually("a second connect to fail", func() bool { return p.r.m.Loop(0).ConnectFailures.Load() >= 2 })
			p.start(t, 2)
			if pod := got(t, done, "an answer"); pod != "web-2" {
				t.Errorf("%q answered", pod)
			}
			cl.CloseIdleConnections()
		})
		t.Run("a cut request waits as well where it may be sent again", func(t *testing.T) {
			p := newPods(t, 4, byAccount(rules.FallWait, patience))
			cl, key := client(p.r), p.keyOf(2)
			var asked atomic.Int64
			p.does(func(pod int, w http.ResponseWriter, q *http.Request) {
				if pod != 2 {
					t.Errorf("web-%d was asked", pod)
				}
				if asked.Add(1) == 1 {
					panic(http.ErrAbortHandler)
				}
			})
			if status, pod, _ := ask(t, cl, "GET", "/", "", "account: "+key); status != 200 || pod != "web-2" {
				t.Errorf("%d from %q", status, pod)
			}
			cl.CloseIdleConnections()
		})
		t.Run("too many wait", func(t *testing.T) {
			p := newPods(t, 4, func(r *rules.Rules) { byAccount(rules.FallWait, patience)(r); r.Limits.Pending = 1 })
			cl, key := client(p.r), p.keyOf(2)
			p.publish(2)
			var all sync.WaitGroup
			all.Go(func() { ask(t, cl, "GET", "/", "", "account: "+key) })
			waits(p, 1)
			if status, text, _ := ask(t, cl, "GET", "/", "", "account: "+key); status != 503 || !strings.Contains(text, "1 requests wait for owners already (sluice.mesh/max-pending)") {
				t.Errorf("%d %q", status, text)
			}
			p.publish()
			all.Wait()
			cl.CloseIdleConnections()
		})
		t.Run("the client leaves", func(t *testing.T) {
			p := newPods(t, 4, byAccount(rules.FallWait, patience))
			cl, key := client(p.r), p.keyOf(2)
			p.publish(2)
			raw := p.r.dial() // a reset ends a wait; FIN alone does not, as its sender may yet want the answer
			raw.send(lines("GET / HTTP/1.1", "Host: web", "Account: "+key))
			waits(p, 1)
			raw.reset()
			waits(p, 0)
			cl.Timeout = 50 * time.Millisecond
			q, _ := http.NewRequest("GET", "http://web/", nil)
			q.Header.Set("account", key)
			if strings.Contains(t.Name(), "HTTP/2") {
				if res, err := cl.Do(q); err == nil {
					t.Errorf("got %d", res.StatusCode)
				}
			}
			waits(p, 0)
			cl.CloseIdleConnections()
		})
		t.Run("an answer of the owner is the answer", func(t *testing.T) {
			p := newPods(t, 4, byAccount(rules.FallWait, patience))
			cl, key := client(p.r), p.keyOf(2)
			p.does(func(pod int, w http.ResponseWriter, q *http.Request) { w.WriteHeader(503) })
			if status, pod, _ := ask(t, cl, "GET", "/", "", "account: "+key); status != 503 || pod != "web-2" {
				t.Errorf("%d from %q", status, pod)
			}
			cl.CloseIdleConnections()
		})
		t.Run("the owner has its most requests", func(t *testing.T) {
			p := newPods(t, 4, func(r *rules.Rules) {
				byAccount(rules.FallWait, patience)(r)
				r.Limits.Requests, r.Limits.Queue = 1, patience
			})
			cl, key := client(p.r), p.keyOf(2)
			var running, most atomic.Int64
			p.does(func(pod int, w http.ResponseWriter, q *http.Request) {
				most.Store(max(most.Load(), running.Add(1)))
				time.Sleep(time.Millisecond)
				running.Add(-1)
			})
			var all sync.WaitGroup
			for range 8 {
				all.Go(func() {
					if status, pod, _ := ask(t, cl, "POST", "/", "x", "account: "+key); status != 200 || pod != "web-2" {
						t.Errorf("%d from %q", status, pod)
					}
				})
			}
			all.Wait()
			if most.Load() != 1 {
				t.Errorf("%d requests at a time", most.Load())
			}
			cl.CloseIdleConnections()
		})
	})
}

// What an owner answers, however bad, moves its keys under failover only.
func TestEjectionMovesKeysUnderFailoverOnly(t *testing.T) {
	for f, moves := range map[rules.Fallback]bool{rules.FallOver: true, rules.FallWait: false, rules.FallStrict: false} {
		t.Run(f.String(), func(t *testing.T) {
			protocols(t, func(t *testing.T, client func(r *rig) *http.Client) {
				p := newPods(t, 4, func(r *rules.Rules) {
					byAccount(f, patience)(r)
					r.Ejection = rules.Ejection{On: true, Errors: 3, First: time.Minute, Most: time.Minute}
				})
				p.does(func(pod int, w http.ResponseWriter, q *http.Request) {
					if pod == 2 {
						w.WriteHeader(500)
					}
				})
				cl, key := client(p.r), p.keyOf(2)
				order := p.order(key)
				for range 3 {
					if status, pod, _ := ask(t, cl, "POST", "/", "x", "account: "+key); status != 500 || pod != "web-2" {
						t.Errorf("%d from %q", status, pod)
					}
				}
				p.r.counts("endpoints ejected", 1, p.r.service().Ejections.Load)
				want := "web-2"
				if moves {
					want = order[1]
				}
				if _, pod, _ := ask(t, cl, "POST", "/", "x", "account: "+key); pod != want {
					t.Errorf("%q answered, want %s", pod, want)
				}
				cl.CloseIdleConnections()
			})
		})
	}
}

func TestBoundedLoad(t *testing.T) {
	protocols(t, func(t *testing.T, client func(r *rig) *http.Client) {
		p := newPods(t, 3, func(r *rules.Rules) { byAccount(rules.FallOver, 0)(r); r.Shard.BoundedLoad = 1.25 })
		cl, key := client(p.r), p.keyOf(2)
		hold := make(chan bool)
		p.does(func(pod int, w http.ResponseWriter, q *http.Request) { <-hold })
		var all sync.WaitGroup
		var mu sync.Mutex
		got := map[string]int{}
		for n := range 9 {
			all.Go(func() {
				_, pod, _ := ask(t, cl, "POST", "/", "x", "account: "+key)
				mu.Lock()
				defer mu.Unlock()
				got[pod]++
			})
			p.r.eventually("a request to be under way", func() (on bool) {
				p.r.on(func() {
					running := int64(0)
					for _, ep := range p.eps {
						running += ep.Load[0].InFlight
					}
					on = running == int64(n+1)
				})
				return on
			})
		}
		close(hold)
		all.Wait()
		for pod, n := range got {
			if n > 4 { // 1.25 × 9/3, rounded up
				t.Errorf("%s had %d of 9 requests of one key at a time", pod, n)
			}
		}
		if n := p.r.service().Decisions[metrics.PastBusy].Load(); n < 5 {
			t.Errorf("%d requests went past the owner", n)
		}
		cl.CloseIdleConnections()
	})
}
