package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/sluice-mesh/sluice/sidecar/classify"
)

func TestAStreamGoesOnElsewhereWhenNoConnectionComesAbout(t *testing.T) {
	s := newH2Server(t, func(w http.ResponseWriter, q *http.Request) { io.Copy(w, q.Body) })
	r := newRig(t)
	r.inOrder(closedPort(t), closedPort(t), s.addr)
	c := r.h2Client()
	for _, size := range []int{0, 10, 60_000} {
		want := strings.Repeat("x", size)
		res, err := c.Post("http://web/", "", strings.NewReader(want))
		if got := body(t, res, err); got != want {
			t.Errorf("a body of %d bytes came back with %d", size, len(got))
		}
	}
	r.counts("connect failures", 6, func() uint64 { return r.attempts(classify.ConnectFailed) })
}

func TestNoEndpointCanBeReachedOverHTTP2(t *testing.T) {
	r := newRig(t)
	r.inOrder(closedPort(t))
	c := r.h2Client()
	res, err := c.Get("http://web/")
	if got := body(t, res, err); res == nil || res.StatusCode != 503 || !strings.Contains(got, "no endpoint of default/web:80 can be reached") {
		t.Errorf("got %v %q", res, got)
	}
	q, _ := http.NewRequest("POST", "http://web/pkg.Service/Method", strings.NewReader("\x00\x00\x00\x00\x00"))
	q.Header.Set("Content-Type", "application/grpc")
	res, err = c.Do(q)
	body(t, res, err)
	if res.StatusCode != 200 || res.Header.Get("Grpc-Status") != "14" || !strings.Contains(res.Header.Get("Grpc-Message"), "no endpoint") {
		t.Errorf("a gRPC client got %v", res)
	}
}

func TestAServerThatGoesAwayGracefullyLosesNothing(t *testing.T) {
	r := newRig(t)
	a := newH2Server(t, func(w http.ResponseWriter, q *http.Request) { time.Sleep(time.Millisecond); io.WriteString(w, "a") })
	b := newH2Server(t, func(w http.ResponseWriter, q *http.Request) { time.Sleep(time.Millisecond); io.WriteString(w, "b") })
	r.serve(a.addr, b.addr)
	c := r.h2Client()
	var wg sync.WaitGroup
	var answered [2]atomic.Int64
	for range 8 {
		wg.Go(func() {
			for range 100 {
				res, err := c.Post("http://web/", "", strings.NewReader("not idempotent"))
				answered[body(t, res, err)[0]-'a'].Add(1)
			}
		})
	}
	r.eventually("the first answers", func() bool { return answered[0].Load() > 20 })
	if err := a.srv.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	wg.Wait()
	if n := answered[0].Load() + answered[1].Load(); n != 800 {
		t.Errorf("%d of 800 answered", n)
	}
}

func TestAClientThatCancelsIsSeenToDoSo(t *testing.T) {
	began, ended := make(chan bool, 1), make(chan error, 1)
	s := newH2Server(t, func(w http.ResponseWriter, q *http.Request) {
		began <- true
		<-q.Context().Done()
		ended <- q.Context().Err()
	})
	r := newRig(t)
	r.serve(s.addr)
	c := r.h2Client()
	ctx, cancel := context.WithCancel(t.Context())
	q, _ := http.NewRequestWithContext(ctx, "GET", "http://web/", nil)
	go func() { <-began; cancel() }()
	if _, err := c.Do(q); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	select {
	case <-ended:
	case <-time.After(patience):
		t.Error("the server was not told")
	}
	r.counts("attempts whose client is gone", 1, func() uint64 { return r.attempts(classify.ClientGone) })
}

// An endpoint that speaks HTTP/2, and sends a frame that is too large, does not ask for HTTP/1.1.
func TestAFrameThatIsTooLarge(t *testing.T) {
	s := newServer(t, func(_ int, c *net.TCPConn) {
		if _, err := io.ReadFull(c, make([]byte, len(http2.ClientPreface))); err != nil {
			return
		}
		f := http2.NewFramer(c, c)
		f.WriteSettings()
		for {
			in, err := f.ReadFrame()
			if err != nil {
				return
			}
			if in.Header().Type == http2.FrameHeaders {
				f.WriteRawFrame(http2.FrameData, 0, in.Header().StreamID, make([]byte, 16385))
			}
		}
	})
	r := newRig(t)
	r.inOrder(s.addr)
	res, err := r.h2Client().Post("http://web/", "", strings.NewReader("x"))
	if got := body(t, res, err); res == nil || res.StatusCode != 502 || !strings.Contains(got, "malformed answer") {
		t.Errorf("got %v %q, want our 502", res, got)
	}
}

// One whose very first frame is too large is not known to speak HTTP/2, and what it says is the client's to judge.
func TestAFirstFrameThatIsTooLarge(t *testing.T) {
	s := newServer(t, func(_ int, c *net.TCPConn) {
		if _, err := io.ReadFull(c, make([]byte, len(http2.ClientPreface))); err == nil {
			http2.NewFramer(c, c).WriteRawFrame(http2.FrameSettings, 0, 0, make([]byte, 6*4000))
			io.Copy(io.Discard, c)
		}
	})
	r := newRig(t)
	r.inOrder(s.addr)
	if res, err := r.h2Client().Get("http://web/"); err == nil {
		t.Errorf("got %v, want an error of the client's own", res)
	}
	r.counts("opaque connections", 1, r.service().Opaque.Load)
}

func TestAnErrorOverHTTP2IsAskedElsewhere(t *testing.T) {
	good := newH2Server(t, named("good"))
	long := strings.Repeat("sorry ", 20_000)
	for _, status := range []int{500, 502, 503, 504} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			bad := newH2Server(t, failing(status, long))
			r := newRig(t)
			r.inOrder(bad.addr, good.addr)
			c := r.h2Client()
			res, err := c.Get("http://web/")
			if got := body(t, res, err); got != "good" || res.StatusCode != 200 {
				t.Errorf("GET got %v", res)
			}
			res, err = c.Post("http://web/", "", strings.NewReader("x"))
			if got := body(t, res, err); got != long || res.StatusCode != status {
				t.Errorf("POST, which must not be sent twice, got %d and %d bytes", res.StatusCode, len(got))
			}
		})
	}
	t.Run("all answer errors: the client gets the last one, whole", func(t *testing.T) {
		a, b := newH2Server(t, failing(500, "first"+long)), newH2Server(t, failing(503, "second"+long))
		r := newRig(t)
		r.inOrder(a.addr, b.addr)
		res, err := r.h2Client().Get("http://web/")
		if got := body(t, res, err); got != "second"+long || res.StatusCode != 503 {
			t.Errorf("got %d and %d bytes", res.StatusCode, len(got))
		}
	})
	t.Run("the others cannot be reached: the client gets the error as it came", func(t *testing.T) {
		a := newH2Server(t, failing(500, "first"+long))
		r := newRig(t)
		r.inOrder(a.addr, closedPort(t), closedPort(t))
		res, err := r.h2Client().Get("http://web/")
		if got := body(t, res, err); got != "first"+long || res.StatusCode != 500 {
			t.Errorf("got %v and %d bytes", res, len(got))
		}
	})
	t.Run("the others cut the connection", func(t *testing.T) {
		a, o := newH2Server(t, failing(500, "first")), newOrigin(t)
		r := newRig(t)
		r.inOrder(a.addr, o.addr)
		go func() {
			s := o.accept()
			s.c.Read(make([]byte, 1000))
			s.close()
		}()
		res, err := r.h2Client().Get("http://web/")
		if got := body(t, res, err); got != "first" || res.StatusCode != 500 {
			t.Errorf("got %v and %q", res, got)
		}
	})
}

func TestAGRPCCallThatIsUnavailable(t *testing.T) {
	calls := atomic.Int64{}
	bad := newH2Server(t, func(w http.ResponseWriter, q *http.Request) {
		calls.Add(1)
		io.Copy(io.Discard, q.Body)
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Grpc-Status", "14")
		w.Header().Set("Grpc-Message", "going away")
	})
	good := newH2Server(t, func(w http.ResponseWriter, q *http.Request) {
		io.Copy(io.Discard, q.Body)
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Trailer", "Grpc-Status")
		w.Write([]byte("\x00\x00\x00\x00\x00"))
		w.Header().Set("Grpc-Status", "0")
	})
	call := func(r *rig, key bool) *http.Response {
		q, _ := http.NewRequest("POST", "http://web/pkg.Service/Method", strings.NewReader("\x00\x00\x00\x00\x00"))
		q.Header.Set("Content-Type", "application/grpc")
		if key {
			q.Header.Set("Idempotency-Key", "1")
		}
		res, err := r.h2Client().Do(q)
		body(t, res, err)
		return res
	}
	r := newRig(t)
	r.inOrder(bad.addr, good.addr)
	if res := call(r, true); res.Header.Get("Grpc-Status") != "14" || calls.Load() != 1 {
		t.Errorf("a call that nobody calls idempotent got %v after %d calls", res.Header, calls.Load())
	}
	s := *r.target.Snapshot()
	also := *s.Rules
	also.Retry.IdempotencyKey = true
	s.Rules = &also
	r.target.Publish(&s)
	if res := call(r, true); res.Trailer.Get("Grpc-Status") != "0" {
		t.Errorf("a call with a key got %v %v", res.Header, res.Trailer)
	}
	r.counts("gRPC calls count as OK", 1, r.service().Statuses[0].Load)
	r.counts("gRPC calls count as UNAVAILABLE", 1, r.service().Statuses[14].Load)
}
