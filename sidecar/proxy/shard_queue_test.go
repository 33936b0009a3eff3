package proxy

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/rules"
)

// An owner that has its most requests is waited for as any endpoint is. When it goes away meanwhile, that is another matter.
func TestAnOwnerGoesAwayWhileItIsFull(t *testing.T) {
	protocols(t, func(t *testing.T, client func(r *rig) *http.Client) {
		type answer struct {
			status int
			text   string
		}
		// waiting answers pods of which the owner, web-2, has its one request, and another request that waits behind that.
		waiting := func(t *testing.T, f rules.Fallback, queue time.Duration) (p *pods, free chan bool, second chan answer) {
			p = newPods(t, 4, func(r *rules.Rules) { byAccount(f, patience)(r); r.Limits.Requests, r.Limits.Queue = 1, queue })
			cl := client(p.r)
			free, second = make(chan bool), make(chan answer, 1)
			key, begun := p.keyOf(2), make(chan bool, 2)
			p.does(func(pod int, w http.ResponseWriter, q *http.Request) {
				begun <- true
				<-free
			})
			first := make(chan bool)
			go func() {
				defer close(first)
				ask(t, cl, "POST", "/", "x", "account: "+key)
			}()
			t.Cleanup(func() { got(t, first, "the first answer"); cl.CloseIdleConnections() })
			got(t, begun, "the first request")
			go func() {
				status, text, _ := ask(t, cl, "POST", "/", "x", "account: "+key)
				second <- answer{status, text}
			}()
			p.r.eventually("the second to wait", func() bool { return p.r.waiting() == 1 })
			return p, free, second
		}
		t.Run("wait", func(t *testing.T) {
			p, free, second := waiting(t, rules.FallWait, 500*time.Millisecond)
			p.publish(2)
			p.r.eventually("it to wait for the owner instead", func() bool { return p.r.service().ForOwner.Load() == 1 && p.r.waiting() == 0 })
			time.Sleep(600 * time.Millisecond) // longer than it may wait for room
			p.publish()
			close(free)
			if a := got(t, second, "an answer"); a.status != 200 || a.text != "web-2" {
				t.Errorf("%+v", a)
			}
		})
		t.Run("strict", func(t *testing.T) {
			p, free, second := waiting(t, rules.FallStrict, patience)
			p.publish(2)
			const want = "pod web-2 of default/web:80 owns the key of this request and is not ready; sluice.mesh/shard-fallback: strict"
			began := time.Now()
			if a := got(t, second, "an answer"); a.status != 503 || !strings.Contains(a.text, want) || time.Since(began) > patience/2 {
				t.Errorf("%+v after %v, want %q at once", a, time.Since(began), want)
			}
			close(free)
		})
		t.Run("failover", func(t *testing.T) {
			p, free, second := waiting(t, rules.FallOver, patience)
			next := p.order(p.keyOf(2))[1]
			p.publish(2)
			p.r.eventually("it to go on", func() bool { return p.r.waiting() == 0 })
			close(free)
			if a := got(t, second, "an answer"); a.status != 200 || a.text != next {
				t.Errorf("%+v, want %s", a, next)
			}
		})
	})
}

// full takes a pod's one place (Limits.Requests), until the test ends.
func (p *pods) full(t *testing.T, pod int) {
	t.Helper()
	if !p.eps[pod].Places.Take(1) {
		t.Fatalf("web-%d has no place", pod)
	}
	t.Cleanup(p.eps[pod].Places.Give)
}

// Under failover a pod in good health is waited for where it has its most requests, and one in ill health is passed over whatever it has.
func TestAFullPodThatFailsIsPassedOver(t *testing.T) {
	protocols(t, func(t *testing.T, client func(r *rig) *http.Client) {
		for _, c := range []struct {
			name    string
			down    []int // places in the key's order, as below
			full    []int
			suspect []int
			want    int // -1 is to wait
		}{
			{"the owner", nil, []int{0}, []int{0}, 1},
			{"the next one", []int{0}, []int{1}, []int{1}, 2},
			{"both", nil, []int{0, 1}, []int{0, 1}, 2},
			{"a full owner in good health", nil, []int{0}, nil, -1},
			{"a full one in good health behind an owner that fails", nil, []int{0, 1}, []int{0}, -1},
			{"a full owner that fails, and so does everybody", nil, []int{0}, []int{0, 1, 2, 3}, -1},
		} {
			t.Run(c.name, func(t *testing.T) {
				p := newPods(t, 4, func(r *rules.Rules) {
					byAccount(rules.FallOver, 0)(r)
					r.Limits.Requests, r.Limits.Queue = 1, 20*time.Millisecond
				})
				cl, key := client(p.r), p.keyOf(2)
				order := p.order(key)
				var down []int
				for _, at := range c.down {
					down = append(down, number(order[at]))
				}
				p.publish(down...)
				for _, at := range c.full {
					p.full(t, number(order[at]))
				}
				p.r.on(func() {
					for _, at := range c.suspect {
						p.eps[number(order[at])].Load[0].SuspectUntil = p.r.l.Now() + int64(time.Hour)
					}
				})
				status, text, _ := ask(t, cl, "POST", "/", "x", "account: "+key)
				if c.want < 0 && (status != 503 || !strings.Contains(text, "this one has waited 20ms (sluice.mesh/queue-timeout)")) {
					t.Errorf("%d %q, want a wait in vain", status, text)
				}
				if c.want >= 0 && (status != 200 || text != order[c.want]) {
					t.Errorf("%d %q, want %s", status, text, order[c.want])
				}
				cl.CloseIdleConnections()
			})
		}
	})
}
