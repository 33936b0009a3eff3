package proxy

import (
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/discovery"
)

// renewing is a rig with a connection of HTTP/2 that has an innocent stream, whose Service is looked up anew by the next request. echo has the stream's
// server echo a text; answer is what discovery answers with in the end.
func renewing(t *testing.T) (r *rig, c *http.Client, echo func(s string), answer func(discovery.Answer), hangUp func()) {
	t.Helper()
	s := newH2Server(t, func(w http.ResponseWriter, q *http.Request) {
		if q.URL.Path != "/echo" {
			io.WriteString(w, "old")
			return
		}
		http.NewResponseController(w).Flush()
		b := make([]byte, 100)
		for {
			n, err := q.Body.Read(b)
			w.Write(b[:n])
			http.NewResponseController(w).Flush()
			if err != nil {
				return
			}
		}
	})
	r = newRig(t, func(o *Options) { o.ResolveTimeout = patience })
	r.serve(s.addr)
	c = r.h2Client()
	tr := c.Transport.(*http.Transport)
	dial := tr.DialContext
	tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		nc, err := dial(ctx, network, addr)
		hangUp = func() { nc.Close() }
		return nc, err
	}
	in, out := io.Pipe()
	q, _ := http.NewRequest("POST", "http://web/echo", in)
	res, err := c.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { out.Close(); res.Body.Close() })
	echo = func(s string) {
		t.Helper()
		io.WriteString(out, s)
		came := make(chan string, 1)
		go func() {
			b := make([]byte, len(s))
			io.ReadFull(res.Body, b)
			came <- string(b)
		}()
		if e := got(t, came, "the echo"); e != s {
			t.Errorf("got %q", e)
		}
	}
	echo("before")
	asked := make(chan func(discovery.Answer), 10)
	r.resolver.unknown(discovery.Pending, func(done func(discovery.Answer)) { asked <- done })
	r.resolver.set(r.dst, nil)
	r.target.Remove()
	return r, c, echo, func(a discovery.Answer) { got(t, asked, "discovery to be asked")(a) }, hangUp
}

// holds reports whether somebody holds a target.
func holds(d *discovery.Target) bool { return !d.Idle(time.Now().Add(time.Hour)) }

// A request that finds its Service gone waits for discovery as a connection does at first. The other streams of its connection go on meanwhile.
func TestOneStreamWaitsForDiscoveryAlone(t *testing.T) {
	r, c, echo, answer, _ := renewing(t)
	old, next := r.target, newH2Server(t, named("new"))
	answers := make(chan string, 2)
	for range 2 {
		go func() {
			res, err := c.Post("http://web/", "", nil)
			answers <- body(t, res, err)
		}()
	}
	r.eventually("two requests to wait", func() (wait bool) {
		r.on(func() { wait = r.w.o.Shared.underWay.Taken() == 3 })
		return wait
	})
	echo("meanwhile")
	target := discovery.NewTarget("default", "web", "", 80, snapshot(t, 1, 0, "", r.eps(next.addr)...))
	for range 2 {
		target.Hold()
		answer(discovery.Answer{Target: target})
		if a := got(t, answers, "the answer"); a != "new" {
			t.Errorf("got %q", a)
		}
	}
	echo("after")
	if holds(old) {
		t.Error("the Service that is gone is held")
	}
	c.CloseIdleConnections()
}

// A client may not wait for that: then nobody holds what comes of it.
func TestAClientGoesWhileItsStreamWaitsForDiscovery(t *testing.T) {
	for _, all := range []bool{false, true} {
		r, c, echo, answer, hangUp := renewing(t)
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() {
			q, _ := http.NewRequestWithContext(ctx, "POST", "http://web/", nil)
			_, err := c.Do(q)
			ended <- err
		}()
		r.eventually("the request to wait", func() bool { return r.w.o.Shared.underWay.Taken() == 2 })
		cancel()
		if err := got(t, ended, "the request's end"); err == nil {
			t.Error("it was answered")
		}
		end := func() {
			hangUp()
			r.eventually("the connection to end", func() bool { return r.m.Loop(0).Open.Load() == 0 })
		}
		if all {
			end()
		} else {
			echo("meanwhile")
		}
		target := discovery.NewTarget("default", "web", "", 80, snapshot(t, 2, 0, ""))
		target.Hold()
		answer(discovery.Answer{Target: target})
		if !all {
			end()
		}
		r.eventually("nobody to hold a target", func() bool { return !holds(target) && !holds(r.target) })
	}
}
