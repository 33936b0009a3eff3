package proxy

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/rules"
)

// eachTimeout runs f with either timeout, and with endpoints that are ejected for a single failure.
func eachTimeout(t *testing.T, f func(t *testing.T, change func(*rules.Rules), n int)) {
	for n, name := range []string{"per-try-timeout", "timeout"} {
		t.Run(name, func(t *testing.T) {
			f(t, func(ru *rules.Rules) {
				ru.HangRace.On, ru.Ejection.Errors = false, 1
				if n == 0 {
					ru.PerTryTimeout = 30 * time.Millisecond
				} else {
					ru.Timeout = 30 * time.Millisecond
				}
			}, n)
		})
	}
}

// The time that a client takes to send its request says nothing of the endpoint.
func TestATimeoutOfASlowUploadEjectsNobody(t *testing.T) {
	eachTimeout(t, func(t *testing.T, change func(*rules.Rules), n int) {
		t.Run("HTTP/1.1", func(t *testing.T) {
			for _, head := range []string{"Content-Length: 100\r\n\r\nsome", "Content-Length: 10000000\r\n\r\nsome", "Transfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n"} {
				a, b := newOrigin(t), newOrigin(t)
				r := newRig(t)
				r.ruled(change, r.eps(a.addr, b.addr)...)
				c := r.dial()
				c.send("POST / HTTP/1.1\r\nHost: web\r\n" + head)
				if got := c.rest(); !strings.HasPrefix(got, "HTTP/1.1 504 ") {
					t.Errorf("%q: got %q", head, got)
				}
				r.counts("timeouts", 1, r.service().Timeouts[n].Load)
				r.counts("ejections", 0, r.service().Ejections.Load)
			}
		})
		t.Run("HTTP/2", func(t *testing.T) {
			h, _ := hanging(t, named("late"))
			a, b := newH2Server(t, h), newH2Server(t, h)
			r := newRig(t)
			r.serve(a.addr, b.addr)
			r.with(change)
			in, out := io.Pipe()
			defer out.Close()
			res, err := r.h2Client().Post("http://web/", "", in)
			if got := body(t, res, err); res.StatusCode != 504 {
				t.Errorf("got %d %q", res.StatusCode, got)
			}
			r.counts("timeouts", 1, r.service().Timeouts[n].Load)
			r.counts("ejections", 0, r.service().Ejections.Load)
		})
	})
}

// An endpoint that does not take what the client sends, or says nothing to the whole of it, is to blame.
func TestATimeoutOfAnUploadThatTheEndpointHoldsUpEjectsIt(t *testing.T) {
	eachTimeout(t, func(t *testing.T, change func(*rules.Rules), n int) {
		for name, request := range map[string]struct {
			head string
			body int
		}{
			"nothing is taken":          {"Content-Length: 1000000000\r\n\r\n", 1e9},
			"nothing is said":           {"Content-Length: 500000\r\n\r\n", 5e5}, // more than is kept
			"100 (Continue) is awaited": {"Content-Length: 4\r\nExpect: 100-continue\r\n\r\n", 0},
		} {
			t.Run(name, func(t *testing.T) {
				a, b := newOrigin(t), newOrigin(t)
				r := newRig(t)
				r.ruled(change, r.eps(a.addr, b.addr)...)
				r.eventually("an ejection", func() bool { // until the time was enough to send so much
					c := r.dial()
					defer c.close()
					go func() {
						io.WriteString(c.c, "POST / HTTP/1.1\r\nHost: web\r\n"+request.head)
						io.CopyN(c.c, zeros{}, int64(request.body))
					}()
					io.ReadAll(c.c)
					return r.service().Ejections.Load() > 0
				})
			})
		}
	})
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }
