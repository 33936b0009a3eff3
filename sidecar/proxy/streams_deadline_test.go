package proxy

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/rules"
)

// A caller that says how long it waits gets an answer by then, also where it does not look at the clock itself; the endpoint sees the call
// cancelled, and nothing is held against it.
func TestTheTimeThatAGRPCCallerAllows(t *testing.T) {
	gone := make(chan bool, 10)
	hung := newH2Server(t, func(w http.ResponseWriter, q *http.Request) {
		<-q.Context().Done()
		gone <- true
	})
	for _, c := range []struct {
		name, kind, timeout string
		rule                time.Duration
		status              int
		says                string // in the answer, or in grpc-message
	}{
		{"the Service sets none", "application/grpc", "30m", 0, 200, "grpc-timeout"},
		{"the Service's is longer", "application/grpc+proto", "30m", time.Hour, 200, "grpc-timeout"},
		{"the Service's is shorter", "application/grpc", "1H", 30 * time.Millisecond, 200, "sluice.mesh/timeout"},
		{"it is over at once", "application/grpc", "0n", 0, 200, "grpc-timeout"},
		{"it is beyond all clocks", "application/grpc", "99999999H", 30 * time.Millisecond, 200, "sluice.mesh/timeout"},
		{"no call of gRPC", "text/plain", "1n", 30 * time.Millisecond, 504, "sluice.mesh/timeout"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			r.inOrder(hung.addr)
			r.with(func(r *rules.Rules) { r.HangRace.On, r.Timeout = false, c.rule })
			q, _ := http.NewRequest("POST", "http://web/pkg.Service/Method", strings.NewReader("\x00\x00\x00\x00\x00"))
			q.Header.Set("Content-Type", c.kind)
			q.Header.Set("Grpc-Timeout", c.timeout)
			res, err := r.h2Client().Do(q)
			said := body(t, res, err)
			if err != nil {
				return
			}
			if c.status == 200 {
				said = res.Header.Get("Grpc-Message")
				if s := res.Header.Get("Grpc-Status"); s != "4" {
					t.Errorf("grpc-status %q, want 4, DEADLINE_EXCEEDED", s)
				}
			}
			if res.StatusCode != c.status || !strings.Contains(said, c.says) {
				t.Errorf("got %d %q, want %d and a word of %s", res.StatusCode, said, c.status, c.says)
			}
			if c.timeout != "0n" { // which is over before there is a connection
				<-gone
			}
			if n := r.service().Ejections.Load(); n != 0 {
				t.Errorf("%d ejections", n)
			}
		})
	}
}

func TestStreamsTimeOut(t *testing.T) {
	h, _ := hanging(t, named("late"))
	hung, good := newH2Server(t, h), newH2Server(t, named("good"))
	r := newRig(t)
	r.inOrder(hung.addr, good.addr)
	r.with(func(r *rules.Rules) { r.HangRace.On, r.PerTryTimeout = false, 30*time.Millisecond })
	c := r.h2Client()
	res, err := c.Get("http://web/")
	if got := body(t, res, err); got != "good" {
		t.Errorf("GET got %q", got)
	}
	res, err = c.Post("http://web/", "", strings.NewReader("x"))
	if got := body(t, res, err); res.StatusCode != 504 || !strings.Contains(got, "sluice.mesh/per-try-timeout") {
		t.Errorf("POST got %d %q", res.StatusCode, got)
	}
	r.inOrder(hung.addr)
	r.with(func(r *rules.Rules) { r.HangRace.On, r.Timeout = false, 30*time.Millisecond })
	res, err = c.Get("http://web/")
	if got := body(t, res, err); res.StatusCode != 504 || !strings.Contains(got, "sluice.mesh/timeout") {
		t.Errorf("GET got %d %q", res.StatusCode, got)
	}
	r.counts("calls of which something is due", 0, func() (n uint64) {
		r.on(func() {
			for c := r.w.times.first; c != nil; c = c.timed.after {
				n++
			}
		})
		return n
	})
}
