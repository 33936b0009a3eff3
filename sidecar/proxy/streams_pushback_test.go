package proxy

import (
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/classify"
	"github.com/sluice-mesh/sluice/sidecar/rules"
)

// What an endpoint says of further attempts over HTTP/2 is heeded: grpc-retry-pushback-ms (gRFC A6), and Retry-After.
func TestAnEndpointThatPushesBack(t *testing.T) {
	for _, c := range []struct {
		name, pushback, want string
		calls                int64
		out                  time.Duration // at least; of the first endpoint
	}{
		{"nothing is said: another endpoint is asked", "", "0", 1, time.Second},
		{"not at all", "-1", "14", 0, time.Second},
		{"what cannot be read says the same", "soon", "14", 0, time.Second},
		{"later: nobody waits for it while there is another endpoint", "30000", "0", 1, 30 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			var calls atomic.Int64
			answer := func(w http.ResponseWriter, status string) {
				w.Header().Set("Content-Type", "application/grpc")
				w.Header().Set("Grpc-Status", status)
			}
			bad := newH2Server(t, func(w http.ResponseWriter, q *http.Request) {
				io.Copy(io.Discard, q.Body)
				if c.pushback != "" {
					w.Header().Set("Grpc-Retry-Pushback-Ms", c.pushback)
				}
				answer(w, "14")
			})
			good := newH2Server(t, func(w http.ResponseWriter, q *http.Request) { calls.Add(1); answer(w, "0") })
			r := newRig(t)
			r.inOrder(bad.addr, good.addr)
			r.with(func(r *rules.Rules) { r.Retry.IdempotencyKey, r.Ejection.Errors = true, 1 })
			q, _ := http.NewRequest("POST", "http://web/pkg.Service/Method", strings.NewReader("\x00\x00\x00\x00\x00"))
			q.Header.Set("Content-Type", "application/grpc")
			q.Header.Set("Idempotency-Key", "1")
			res, err := r.h2Client().Do(q)
			body(t, res, err)
			if got := res.Header.Get("Grpc-Status"); got != c.want || calls.Load() != c.calls {
				t.Errorf("got grpc-status %s and %d calls of the second endpoint, want %s and %d", got, calls.Load(), c.want, c.calls)
			}
			r.isOut(bad, c.out)
		})
	}
	t.Run("503 with Retry-After", func(t *testing.T) {
		bad := newH2Server(t, func(w http.ResponseWriter, q *http.Request) {
			w.Header().Set("Retry-After", "20")
			w.WriteHeader(503)
		})
		good := newH2Server(t, named("good"))
		r := newRig(t)
		r.inOrder(bad.addr, good.addr)
		r.with(func(r *rules.Rules) { r.Ejection.Errors = 1 })
		res, err := r.h2Client().Get("http://web/")
		if got := body(t, res, err); got != "good" {
			t.Errorf("got %q", got)
		}
		r.isOut(bad, 20*time.Second)
	})
}

// isOut expects that an endpoint is left alone for at least d, and not for twice as long.
func (r *rig) isOut(s *h2Server, d time.Duration) {
	r.t.Helper()
	var out time.Duration
	ep := r.eps(s.addr)[0]
	r.on(func() { out = time.Duration(ep.Load[0].SuspectUntil - r.l.Now()) })
	if out < d/2 || out > 2*d {
		r.t.Errorf("the endpoint is out for %v more, want about %v", out, d)
	}
}

// An endpoint may answer an error before the request's body has come; the body goes to another one, whole.
func TestAnErrorOverHTTP2BeforeTheBodyHasCome(t *testing.T) {
	bad := newH2Server(t, func(w http.ResponseWriter, q *http.Request) { w.WriteHeader(503) })
	good := newH2Server(t, func(w http.ResponseWriter, q *http.Request) { io.Copy(w, q.Body) })
	r := newRig(t)
	r.inOrder(bad.addr, good.addr)
	in, out := io.Pipe()
	go func() {
		io.WriteString(out, "half of it ")
		r.eventually("the second attempt", func() bool { return r.service().Retries[classify.ServerError].Load() == 1 })
		io.WriteString(out, "and the rest")
		out.Close()
	}()
	q, _ := http.NewRequest("PUT", "http://web/", in)
	res, err := r.h2Client().Do(q)
	if got := body(t, res, err); got != "half of it and the rest" {
		t.Errorf("got %q", got)
	}
}
