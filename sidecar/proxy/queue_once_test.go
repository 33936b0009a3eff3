package proxy

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/classify"
	"github.com/sluice-mesh/sluice/sidecar/rules"
)

// A request that has found room, and has to wait once more since it got nowhere with it, has waited already.
func TestARequestWaitsForRoomNoLongerInAllThanItMay(t *testing.T) {
	protocols(t, func(t *testing.T, client func(r *rig) *http.Client) {
		r := newRig(t)
		r.inOrder(closedPort(t), newH2Server(t, named("full"), either).addr)
		r.with(func(ru *rules.Rules) { ru.Limits.Requests, ru.Limits.Queue = 1, 600*time.Millisecond })
		eps := r.target.Snapshot().Set.Endpoints
		for _, ep := range eps {
			ep.Places.Take(1)
		}
		defer eps[1].Places.Give()
		time.AfterFunc(400*time.Millisecond, eps[0].Places.Give)
		began := time.Now()
		res, err := client(r).Get("http://web/")
		text := body(t, res, err)
		if d := time.Since(began); d > 900*time.Millisecond || d < 600*time.Millisecond {
			t.Errorf("it waited %v", d)
		}
		if err == nil && (res.StatusCode != 503 || !strings.Contains(text, "this one has waited 600ms (sluice.mesh/queue-timeout)")) {
			t.Errorf("got %d %q", res.StatusCode, text)
		}
		r.counts("connects failed", 1, func() uint64 { return r.attempts(classify.ConnectFailed) })
	})
}

// So has one that had to wait for its turn before.
func TestATurnIsPartOfTheWaitForRoom(t *testing.T) {
	protocols(t, func(t *testing.T, client func(r *rig) *http.Client) {
		p := newPods(t, 1, func(ru *rules.Rules) {
			serialized(ru)
			ru.Limits.Requests, ru.Limits.Queue = 1, 600*time.Millisecond
		})
		ep := p.r.target.Snapshot().Set.Endpoints[0]
		gate, begun := make(chan bool), make(chan bool, 1)
		p.does(func(pod int, w http.ResponseWriter, q *http.Request) {
			begun <- true
			<-gate
			ep.Places.Take(2) // before the place of this one is free again
			io.WriteString(w, "")
		})
		cl := client(p.r)
		first := make(chan bool)
		go func() {
			defer close(first)
			ask(t, cl, "POST", "/", "x", "account: a")
		}()
		got(t, begun, "the first request")
		time.AfterFunc(400*time.Millisecond, func() { close(gate) })
		began := time.Now()
		status, text, _ := ask(t, cl, "POST", "/", "x", "account: a")
		if d := time.Since(began); d > 900*time.Millisecond {
			t.Errorf("it waited %v", d)
		}
		if status != 503 || !strings.Contains(text, "this one has waited 600ms (sluice.mesh/queue-timeout)") {
			t.Errorf("got %d %q", status, text)
		}
		got(t, first, "the first answer")
		ep.Places.Give()
		cl.CloseIdleConnections()
	})
}
