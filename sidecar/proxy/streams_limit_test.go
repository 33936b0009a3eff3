package proxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/h2/frame"
	"github.com/sluice-mesh/sluice/sidecar/rules"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// A client may ask and give up in one breath, before the coroutine that is to wait for it has begun.
func TestAStreamThatGivesUpBeforeItWaits(t *testing.T) {
	h, release := hanging(t, named("first"))
	s := newH2Server(t, h)
	r := newRig(t)
	r.serve(s.addr)
	r.with(func(r *rules.Rules) { r.Limits.Requests, r.Limits.Queue = 1, patience })
	done := make(chan bool)
	go func() {
		defer close(done)
		res, err := r.h2Client().Post("http://web/", "", strings.NewReader("x"))
		body(t, res, err)
	}()
	r.eventually("the first request", func() bool { return r.m.Loop(0).Upstreams.Load() == 1 })

	c, err := net.Dial("tcp", r.addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	var block, out bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for _, f := range []hpack.HeaderField{{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "http"}, {Name: ":path", Value: "/"}, {Name: ":authority", Value: "web"}} {
		enc.WriteField(f)
	}
	io.WriteString(&out, frame.ClientPreface)
	w := http2.NewFramer(&out, c)
	w.WriteSettings()
	w.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndStream: true, EndHeaders: true})
	w.WriteRSTStream(1, http2.ErrCodeCancel)
	w.WritePing(false, [8]byte{7})
	c.Write(out.Bytes())
	for {
		f, err := w.ReadFrame()
		if err != nil {
			t.Fatalf("the connection ended: %v", err)
		}
		if p, ok := f.(*http2.PingFrame); ok && p.IsAck() {
			break
		}
	}
	release()
	<-done
	r.counts("requests wait", 0, r.waiting)
}

// Of two endpoints one is at its limit and the other refuses: there is room soon, and the request has been nowhere.
func TestAStreamWaitsForWhoHasMostRequestsWhenTheOthersRefuse(t *testing.T) {
	h, release := hanging(t, named("good"))
	busy := newH2Server(t, h)
	r := newRig(t)
	r.serve(busy.addr)
	r.with(func(r *rules.Rules) { r.Limits.Requests, r.Limits.Queue = 1, patience })
	c := r.h2Client()
	done := make(chan bool)
	go func() {
		defer close(done)
		res, err := c.Post("http://web/", "", strings.NewReader("x"))
		body(t, res, err)
	}()
	r.eventually("the first request", func() bool { return r.m.Loop(0).Upstreams.Load() == 1 })
	rules := r.target.Snapshot().Rules
	r.serve(busy.addr, closedPort(t))
	s := *r.target.Snapshot()
	s.Rules = rules
	r.target.Publish(&s)
	go func() {
		r.eventually("the refusal", func() bool { return r.m.Loop(0).ConnectFailures.Load() > 0 })
		release()
	}()
	res, err := c.Post("http://web/", "", strings.NewReader("x"))
	if got := body(t, res, err); err == nil && (res.StatusCode != http.StatusOK || got != "good") {
		t.Errorf("got %d %q", res.StatusCode, got)
	}
	<-done
}

// Room that has come meanwhile is for who waits, not for who has just come.
func TestAStreamDoesNotOvertakeThoseThatWait(t *testing.T) {
	h, release := hanging(t, named("first"))
	busy := newH2Server(t, h)
	came := make(chan string, 3)
	free := newH2Server(t, func(w http.ResponseWriter, q *http.Request) { came <- q.URL.Path; h(w, q) })
	r := newRig(t)
	r.serve(busy.addr)
	r.with(func(r *rules.Rules) { r.Limits.Requests, r.Limits.Queue = 1, patience })
	c := r.h2Client()
	var wg sync.WaitGroup
	post := func(path string) {
		wg.Go(func() {
			res, err := c.Post("http://web"+path, "", strings.NewReader("x"))
			body(t, res, err)
		})
	}
	waiting := func(n uint64) {
		r.counts("requests wait", int(n), r.waiting)
	}
	post("/running")
	r.eventually("the first request", func() bool { return r.m.Loop(0).Upstreams.Load() == 1 })
	post("/waits")
	waiting(1)
	also := *r.target.Snapshot()
	r.serve(busy.addr, free.addr)
	s := *r.target.Snapshot()
	s.Rules = also.Rules
	r.target.Publish(&s)
	post("/comes")
	if got := <-came; got != "/waits" {
		t.Errorf("%s went first", got)
	}
	release()
	wg.Wait()
}

// Streams share a connection, so a limit of connections is none of theirs while the endpoint allows more on one.
func TestConnectionsAreNoLimitOfStreams(t *testing.T) {
	h, release := hanging(t, named("x"))
	came := make(chan bool, 5)
	s := newH2Server(t, func(w http.ResponseWriter, q *http.Request) { came <- true; h(w, q) })
	r := newRig(t)
	r.serve(s.addr)
	r.with(func(r *rules.Rules) { r.Limits.Connections, r.Limits.Queue = 1, 20*time.Millisecond })
	c := r.h2Client()
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() {
			res, err := c.Post("http://web/", "", strings.NewReader("x"))
			if got := body(t, res, err); got != "x" {
				t.Errorf("got %q", got)
			}
		})
	}
	for range 5 {
		select {
		case <-came:
		case <-time.After(patience):
			t.Error("not all came to the endpoint")
		}
	}
	release()
	wg.Wait()
}

func TestStreamsAtALimitWaitInTheirOrder(t *testing.T) {
	var running, most atomic.Int64
	s := newH2Server(t, func(w http.ResponseWriter, q *http.Request) {
		n := running.Add(1)
		for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
		}
		time.Sleep(time.Millisecond)
		running.Add(-1)
	})
	r := newRig(t)
	r.serve(s.addr)
	r.with(func(r *rules.Rules) { r.Limits.Requests, r.Limits.Pending, r.Limits.Queue = 3, 100, 10*time.Second })
	c := r.h2Client()
	var wg sync.WaitGroup
	for range 40 {
		wg.Go(func() {
			res, err := c.Get("http://web/")
			body(t, res, err)
			if res.StatusCode != 200 {
				t.Errorf("got %d", res.StatusCode)
			}
		})
	}
	wg.Wait()
	if n := most.Load(); n > 3 {
		t.Errorf("%d requests ran at once, want at most 3", n)
	}
	t.Run("nobody may wait", func(t *testing.T) {
		h, release := hanging(t, named("first"))
		s := newH2Server(t, h)
		r := newRig(t)
		r.serve(s.addr)
		r.with(func(r *rules.Rules) { r.Limits.Requests, r.Limits.Pending = 1, 0 })
		c := r.h2Client()
		done := make(chan bool)
		go func() {
			defer close(done)
			res, err := c.Post("http://web/", "", strings.NewReader("x"))
			body(t, res, err)
		}()
		r.eventually("the first request", func() bool { return r.m.Loop(0).Upstreams.Load() == 1 })
		res, err := c.Get("http://web/")
		if got := body(t, res, err); res.StatusCode != 503 || !strings.Contains(got, "sluice.mesh/max-pending") {
			t.Errorf("got %d %q", res.StatusCode, got)
		}
		release()
		<-done
	})
	t.Run("who waits too long is told so, and who gives up leaves nothing behind", func(t *testing.T) {
		h, release := hanging(t, named("first"))
		s := newH2Server(t, h)
		r := newRig(t)
		r.serve(s.addr)
		r.with(func(r *rules.Rules) { r.Limits.Requests, r.Limits.Queue = 1, 50*time.Millisecond })
		c := r.h2Client()
		done := make(chan bool)
		go func() {
			defer close(done)
			res, err := c.Post("http://web/", "", strings.NewReader("x"))
			body(t, res, err)
		}()
		r.eventually("the first request", func() bool { return r.m.Loop(0).Upstreams.Load() == 1 })
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		q, _ := http.NewRequestWithContext(ctx, "GET", "http://web/", nil)
		if _, err := c.Do(q); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		res, err := c.Get("http://web/")
		if got := body(t, res, err); res.StatusCode != 503 || !strings.Contains(got, "sluice.mesh/queue-timeout") {
			t.Errorf("got %d %q", res.StatusCode, got)
		}
		release()
		<-done
	})
}
