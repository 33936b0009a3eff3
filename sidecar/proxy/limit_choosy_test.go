package proxy

import (
	"io"
	"net/http"
	"slices"
	"testing"

	"github.com/sluice-mesh/sluice/sidecar/cluster"
	"github.com/sluice-mesh/sluice/sidecar/rules"
)

// A further attempt that waits for the one endpoint it has not been to keeps nobody from the others.
func TestNobodyWaitsBehindAFurtherAttemptWhereThereIsRoom(t *testing.T) {
	protocols(t, func(t *testing.T, client func(r *rig) *http.Client) {
		r := newRig(t)
		r.target.HTTP2.Store(true)
		a := newH2Server(t, func(w http.ResponseWriter, q *http.Request) {
			if q.URL.Path == "/again" {
				w.WriteHeader(503)
			}
			io.WriteString(w, "a")
		}, either)
		b := newH2Server(t, named("b"), either)
		r.inOrder(a.addr, b.addr)
		r.with(func(ru *rules.Rules) { ru.Limits.Requests, ru.Limits.Pending, ru.Limits.Queue = 1, 1, patience })
		places := &r.eps(b.addr)[0].Places
		places.Take(1)
		c, again := client(r), make(chan bool)
		go func() {
			defer close(again)
			if status, text, _ := ask(t, c, "GET", "/again", ""); status != 200 || text != "b" {
				t.Errorf("the further attempt got %d %q", status, text)
			}
		}()
		r.eventually("the request to wait", func() bool { return r.waiting() == 1 })
		for range 3 {
			if status, text, _ := ask(t, c, "GET", "/", ""); status != 200 || text != "a" {
				t.Errorf("another request got %d %q", status, text)
			}
		}
		places.Give()
		got(t, again, "the further attempt's answer")
		c.CloseIdleConnections()
	})
}

// Nor does a request that waits for the owner of its key.
func TestNobodyWaitsBehindAnOwnedRequestWhereThereIsRoom(t *testing.T) {
	protocols(t, func(t *testing.T, client func(r *rig) *http.Client) {
		p := newPods(t, 2, func(ru *rules.Rules) {
			ru.Shard.Key = "header:account"
			ru.Limits.Requests, ru.Limits.Pending, ru.Limits.Queue = 1, 1, patience
		})
		p.r.target.HTTP2.Store(true)
		c := client(p.r)
		_, owner, _ := ask(t, c, "GET", "/", "", "account: a")
		places := &p.eps[slices.IndexFunc(p.eps, func(ep *cluster.Endpoint) bool { return ep.Name == owner })].Places
		p.r.eventually("the owner's place to be free", func() bool { return places.Take(1) })
		owned := make(chan bool)
		go func() {
			defer close(owned)
			if status, text, _ := ask(t, c, "GET", "/", "", "account: a"); status != 200 || text != owner {
				t.Errorf("the owned request got %d %q", status, text)
			}
		}()
		p.r.eventually("the request to wait", func() bool { return p.r.waiting() == 1 })
		for range 3 {
			if status, text, _ := ask(t, c, "GET", "/", ""); status != 200 || text == owner {
				t.Errorf("another request got %d %q", status, text)
			}
		}
		places.Give()
		got(t, owned, "the owned request's answer")
		c.CloseIdleConnections()
	})
}

// Who may go anywhere, and waits behind nobody who may, looks once though others wait before: nobody calls it for room that came just before it
// joined.
func TestTheFirstWhoMayGoAnywhereLooksOnce(t *testing.T) {
	k := &queue{}
	choosy, first, second := &waiter{choosy: true}, &waiter{}, &waiter{}
	for _, v := range []*waiter{choosy, first, second} {
		k.join(v, 3)
	}
	for _, c := range []struct {
		who  string
		v    *waiter
		turn bool
	}{{"the first in line", choosy, true}, {"the first who may go anywhere", first, true}, {"the same, again", first, false}, {"the next", second, false}} {
		if turn, _ := k.look(c.v); turn != c.turn {
			t.Errorf("%s: turn %v", c.who, turn)
		}
	}
	for _, want := range []int64{2, 1, 0} {
		if n := k.open.Load(); n != want {
			t.Errorf("%d wait who may go anywhere, want %d", n, want)
		}
		k.leave(map[int64]*waiter{2: first, 1: second, 0: choosy}[want], false)
	}
}
