package proxy

import (
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/metrics"
	"github.com/sluice-mesh/sluice/sidecar/rules"
)

// peers are the connections on which requests have come. (A connection that was made ahead of a client's first bytes is not among them.)
type peers struct {
	mu  sync.Mutex
	all map[string]bool
}

func (p *peers) seen(q *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.all == nil {
		p.all = map[string]bool{}
	}
	p.all[q.RemoteAddr] = true
}

func (p *peers) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.all)
}

// twoAtATime is a server that allows two streams a connection and holds them until release, and a client of a rig with it whose first request is
// answered: it is known what the endpoint allows.
func twoAtATime(t *testing.T, change func(*rules.Rules), more ...*h2Server) (r *rig, conns *peers, c *http.Client, came chan string, release func()) {
	t.Helper()
	came, conns = make(chan string, 100), &peers{}
	hold, release := hanging(t, named("held"))
	s := newH2Server(t, func(w http.ResponseWriter, q *http.Request) {
		conns.seen(q)
		if q.URL.Path == "/first" {
			named("first")(w, q)
			return
		}
		came <- q.URL.Path
		hold(w, q)
	}, func(s *http.Server) { s.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: 2} })
	r = newRig(t)
	addrs := []netip.AddrPort{s.addr}
	for _, m := range more {
		addrs = append(addrs, m.addr)
	}
	r.inOrder(addrs...)
	r.with(change)
	c = r.h2Client()
	res, err := c.Get("http://web/first")
	if got := body(t, res, err); got != "first" {
		t.Fatalf("got %q", got)
	}
	return r, conns, c, came, release
}

// With as many connections as there may be, streams wait for room on them, in the queue that there is for every limit.
func TestStreamsWaitForRoomOnTheConnectionsThereMayBe(t *testing.T) {
	for _, most := range []int{1, 2} {
		r, conns, c, came, release := twoAtATime(t, func(r *rules.Rules) { r.Limits.Connections, r.Limits.Queue = most, patience })
		var all sync.WaitGroup
		for range 7 {
			all.Go(func() {
				res, err := c.Get("http://web/")
				if got := body(t, res, err); got != "held" {
					t.Errorf("got %q", got)
				}
			})
		}
		for range 2 * most {
			<-came
		}
		r.counts("requests wait", 7-2*most, r.waiting)
		if n := conns.count(); n != most {
			t.Errorf("%d connections, want %d", n, most)
		}
		release()
		all.Wait()
		if n := conns.count(); n != most {
			t.Errorf("%d connections in the end, want %d", n, most)
		}
	}
}

// One that has waited for too long is told which limit it met.
func TestAStreamIsToldOfTheConnectionsThereMayBe(t *testing.T) {
	r, conns, c, came, release := twoAtATime(t, func(r *rules.Rules) {
		r.Limits.Connections, r.Limits.Requests, r.Limits.Queue = 1, 50, 20*time.Millisecond
	})
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() {
			res, err := c.Get("http://web/")
			body(t, res, err)
		})
		<-came
	}
	res, err := c.Get("http://web/")
	if got := body(t, res, err); res.StatusCode != 503 || !strings.Contains(got, "1 connections (sluice.mesh/max-connections)") {
		t.Errorf("got %d %q", res.StatusCode, got)
	}
	r.counts("waited for too long", 1, r.service().Limited[metrics.LimitQueue].Load)
	if n := conns.count(); n != 1 {
		t.Errorf("%d connections", n)
	}
	release()
	all.Wait()
}

// Another endpoint that has room is better than to wait.
func TestStreamsGoElsewhereWhereThereMayBeNoFurtherConnection(t *testing.T) {
	_, conns, c, came, release := twoAtATime(t, func(r *rules.Rules) { r.Limits.Connections, r.Limits.Queue = 1, patience }, newH2Server(t, named("there")))
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() {
			res, err := c.Get("http://web/")
			body(t, res, err)
		})
		<-came
	}
	for range 3 {
		res, err := c.Get("http://web/")
		if got := body(t, res, err); got != "there" {
			t.Errorf("got %q", got)
		}
	}
	if n := conns.count(); n != 1 {
		t.Errorf("%d connections", n)
	}
	release()
	all.Wait()
}

// Where the endpoint says only later how little it takes, the others wait on what there is, and no further connection is made.
func TestStreamsSentTooEarlyWaitOnTheConnectionsThereMayBe(t *testing.T) {
	var conns peers
	s := newH2Server(t, func(w http.ResponseWriter, q *http.Request) { conns.seen(q); time.Sleep(time.Millisecond) },
		func(s *http.Server) { s.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: 2} })
	r := newRig(t)
	r.serve(s.addr)
	r.with(func(r *rules.Rules) { r.Limits.Connections, r.Limits.Pending, r.Limits.Queue = 1, 1000, patience })
	c := r.h2Client()
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			res, err := c.Get("http://web/")
			if body(t, res, err); err == nil && res.StatusCode != 200 {
				t.Errorf("got %d", res.StatusCode)
			}
		})
	}
	all.Wait()
	if n := conns.count(); n != 1 {
		t.Errorf("%d connections", n)
	}
}
