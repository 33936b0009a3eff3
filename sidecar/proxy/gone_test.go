package proxy

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

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
