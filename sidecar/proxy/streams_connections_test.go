package proxy

import (
	"context"
	"net"
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

// inRooms answers how many requests wait for room on the connections that the loop may have.
func (r *rig) inRooms() (n uint64) {
	r.on(func() {
		if s := r.w.services.by[r.target.Name]; s != nil {
			n = uint64(s.rooms.n.Load())
		}
	})
	return n
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
		r.counts("requests wait", 7-2*most, r.inRooms)
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

// What one loop's connections have no room for is no reason for another loop's streams to wait, nor for requests over HTTP/1.1, whose connections are counted
// by themselves.
func TestStreamsWaitForRoomOnlyWhereThereIsNone(t *testing.T) {
	hold, release := hanging(t, named("held"))
	came := make(chan bool, 100)
	s := newH2Server(t, func(w http.ResponseWriter, q *http.Request) {
		if q.URL.Path != "/hold" {
			named("now")(w, q)
			return
		}
		came <- true
		hold(w, q)
	}, func(s *http.Server) {
		s.Protocols.SetHTTP1(true)
		s.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: 2}
	})
	a, b := newPair(t)
	a.ruled(func(r *rules.Rules) { r.Limits.Connections, r.Limits.Queue, r.Limits.Pending = 2, patience, 3 }, a.eps(s.addr)...)
	full, other, plain := a.h2Client(), b.h2Client(), &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", a.addr.String())
	}}, Timeout: patience}
	defer plain.CloseIdleConnections()
	var all sync.WaitGroup
	for range 5 {
		all.Go(func() {
			res, err := full.Get("http://web/hold")
			if got := body(t, res, err); got != "held" {
				t.Errorf("got %q", got)
			}
		})
	}
	<-came
	<-came
	a.counts("requests wait", 3, a.inRooms)
	for range 3 {
		began := time.Now()
		res, err := other.Get("http://web/")
		if got := body(t, res, err); got != "now" {
			t.Errorf("on the other loop: got %q", got)
		}
		res, err = plain.Get("http://web/")
		if got := body(t, res, err); got != "now" {
			t.Errorf("over HTTP/1.1: got %q", got)
		}
		if took := time.Since(began); took > patience/2 {
			t.Errorf("both took %v", took)
		}
	}
	res, err := full.Get("http://web/")
	if got := body(t, res, err); res.StatusCode != 503 || !strings.Contains(got, "3 requests wait already") {
		t.Errorf("got %d %q", res.StatusCode, got)
	}
	release()
	all.Wait()
}

// With a limit of requests besides, each holds.
func TestStreamsHeedBothLimits(t *testing.T) {
	r, conns, c, came, release := twoAtATime(t, func(r *rules.Rules) {
		r.Limits.Connections, r.Limits.Requests, r.Limits.Queue = 2, 3, patience
	})
	var all sync.WaitGroup
	for range 5 {
		all.Go(func() {
			res, err := c.Get("http://web/")
			if got := body(t, res, err); got != "held" {
				t.Errorf("got %q", got)
			}
		})
	}
	for range 3 {
		<-came
	}
	r.counts("requests wait", 2, r.waiting) // in the line of all
	if n := conns.count(); n != 2 {
		t.Errorf("%d connections", n)
	}
	release()
	all.Wait()
}
