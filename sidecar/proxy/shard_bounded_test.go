package proxy

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/cluster"
	"github.com/sluice-mesh/sluice/sidecar/metrics"
	"github.com/sluice-mesh/sluice/sidecar/rules"
	"github.com/sluice-mesh/sluice/sidecar/shard"
)

func bounded(r *rules.Rules) {
	byAccount(rules.FallOver, 0)(r)
	r.Shard.BoundedLoad, r.Explain = 1.25, rules.ExplainOn
}

// busy makes a pod look as if it had n attempts under way, until the test ends.
func (p *pods) busy(t *testing.T, pod int, n int64) {
	p.r.on(func() { p.eps[pod].Load[0].InFlight += n })
	t.Cleanup(func() { p.r.on(func() { p.eps[pod].Load[0].InFlight -= n }) })
}

// A pod that fails has nothing under way, and is no better place for a key than an owner who has much to do.
func TestBoundedLoadHeedsHealth(t *testing.T) {
	protocols(t, func(t *testing.T, client func(r *rig) *http.Client) {
		explained := func(t *testing.T, h http.Header, want string) {
			t.Helper()
			if got := h.Get(explainField); !strings.HasSuffix(got, want) {
				t.Errorf("explained: %q, want %q at its end", got, want)
			}
		}
		t.Run("the other is ejected", func(t *testing.T) {
			p := newPods(t, 2, bounded)
			cl, key := client(p.r), p.keyOf(0)
			p.busy(t, 0, 3)
			p.r.on(func() { p.eps[1].Load[0].SuspectUntil = p.r.l.Now() + int64(time.Hour) })
			for _, method := range []string{"GET", "POST"} {
				status, pod, h := ask(t, cl, method, "/", "", "account: "+key)
				if status != 200 || pod != "web-0" {
					t.Errorf("%s: %d from %q, want the owner", method, status, pod)
				}
				explained(t, h, "; owner=web-0; to=owner")
			}
			p.r.counts("requests to the owner", 2, p.r.service().Decisions[metrics.ToOwner].Load)
			cl.CloseIdleConnections()
		})
		t.Run("its share is that of those in good health", func(t *testing.T) {
			p := newPods(t, 3, bounded)
			cl, key := client(p.r), p.keyOf(0)
			order := p.order(key)
			p.busy(t, 0, 2) // of 1.25 × 3/2, rounded up; of three it were but 1.25 × 3/3
			p.r.on(func() { p.eps[number(order[1])].Load[0].SuspectUntil = p.r.l.Now() + int64(time.Hour) })
			_, pod, h := ask(t, cl, "POST", "/", "x", "account: "+key)
			if pod != order[2] {
				t.Errorf("%q answered, want %s: 2 are not fewer than 2", pod, order[2])
			}
			explained(t, h, "; owner=web-0; to=bounded-load; reason=owner has more than its share")
			p.busy(t, number(order[2]), 1)
			if _, pod, _ = ask(t, cl, "POST", "/", "x", "account: "+key); pod != "web-0" {
				t.Errorf("%q answered, want the owner: 2 are fewer than 1.25 × 4/2, rounded up", pod)
			}
			cl.CloseIdleConnections()
		})
		t.Run("the other answers 503", func(t *testing.T) {
			p := newPods(t, 2, bounded)
			cl, key := client(p.r), p.keyOf(0)
			p.busy(t, 0, 10)
			p.does(func(pod int, w http.ResponseWriter, q *http.Request) {
				if pod == 1 {
					w.WriteHeader(503)
				}
			})
			status, pod, h := ask(t, cl, "GET", "/", "", "account: "+key)
			if status != 200 || pod != "web-0" {
				t.Errorf("%d from %q, want the owner", status, pod)
			}
			explained(t, h, "; owner=web-0; to=owner")
			cl.CloseIdleConnections()
		})
		t.Run("an owner that is not ready has no share", func(t *testing.T) {
			p := newPods(t, 3, bounded)
			cl, key := client(p.r), p.keyOf(0)
			p.publish(0)
			_, pod, h := ask(t, cl, "GET", "/", "", "account: "+key)
			if want := p.order(key)[1]; pod != want {
				t.Errorf("%q answered, want %s", pod, want)
			}
			explained(t, h, "; owner=web-0; to=failover; reason=owner is not ready")
			p.r.counts("requests past a busy owner", 0, p.r.service().Decisions[metrics.PastBusy].Load)
			cl.CloseIdleConnections()
		})
	})
}

// The map of many pods hears of each request once, whether it comes upon a pod with nothing to do or upon one that is busy: its count is as old as
// ten picks of 160 pods, and each is taken for an attempt.
func TestTheBoundHearsOfEachRequestOnce(t *testing.T) {
	ru, set := rules.Default(), &cluster.EndpointSet{}
	bounded(ru)
	ru.Shard.BoundedLoad = 2
	for i := range 160 {
		ep := cluster.NewEndpoint(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), 80), 1)
		if i < 76 {
			ep.Load[0].InFlight = 1
		}
		set.Endpoints = append(set.Endpoints, ep)
	}
	m := shard.New(ru.Shard.Spec(), shard.Input{Set: set})
	busy, idle := &set.Endpoints[0].Load[0], &set.Endpoints[159].Load[0]
	request := func(most int64, past ...*cluster.Load) {
		t.Helper()
		b := loadBound{of: m, on: true}
		for _, load := range past {
			b.met(load)
		}
		if b.most != most {
			t.Fatalf("at most %d, want %d", b.most, most)
		}
	}
	request(1, busy)       // 77 of 160
	request(0, idle)       // 78
	request(1, busy, idle) // 79
	request(1, busy)       // 80
	request(2, busy)       // 81
}
