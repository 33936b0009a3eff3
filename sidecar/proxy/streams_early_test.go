package proxy

import (
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/classify"
	"github.com/sluice-mesh/sluice/sidecar/rules"
)

// halfSent makes a PUT whose body does not end before the test does, or a call of gRPC that may be sent again.
func halfSent(t *testing.T, grpc bool) *http.Request {
	t.Helper()
	in, out := io.Pipe()
	t.Cleanup(func() { out.Close() })
	go io.WriteString(out, "\x00\x00\x00\x00\x00half of it")
	q, err := http.NewRequest("PUT", "http://web/pkg.Service/Method", in)
	if err != nil {
		t.Fatal(err)
	}
	if grpc {
		q.Method = "POST"
		q.Header.Set("Content-Type", "application/grpc")
		q.Header.Set("Idempotency-Key", "1")
	}
	return q
}

// As over HTTP/1.x, an error that comes before the request has gone out whole is kept, and passed on as it came when nobody does better.
func TestAnEarlyErrorOverHTTP2IsPassedOnAsItCame(t *testing.T) {
	var calls atomic.Int64
	early := func(w http.ResponseWriter, q *http.Request) {
		calls.Add(1)
		w.Header().Set("X-From", "the endpoint")
		w.Header().Set("Retry-After", "7")
		w.Header().Set("Trailer", "X-Behind")
		w.WriteHeader(503)
		io.WriteString(w, "sorry")
		w.Header().Set("X-Behind", "it all")
	}
	asCame := func(t *testing.T, r *rig) {
		t.Helper()
		calls.Store(0)
		res, err := r.h2Client().Do(halfSent(t, false))
		if got := body(t, res, err); err == nil && (res.StatusCode != 503 || got != "sorry" || res.Header.Get("X-From") != "the endpoint" ||
			res.Header.Get("Retry-After") != "7" || res.Trailer.Get("X-Behind") != "it all") {
			t.Errorf("got %d %q %v %v", res.StatusCode, got, res.Header, res.Trailer)
		}
		r.counts("attempts are answered", 1, func() uint64 { return r.attempts(classify.Answered) })
		if n := calls.Load(); n != 1 {
			t.Errorf("the endpoint was asked %d times", n)
		}
	}
	t.Run("the other endpoint cannot be reached", func(t *testing.T) {
		r := newRig(t)
		r.inOrder(newH2Server(t, early).addr, closedPort(t))
		asCame(t, r)
	})
	t.Run("the other endpoint cuts the connection", func(t *testing.T) {
		r, o := newRig(t), newOrigin(t)
		r.inOrder(newH2Server(t, early).addr, o.addr)
		go func() {
			s := o.accept()
			s.c.Read(make([]byte, 1000))
			s.close()
		}()
		asCame(t, r)
	})
	t.Run("the request's time ends before the other one answers", func(t *testing.T) {
		h, _ := hanging(t, named("never"))
		r := newRig(t)
		r.inOrder(newH2Server(t, early).addr, newH2Server(t, h).addr)
		r.with(func(ru *rules.Rules) { ru.Timeout = 200 * time.Millisecond })
		asCame(t, r)
	})
	t.Run("the other endpoint does better", func(t *testing.T) {
		r := newRig(t)
		r.inOrder(newH2Server(t, early).addr, newH2Server(t, named("good")).addr)
		res, err := r.h2Client().Do(halfSent(t, false))
		if got := body(t, res, err); got != "good" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("gRPC", func(t *testing.T) {
		r := newRig(t)
		r.inOrder(newH2Server(t, func(w http.ResponseWriter, q *http.Request) {
			w.Header().Set("Content-Type", "application/grpc")
			w.Header().Set("Grpc-Status", "14")
			w.Header().Set("Grpc-Message", "going away")
		}).addr, closedPort(t))
		r.with(func(ru *rules.Rules) { ru.Retry.IdempotencyKey = true })
		res, err := r.h2Client().Do(halfSent(t, true))
		if body(t, res, err); err == nil && (res.Header.Get("Grpc-Status") != "14" || res.Header.Get("Grpc-Message") != "going away") {
			t.Errorf("got %d %v %v", res.StatusCode, res.Header, res.Trailer)
		}
		r.counts("gRPC calls count as UNAVAILABLE", 1, r.service().Statuses[14].Load)
	})
}
