package proxy

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/balancer"
	"github.com/sluice-mesh/sluice/sidecar/classify"
	"github.com/sluice-mesh/sluice/sidecar/cluster"
	"github.com/sluice-mesh/sluice/sidecar/discovery"
	"github.com/sluice-mesh/sluice/sidecar/rules"
)

// both runs a test with a client of each protocol, whose connections go to a rig of its own.
func both(t *testing.T, name string, f func(t *testing.T, r *rig, c *http.Client)) {
	t.Run("HTTP/1.1 "+name, func(t *testing.T) {
		r := newRig(t)
		c := r.h2Client()
		c.Transport.(*http.Transport).Protocols.SetUnencryptedHTTP2(false)
		c.Transport.(*http.Transport).Protocols.SetHTTP1(true)
		f(t, r, c)
	})
	t.Run("HTTP/2 "+name, func(t *testing.T) {
		r := newRig(t)
		f(t, r, r.h2Client())
	})
}

// largest answers the largest numbers there are: a wait is as long as it may be.
type largest struct{}

func (largest) Uint64() uint64 { return 1<<64 - 1 }

func either(s *http.Server) { s.Protocols.SetHTTP1(true) }

// A request that every endpoint has failed goes to them once more after a while, where the Service wants that.
func TestBackoff(t *testing.T) {
	short := rules.Backoff{Base: time.Millisecond, Most: 20 * time.Millisecond}
	long := rules.Backoff{Base: time.Minute, Most: time.Minute}
	for _, c := range []struct {
		name     string
		backoff  rules.Backoff
		change   func(*rules.Rules)
		fails    int64 // so many requests are answered with
		status   int   // this, and
		header   [2]string
		post     bool
		want     int   // the client's
		requests int64 // the server sees
	}{
		{name: "not unless the Service asks for it", fails: 1, status: 503, want: 503, requests: 1},
		{name: "once is enough", backoff: short, fails: 1, status: 503, want: 200, requests: 2},
		{name: "as often as retries allow", backoff: short, fails: 9, status: 500, want: 500, requests: 3},
		{name: "retries off", backoff: short, change: func(r *rules.Rules) { r.Retry.Most = 0 }, fails: 9, status: 500, want: 500, requests: 1},
		{name: "the budget is used up", backoff: short, change: func(r *rules.Rules) { r.Retry.Budget = rules.Budget{Burst: 1} }, fails: 9, status: 500,
			want: 500, requests: 2},
		{name: "what may have had an effect is not sent again", backoff: short, post: true, fails: 1, status: 503, want: 503, requests: 1},
		{name: "an endpoint that asks for more time than that is left alone", backoff: short, fails: 1, status: 503, header: [2]string{"Retry-After", "1"},
			want: 503, requests: 1},
		{name: "a wait past the request's time is none", backoff: long, change: func(r *rules.Rules) { r.Timeout = 5 * time.Second },
			fails: 1, status: 503, want: 503, requests: 1},
	} {
		both(t, c.name, func(t *testing.T, r *rig, client *http.Client) {
			var requests atomic.Int64
			s := newH2Server(t, func(w http.ResponseWriter, q *http.Request) {
				io.Copy(io.Discard, q.Body)
				if requests.Add(1) <= c.fails {
					if c.header[0] != "" {
						w.Header().Set(c.header[0], c.header[1])
					}
					w.WriteHeader(c.status)
					io.WriteString(w, "what the endpoint says")
				}
			}, either)
			r.serve(s.addr)
			r.on(func() { r.w.rand = rand.New(largest{}) })
			r.with(func(ru *rules.Rules) {
				ru.Retry.Backoff = c.backoff
				if c.change != nil {
					c.change(ru)
				}
			})
			method := map[bool]string{false: "GET", true: "POST"}[c.post]
			q, _ := http.NewRequest(method, "http://web/", nil)
			res, err := client.Do(q)
			got := body(t, res, err)
			if err == nil && (res.StatusCode != c.want || c.want != 200 && got != "what the endpoint says") || requests.Load() != c.requests {
				t.Errorf("got %d %q and %d requests, want %d and %d", res.StatusCode, got, requests.Load(), c.want, c.requests)
			}
		})
	}
	both(t, "nobody waits while an endpoint is left", func(t *testing.T, r *rig, client *http.Client) {
		bad, good := newH2Server(t, failing(503, "bad"), either), newH2Server(t, named("good"), either)
		r.inOrder(bad.addr, good.addr)
		r.with(func(ru *rules.Rules) { ru.Retry.Backoff = long })
		res, err := client.Get("http://web/")
		if got := body(t, res, err); got != "good" {
			t.Errorf("got %q", got)
		}
	})
	both(t, "endpoints that refuse", func(t *testing.T, r *rig, client *http.Client) {
		r.serve(closedPort(t))
		r.with(func(ru *rules.Rules) { ru.Retry.Backoff = short })
		res, err := client.Post("http://web/", "", strings.NewReader("x"))
		if got := body(t, res, err); err == nil && (res.StatusCode != 503 || !strings.Contains(got, "can be reached")) {
			t.Errorf("got %d %q", res.StatusCode, got)
		}
		// The endpoint and the original destination, three times.
		r.counts("connects failed", 6, func() uint64 { return r.attempts(classify.ConnectFailed) })
	})
	both(t, "a client that waits may leave", func(t *testing.T, r *rig, client *http.Client) {
		r.serve(newH2Server(t, failing(503, "bad"), either).addr)
		r.on(func() { r.w.rand = rand.New(largest{}) })
		r.with(func(ru *rules.Rules) { ru.Retry.Backoff = long })
		waits := func() {
			r.counts("requests wait to be sent again", 1, func() uint64 { return r.service().Retries[classify.ServerError].Load() })
		}
		if client.Transport.(*http.Transport).Protocols.HTTP1() {
			// FIN alone is none: a client may half-close and read on.
			p := r.dial()
			p.send(get)
			waits()
			p.reset()
			return
		}
		ctx, cancel := context.WithCancel(t.Context())
		go func() { waits(); cancel() }()
		q, _ := http.NewRequestWithContext(ctx, "GET", "http://web/", nil)
		if _, err := client.Do(q); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}

// gRPC's word for how long to wait is heeded: gRFC A6.
func TestBackoffAsTheEndpointSays(t *testing.T) {
	for pushback, want := range map[string]string{"5": "0", "60000": "14", "-1": "14"} {
		t.Run(pushback, func(t *testing.T) {
			var calls atomic.Int64
			s := newH2Server(t, func(w http.ResponseWriter, q *http.Request) {
				io.Copy(io.Discard, q.Body)
				w.Header().Set("Content-Type", "application/grpc")
				if status := "14"; calls.Add(1) == 1 {
					w.Header().Set("Grpc-Retry-Pushback-Ms", pushback)
					w.Header().Set("Grpc-Status", status)
					return
				}
				w.Header().Set("Grpc-Status", "0")
			})
			r := newRig(t)
			r.serve(s.addr)
			r.with(func(ru *rules.Rules) {
				ru.Retry.Backoff, ru.Retry.IdempotencyKey = rules.Backoff{Base: time.Millisecond, Most: 10 * time.Second}, true
			})
			q, _ := http.NewRequest("POST", "http://web/pkg.Service/Method", strings.NewReader("\x00\x00\x00\x00\x00"))
			q.Header.Set("Content-Type", "application/grpc")
			q.Header.Set("Idempotency-Key", "1")
			res, err := r.h2Client().Do(q)
			body(t, res, err)
			if got := res.Header.Get("Grpc-Status"); got != want {
				t.Errorf("got grpc-status %s behind %d calls, want %s", got, calls.Load(), want)
			}
		})
	}
}

// pickUntil picks an endpoint until nobody is left.
type pickUntil struct {
	ep     *cluster.Endpoint
	nobody *atomic.Bool
}

func (p pickUntil) Pick(r *balancer.Request) *cluster.Endpoint {
	if p.nobody.Load() || slices.Contains(r.Tried, p.ep) {
		return nil
	}
	return p.ep
}

// An answer to a request that has not gone out whole is what the client gets, when there is nobody to ask once the wait is over.
func TestBackoffBehindWhichThereIsNobody(t *testing.T) {
	r := newRig(t)
	var nobody atomic.Bool
	bad := newH2Server(t, func(w http.ResponseWriter, q *http.Request) {
		nobody.Store(true)
		http.Error(w, "sorry", http.StatusServiceUnavailable)
	})
	eps := r.eps(bad.addr)
	r.target.Publish(&discovery.Snapshot{Set: &cluster.EndpointSet{Endpoints: eps}, Picker: pickUntil{eps[0], &nobody}})
	r.with(func(ru *rules.Rules) {
		ru.Retry.Backoff = rules.Backoff{Base: time.Millisecond, Most: time.Millisecond}
	})
	in, out := io.Pipe()
	defer out.Close()
	go io.WriteString(out, "half of it")
	q, _ := http.NewRequest("PUT", "http://web/", in)
	res, err := r.h2Client().Do(q)
	if got := body(t, res, err); err == nil && (res.StatusCode != 503 || got != "sorry\n") {
		t.Errorf("got %d %q", res.StatusCode, got)
	}
	r.counts("requests waited to be sent again", 1, func() uint64 { return r.service().Retries[classify.ServerError].Load() })
}

// Each endpoint is left alone for as long as it has asked, also where it was not the last one to answer.
func TestBackoffLeavesEachEndpointAloneForAsLongAsItAsks(t *testing.T) {
	for asked, least := range map[string]time.Duration{"60": 0, "1": time.Second} {
		both(t, "Retry-After: "+asked, func(t *testing.T, r *rig, client *http.Client) {
			var first, second atomic.Int64
			began := time.Now()
			busy := newH2Server(t, func(w http.ResponseWriter, q *http.Request) {
				if first.Add(1) == 1 {
					w.Header().Set("Retry-After", asked)
					w.WriteHeader(503)
				} else if d := time.Since(began); d < time.Second || asked == "60" {
					t.Errorf("the first endpoint was asked again after %v", d)
				}
			}, either)
			plain := newH2Server(t, func(w http.ResponseWriter, q *http.Request) {
				if second.Add(1); least > 0 || second.Load() == 1 {
					w.WriteHeader(503)
				}
			}, either)
			r.inOrder(busy.addr, plain.addr)
			r.on(func() { r.w.rand = rand.New(largest{}) })
			r.with(func(ru *rules.Rules) {
				ru.Retry.Backoff = rules.Backoff{Base: 300 * time.Millisecond, Most: 5 * time.Second}
				ru.Retry.Most = 10
			})
			res, err := client.Get("http://web/")
			if got := body(t, res, err); err == nil && res.StatusCode != 200 {
				t.Errorf("got %d %q", res.StatusCode, got)
			}
			if n := second.Load(); n < 2 {
				t.Errorf("%d requests to the endpoint that asks for nothing", n)
			}
		})
	}
}
