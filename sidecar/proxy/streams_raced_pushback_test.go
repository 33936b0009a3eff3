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

// Of two attempts that race, one fails and says that there is to be no further one, and then the other fails. There is no third: gRFC A6. How long
// an endpoint asks to be left alone holds as ever.
func TestAnEndpointThatPushesBackInARace(t *testing.T) {
	for _, c := range []struct {
		name, pushback, want string
		byRival              bool
		thirds               int64
		out                  time.Duration // of who pushes back, at least
	}{
		{"not at all, says the first one", "-1", "14", false, 0, time.Second},
		{"not at all, says its rival", "-1", "14", true, 0, time.Second},
		{"later, says the first one", "30000", "0", false, 1, 30 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			status := func(w http.ResponseWriter, s string) {
				w.Header().Set("Content-Type", "application/grpc")
				w.Header().Set("Grpc-Status", s)
			}
			r := newRig(t)
			s := r.service()
			pushes := newH2Server(t, func(w http.ResponseWriter, q *http.Request) {
				io.Copy(io.Discard, q.Body)
				r.eventually("the race", func() bool { return s.Retries[classify.LostRace].Load() == 1 })
				w.Header().Set("Grpc-Retry-Pushback-Ms", c.pushback)
				status(w, "14")
			})
			fails := newH2Server(t, func(w http.ResponseWriter, q *http.Request) {
				io.Copy(io.Discard, q.Body)
				r.eventually("the other answer", func() bool { return s.Ejections.Load() == 1 })
				time.Sleep(20 * time.Millisecond)
				status(w, "14")
			})
			first, rival := pushes, fails
			if c.byRival {
				first, rival = fails, pushes
			}
			var thirds atomic.Int64
			third := newH2Server(t, func(w http.ResponseWriter, q *http.Request) {
				thirds.Add(1)
				status(w, "0")
			})
			r.inOrder(first.addr, rival.addr, third.addr)
			r.with(func(ru *rules.Rules) {
				ru.Retry.IdempotencyKey, ru.Ejection.Errors, ru.HangRace.Floor = true, 1, 30*time.Millisecond
			})
			q, _ := http.NewRequest("POST", "http://web/pkg.Service/Method", strings.NewReader("\x00\x00\x00\x00\x00"))
			q.Header.Set("Content-Type", "application/grpc")
			q.Header.Set("Idempotency-Key", "1")
			res, err := r.h2Client().Do(q)
			body(t, res, err)
			if err == nil && res.Header.Get("Grpc-Status") != c.want || thirds.Load() != c.thirds {
				t.Errorf("got grpc-status %s and %d calls of the third endpoint, want %s and %d", res.Header.Get("Grpc-Status"), thirds.Load(), c.want, c.thirds)
			}
			r.isOut(pushes, c.out)
		})
	}
}
