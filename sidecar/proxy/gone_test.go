package proxy

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/cluster"
	"github.com/sluice-mesh/sluice/sidecar/discovery"
	"github.com/sluice-mesh/sluice/sidecar/rules"
)

// goes removes the Service, and has another request on the client's connection find out. Its own way leads to the original destination,
// where nobody is.
func (p *pods) goes(t *testing.T, cl *http.Client) {
	t.Helper()
	p.r.resolver.set(p.r.dst, nil)
	p.r.target.Remove()
	ask(t, cl, "GET", "/", "")
}

// slowly makes a POST whose body comes in two parts, and answers what sends the second one and waits for the answer.
func slowly(t *testing.T, cl *http.Client, first, second string, fields ...string) func() int {
	t.Helper()
	body, w := io.Pipe()
	q, err := http.NewRequest("POST", "http://web/", body)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		q.Header.Add(name, value)
	}
	status := make(chan int, 1)
	go func() {
		res, err := cl.Do(q)
		if err != nil {
			t.Error(err)
			status <- 0
			return
		}
		io.Copy(io.Discard, res.Body)
		res.Body.Close()
		status <- res.StatusCode
	}()
	io.WriteString(w, first)
	return func() int {
		t.Helper()
		io.WriteString(w, second)
		w.Close()
		return got(t, status, "the answer")
	}
}

// The requests of an HTTP/2 connection have one route. What one of them learns meets others while they wait.
func TestAServiceGoesWhileItsRequestsWait(t *testing.T) {
	t.Run("for the owner", func(t *testing.T) {
		p := newPods(t, 2, func(r *rules.Rules) {
			r.Shard.Key, r.Shard.Fallback, r.Shard.FallbackWait = "header:account", rules.FallWait, 300*time.Millisecond
		})
		key := p.keyOf(0)
		p.publish(0)
		cl := p.r.h2Client()
		status := make(chan int, 1)
		go func() {
			s, _, _ := ask(t, cl, "GET", "/", "", "account: "+key)
			status <- s
		}()
		p.r.eventually("the request to wait", func() bool { return p.r.w.o.Shared.of(p.r.target.Name).owners.Load() == 1 })
		p.goes(t, cl)
		if s := got(t, status, "the answer"); s < 500 {
			t.Errorf("%d", s)
		}
		cl.CloseIdleConnections()
	})
	t.Run("for a body that goes to every endpoint", func(t *testing.T) {
		p := newPods(t, 2, func(r *rules.Rules) { r.Scatter = true })
		cl := p.r.h2Client()
		ask(t, cl, "GET", "/", "")
		finish := slowly(t, cl, "a", "b", "sluice-scatter: all")
		p.goes(t, cl)
		if s := finish(); s != 503 {
			t.Errorf("%d, want 503", s)
		}
		cl.CloseIdleConnections()
	})
}

// Keys are asked for no longer when a body has brought one.
func TestKeysAreGivenUpWhileABodyComes(t *testing.T) {
	protocols(t, func(t *testing.T, client func(r *rig) *http.Client) {
		p := newPods(t, 2, func(r *rules.Rules) { r.Shard.Key = "json:/id" })
		cl := client(p.r)
		ask(t, cl, "POST", "/", `{"id":"1"}`)
		finish := slowly(t, cl, `{"id":`, `"1"}`)
		p.r.eventually("the body to be awaited", func() (there bool) {
			p.r.on(func() { there = p.r.l.Live() > 1 })
			return there
		})
		time.Sleep(20 * time.Millisecond)
		s := *p.r.target.Snapshot()
		s.Shard = nil
		p.r.target.Publish(&s)
		if s := finish(); s != 200 {
			t.Errorf("%d", s)
		}
		cl.CloseIdleConnections()
	})
}

// The Service is there anew, under another name of its port perhaps, while requests wait for an owner.
func TestWhoWaitsForAnOwnerFollowsTheService(t *testing.T) {
	protocols(t, func(t *testing.T, client func(r *rig) *http.Client) {
		p := newPods(t, 2, func(r *rules.Rules) {
			r.Shard.Key, r.Shard.Fallback, r.Shard.FallbackWait = "header:account", rules.FallWait, patience
		})
		key := p.keyOf(0)
		p.publish(0)
		cl := client(p.r)
		status := make(chan int, 1)
		go func() {
			s, _, _ := ask(t, cl, "GET", "/", "", "account: "+key)
			status <- s
		}()
		old := p.r.target
		p.r.eventually("the request to wait", func() bool { return p.r.w.o.Shared.of(old.Name).owners.Load() == 1 })
		p.r.target = discovery.NewTarget("default", "web", "renamed", 80, snapshot(t, 1, cluster.Undeclared, ""))
		p.publish()
		p.r.resolver.set(p.r.dst, p.r.target)
		began := time.Now()
		old.Remove()
		if s := got(t, status, "the answer"); s != 200 || time.Since(began) > patience/2 {
			t.Errorf("%d after %v", s, time.Since(began))
		}
		cl.CloseIdleConnections()
		p.r.eventually("the old target to be released", func() bool { return old.Retire(time.Now().Add(time.Hour)) })
	})
}

// A route without a target has nothing to watch.
func TestARouteWithoutATargetIsWatched(t *testing.T) {
	r := newRig(t)
	r.on(func() {
		r.l.Go(func() {
			rt := r.w.newRoute(nil, r.dst)
			news, stop := rt.watch()
			if *news {
				t.Error("there are news")
			}
			stop()
		})
	})
}

// The owner answers an error, is replaced meanwhile, and its successor cannot be reached: the error is the answer, and nothing stays counted.
func TestAnOwnersErrorIsBetterThanOurs(t *testing.T) {
	protocols(t, func(t *testing.T, client func(r *rig) *http.Client) {
		p := newPods(t, 2, byAccount(rules.FallStrict, 0))
		key := p.keyOf(0)
		p.does(func(pod int, w http.ResponseWriter, _ *http.Request) {
			p.move(t, 0)
			p.publish()
			w.WriteHeader(503)
		})
		cl := client(p.r)
		if status, text, _ := ask(t, cl, "GET", "/", "", "account: "+key); status != 503 || text != "web-0" {
			t.Errorf("%d %q, want the owner's 503", status, text)
		}
		cl.CloseIdleConnections()
	})
}

// A request that waits for the owner of its key does not hold up those that may go elsewhere.
func TestAKeyThatWaitsHoldsUpNobodyElse(t *testing.T) {
	protocols(t, func(t *testing.T, client func(r *rig) *http.Client) {
		p := newPods(t, 2, func(r *rules.Rules) {
			r.Shard.Key, r.Limits.Requests, r.Limits.Pending, r.Limits.Queue = "header:account", 1, 10, patience
		})
		key := "account: " + p.keyOf(0)
		began, goOn := make(chan struct{}, 10), make(chan struct{})
		p.does(func(pod int, _ http.ResponseWriter, _ *http.Request) {
			if pod == 0 {
				began <- struct{}{}
				<-goOn
			}
		})
		cl := client(p.r)
		status := make(chan int, 2)
		keyed := func() {
			s, _, _ := ask(t, cl, "GET", "/", "", key)
			status <- s
		}
		go keyed()
		got(t, began, "the first request")
		go keyed()
		p.r.eventually("the second one to wait", func() bool { return p.r.waiting() == 1 })
		if s, text, _ := ask(t, cl, "GET", "/", ""); s != 200 || text != "web-1" {
			t.Errorf("%d %q", s, text)
		}
		if len(status) > 0 {
			t.Error("the keyed requests have ended")
		}
		close(goOn)
		for range 2 {
			if s := got(t, status, "an answer"); s != 200 {
				t.Errorf("%d", s)
			}
		}
		cl.CloseIdleConnections()
	})
}
