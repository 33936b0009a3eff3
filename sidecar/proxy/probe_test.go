package proxy

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/outlier"
	"github.com/sluice-mesh/sluice/sidecar/rules"
)

// ejected reports whether an endpoint is out because of its answers, or has not shown yet that it may return.
func (r *rig) ejected(addr netip.AddrPort) (yes bool) {
	load := &r.eps(addr)[0].Load[r.index]
	r.on(func() { yes = outlier.Ejected(load) })
	return yes
}

// Answers that take longer than an endpoint is out at most, or the second that an attempt has to find out, return it as quick ones do.
func TestASlowEndpointReturns(t *testing.T) {
	protocols(t, func(t *testing.T, client func(r *rig) *http.Client) {
		var slow atomic.Bool
		pod := newH2Server(t, func(w http.ResponseWriter, q *http.Request) {
			if !slow.Load() {
				w.WriteHeader(503)
				return
			}
			time.Sleep(1300 * time.Millisecond)
		}, either)
		r := newRig(t)
		r.target.HTTP2.Store(true)
		// Whatever is known of it, it is picked: so others find out before the first has.
		r.inOrder(pod.addr, newH2Server(t, named("other"), either).addr)
		r.with(func(ru *rules.Rules) { ru.Ejection.First, ru.Ejection.Most = 50*time.Millisecond, 100*time.Millisecond })
		c := client(r)
		for i := 0; i < 100 && !r.ejected(pod.addr); i++ {
			ask(t, c, "POST", "/", "x")
		}
		slow.Store(true)
		var all sync.WaitGroup
		out := true
		for end := time.Now().Add(patience / 2); out && time.Now().Before(end); out = r.ejected(pod.addr) {
			all.Go(func() { ask(t, c, "POST", "/", "x") })
			time.Sleep(20 * time.Millisecond)
		}
		if out {
			t.Error("the endpoint has not returned")
		}
		all.Wait()
		c.CloseIdleConnections()
	})
}

// 429 says nothing of an endpoint that is to return, but the program is there: the next request finds out.
func TestAProbeThatSaysNothingIsNone(t *testing.T) {
	protocols(t, func(t *testing.T, client func(r *rig) *http.Client) {
		var status atomic.Int64
		status.Store(503)
		pod := newH2Server(t, func(w http.ResponseWriter, q *http.Request) { w.WriteHeader(int(status.Load())) }, either)
		r := newRig(t)
		r.target.HTTP2.Store(true)
		r.serve(pod.addr, newH2Server(t, named("other"), either).addr)
		r.with(func(ru *rules.Rules) { ru.Ejection.First = 50 * time.Millisecond })
		c := client(r)
		for i := 0; i < 100 && !r.ejected(pod.addr); i++ {
			ask(t, c, "POST", "/", "x")
		}
		status.Store(429)
		for range 60 {
			ask(t, c, "POST", "/", "x")
			time.Sleep(5 * time.Millisecond)
		}
		var times uint8
		r.on(func() { times = r.eps(pod.addr)[0].Load[r.index].Ejections })
		if !r.ejected(pod.addr) || times != 1 {
			t.Errorf("behind answers that say nothing: ejected %v, %d times", r.ejected(pod.addr), times)
		}
		status.Store(200)
		for range 4 {
			ask(t, c, "POST", "/", "x")
		}
		if r.ejected(pod.addr) {
			t.Error("the endpoint has not returned")
		}
		c.CloseIdleConnections()
	})
}

// The head of an answer returns an endpoint, but what comes behind it may yet speak against it.
func TestAnEndpointThatFailsBehindTheHeadGoesAgainAtOnce(t *testing.T) {
	fails := func(t *testing.T, r *rig, failed *atomic.Int64, ask func()) {
		r.with(func(ru *rules.Rules) { ru.Ejection.First, ru.Ejection.Most = 50*time.Millisecond, 50*time.Millisecond })
		for end := time.Now().Add(patience); r.service().Ejections.Load() < 4 && time.Now().Before(end); {
			ask()
		}
		r.counts("failed requests for 4 ejections", 5+1+1+1, func() uint64 { return uint64(failed.Load()) })
	}
	t.Run("a call's status", func(t *testing.T) {
		var failed atomic.Int64
		serve := func(status int) netip.AddrPort {
			return newH2Server(t, func(w http.ResponseWriter, q *http.Request) {
				if status != 0 {
					failed.Add(1)
				}
				w.Header().Set("Content-Type", "application/grpc")
				w.Header().Set("Trailer", "Grpc-Status")
				w.WriteHeader(200)
				w.(http.Flusher).Flush()
				w.Header().Set("Grpc-Status", strconv.Itoa(status))
			}).addr
		}
		r := newRig(t)
		bad := serve(14)
		r.serve(bad, serve(0))
		c := r.h2Client()
		fails(t, r, &failed, func() {
			q, _ := http.NewRequest("POST", "http://web/pkg.Service/Method", strings.NewReader("\x00\x00\x00\x00\x00"))
			q.Header.Set("Content-Type", "application/grpc")
			res, err := c.Do(q)
			body(t, res, err)
		})
		c.CloseIdleConnections()
	})
	t.Run("a body that is cut", func(t *testing.T) {
		var failed atomic.Int64
		bad := newH2Server(t, func(w http.ResponseWriter, q *http.Request) {
			failed.Add(1)
			w.Header().Set("Content-Length", "10")
			io.WriteString(w, "half")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}, either).addr
		r := newRig(t)
		r.serve(bad, newH2Server(t, named("other"), either).addr)
		c := &http.Client{Timeout: patience, Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", r.addr.String())
		}}}
		fails(t, r, &failed, func() {
			res, err := c.Post("http://web/", "", strings.NewReader("x"))
			if err == nil {
				io.Copy(io.Discard, res.Body)
				res.Body.Close()
			}
		})
		c.CloseIdleConnections()
	})
}
