package proxy

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/classify"
	"github.com/sluice-mesh/sluice/sidecar/rules"
)

// Where the endpoint that was raced fails in the end, its rival's error is better than none.
func TestAnErrorOfARivalIsBetterThanNone(t *testing.T) {
	r, silent, second := newRig(t), newOrigin(t), newH2Server(t, failing(503, "sorry"))
	r.inOrder(silent.addr, second.addr)
	r.with(func(r *rules.Rules) { r.HangRace.Floor = 30 * time.Millisecond })
	go func() {
		s := silent.accept()
		rival := r.eps(second.addr)[0]
		r.eventually("the rival's answer", func() (ok bool) { r.on(func() { ok = rival.Load[0].Bad == 1 }); return ok })
		s.close()
	}()
	res, err := r.h2Client().Get("http://web/")
	if got := body(t, res, err); res == nil || res.StatusCode != 503 || got != "sorry" {
		t.Errorf("got %v %q, want the rival's 503", res, got)
	}
	r.counts("attempts that were answered", 1, func() uint64 { return r.attempts(classify.Answered) })
	r.counts("attempts that were cut", 1, func() uint64 { return r.attempts(classify.Cut) })
}

// What is dropped unanswered was not answered, in a race too.
func TestARaceThatNobodyWins(t *testing.T) {
	none := func(r *rig, o classify.Outcome) {
		r.t.Helper()
		r.counts("attempts that ended so", 2, func() uint64 { return r.attempts(o) })
		r.counts("attempts that were answered, or lost", 0, func() uint64 { return r.attempts(classify.Answered) + r.attempts(classify.LostRace) })
	}
	t.Run("HTTP/2, the request's time is over", func(t *testing.T) {
		h, _ := hanging(t, named("never"))
		a, b := newH2Server(t, h), newH2Server(t, h)
		r := newRig(t)
		r.inOrder(a.addr, b.addr)
		r.with(func(r *rules.Rules) { r.HangRace.Floor, r.Timeout = 10*time.Millisecond, time.Second })
		res, err := r.h2Client().Get("http://web/")
		if body(t, res, err); res == nil || res.StatusCode != 504 {
			t.Errorf("got %v, want 504", res)
		}
		none(r, classify.TimedOut)
	})
	t.Run("HTTP/2, the client is gone", func(t *testing.T) {
		h, _ := hanging(t, named("never"))
		began := make(chan bool, 1)
		a, b := newH2Server(t, h), newH2Server(t, func(w http.ResponseWriter, q *http.Request) { began <- true; h(w, q) })
		r := newRig(t)
		r.inOrder(a.addr, b.addr)
		r.with(func(r *rules.Rules) { r.HangRace.Floor = 10 * time.Millisecond })
		ctx, cancel := context.WithCancel(t.Context())
		go func() { <-began; cancel() }()
		q, _ := http.NewRequestWithContext(ctx, "GET", "http://web/", nil)
		if res, err := r.h2Client().Do(q); err == nil {
			t.Errorf("got %v", res)
		}
		none(r, classify.ClientGone)
	})
	t.Run("HTTP/1.1, the request's time is over", func(t *testing.T) {
		r, client, _, rest := racing(t, get, 1, func(r *rules.Rules) { quickRace(r); r.Timeout = time.Second })
		s := rest[0].accept()
		s.expect(get, "the request")
		if got := client.expectHead("the time is over"); !strings.HasPrefix(got, "HTTP/1.1 504") {
			t.Errorf("got %q", got)
		}
		none(r, classify.TimedOut)
	})
	t.Run("HTTP/1.1, the client is gone", func(t *testing.T) {
		r, client, _, rest := racing(t, get, 1, quickRace)
		s := rest[0].accept()
		s.expect(get, "the request")
		client.reset()
		none(r, classify.ClientGone)
	})
}
