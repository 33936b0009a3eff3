package proxy

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/sluice-mesh/sluice/sidecar/classify"
	"github.com/sluice-mesh/sluice/sidecar/rules"
)

// asked serves a connection of HTTP/2 and calls act for each request. What act writes is sent at once.
func asked(c net.Conn, act func(out *http2.Framer, id uint32, path string), settings ...http2.Setting) {
	if _, err := io.ReadFull(c, make([]byte, len(http2.ClientPreface))); err != nil {
		return
	}
	var out bytes.Buffer
	w, in := http2.NewFramer(&out, nil), http2.NewFramer(nil, c)
	in.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	w.WriteSettings(settings...)
	for {
		if _, err := out.WriteTo(c); err != nil {
			return
		}
		f, err := in.ReadFrame()
		if err != nil {
			return
		}
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				w.WriteSettingsAck()
			}
		case *http2.MetaHeadersFrame:
			act(w, f.StreamID, f.PseudoValue("path"))
		}
	}
}

// An endpoint that ends each of its connections with GOAWAY, and has looked at none of the streams, gets a request once more at most.
func TestAnEndpointThatAlwaysGoesAwayIsAskedOnceMore(t *testing.T) {
	const requests = 8
	var mu sync.Mutex
	times, all := map[string]int{}, 0
	bad := newServer(t, func(_ int, c *net.TCPConn) {
		asked(c, func(out *http2.Framer, _ uint32, path string) {
			mu.Lock()
			defer mu.Unlock()
			times[path]++
			if all++; all >= requests { // until then they gather on the first connection
				out.WriteGoAway(0, http2.ErrCodeNo, nil)
			}
		})
	})
	good := newH2Server(t, named("good"))
	r := newRig(t)
	r.inOrder(bad.addr, good.addr)
	c := r.h2Client()
	var wg sync.WaitGroup
	for i := range requests {
		wg.Go(func() {
			res, err := c.Post("http://web/"+strconv.Itoa(i), "", strings.NewReader("x"))
			if got := body(t, res, err); got != "good" {
				t.Errorf("got %q", got)
			}
		})
	}
	wg.Wait()
	mu.Lock()
	defer mu.Unlock()
	twice := 0
	for path, n := range times {
		if n > 2 {
			t.Errorf("%s went to the endpoint that goes away %d times, want 2 at most", path, n)
		} else if n == 2 {
			twice++
		}
	}
	if twice == 0 {
		t.Error("no request went to it again")
	}
}

// Of two endpoints one is at its limit and the other does not look at the request: there is room soon, whatever the method.
func TestAStreamWaitsForWhoHasMostRequestsWhenTheOthersDoNotLookAtIt(t *testing.T) {
	for name, act := range map[string]func(out *http2.Framer, id uint32){
		"REFUSED_STREAM": func(out *http2.Framer, id uint32) { out.WriteRSTStream(id, http2.ErrCodeRefusedStream) },
		"GOAWAY":         func(out *http2.Framer, _ uint32) { out.WriteGoAway(0, http2.ErrCodeNo, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			h, release := hanging(t, named("good"))
			busy := newH2Server(t, h)
			bad := newServer(t, func(_ int, c *net.TCPConn) {
				asked(c, func(out *http2.Framer, id uint32, _ string) { act(out, id) })
			})
			r := newRig(t)
			r.serve(busy.addr)
			limit := func() {
				r.with(func(r *rules.Rules) { r.Limits.Requests, r.Limits.Queue = 1, patience })
			}
			limit()
			c := r.h2Client()
			var wg sync.WaitGroup
			defer wg.Wait()
			wg.Go(func() {
				res, err := c.Post("http://web/", "", strings.NewReader("x"))
				body(t, res, err)
			})
			r.eventually("the first request", func() bool { return r.m.Loop(0).Upstreams.Load() == 1 })
			r.serve(busy.addr, bad.addr)
			limit()
			wg.Go(func() {
				defer release()
				r.eventually("the second to be turned away", func() bool { return r.attempts(classify.Unprocessed) > 0 })
				r.eventually("the second to wait", func() bool { return r.waiting() == 1 })
			})
			res, err := c.Post("http://web/", "", strings.NewReader("y"))
			if err != nil {
				t.Fatal(err)
			}
			if got := body(t, res, err); res.StatusCode != http.StatusOK || got != "good" {
				t.Errorf("got %d %q", res.StatusCode, got)
			}
		})
	}
}

// What an endpoint has not looked at goes to another one whatever its method, and costs nothing of the retry budget.
func TestWhatWasNotLookedAtCostsNoBudget(t *testing.T) {
	for name, act := range map[string]func(out *http2.Framer, id uint32){
		"REFUSED_STREAM": func(out *http2.Framer, id uint32) { out.WriteRSTStream(id, http2.ErrCodeRefusedStream) },
		"GOAWAY":         func(out *http2.Framer, _ uint32) { out.WriteGoAway(0, http2.ErrCodeNo, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			bad := newServer(t, func(_ int, c *net.TCPConn) {
				asked(c, func(out *http2.Framer, id uint32, _ string) { act(out, id) })
			})
			good := newH2Server(t, named("good"))
			r := newRig(t, func(o *Options) { o.Budget.Burst, o.Budget.Ratio, o.Budget.PerSecond = 0, 0, 0 })
			r.inOrder(bad.addr, good.addr)
			res, err := r.h2Client().Post("http://web/", "", strings.NewReader("x"))
			if got := body(t, res, err); got != "good" {
				t.Errorf("got %q", got)
			}
			r.counts("retries refused", 0, r.service().Refused.Load)
		})
	}
}
