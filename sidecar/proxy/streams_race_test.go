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

// Whatever came of the attempts before, one that hangs is raced.
func TestAStreamIsRacedMoreThanOnce(t *testing.T) {
	race := func(r *rules.Rules) { r.HangRace.Floor = 30 * time.Millisecond }
	ask := func(t *testing.T, r *rig) {
		c := r.h2Client()
		c.Timeout = patience
		res, err := c.Get("http://web/")
		if got := body(t, res, err); got != "good" {
			t.Errorf("got %q", got)
		}
	}
	t.Run("behind an error", func(t *testing.T) {
		h, _ := hanging(t, named("never"))
		bad, hung, good := newH2Server(t, failing(503, "no")), newH2Server(t, h), newH2Server(t, named("good"))
		r := newRig(t)
		r.inOrder(bad.addr, hung.addr, good.addr)
		r.with(race)
		ask(t, r)
		r.counts("races won by the second attempt", 1, r.service().Races[1].Load)
	})
	t.Run("behind an attempt that was raced and failed", func(t *testing.T) {
		h, _ := hanging(t, named("never"))
		o, hung, good := newOrigin(t), newH2Server(t, h), newH2Server(t, named("good"))
		r := newRig(t)
		r.inOrder(o.addr, hung.addr, good.addr)
		r.with(race)
		go func() {
			s := o.accept()
			r.eventually("the race", func() bool { return r.service().Retries[classify.LostRace].Load() == 1 })
			s.close()
		}()
		ask(t, r)
	})
	t.Run("behind an attempt that was raced and answered an error", func(t *testing.T) {
		h, _ := hanging(t, named("never"))
		gate := make(chan bool)
		late := newH2Server(t, func(w http.ResponseWriter, q *http.Request) { io.Copy(io.Discard, q.Body); <-gate; w.WriteHeader(503) })
		hung, good := newH2Server(t, h), newH2Server(t, named("good"))
		r := newRig(t)
		r.inOrder(late.addr, hung.addr, good.addr)
		r.with(race)
		go func() {
			r.eventually("the race", func() bool { return r.service().Retries[classify.LostRace].Load() == 1 })
			close(gate)
		}()
		ask(t, r)
	})
}

func TestAStreamThatHangsIsRaced(t *testing.T) {
	race := func(r *rules.Rules) { r.HangRace.Floor = 30 * time.Millisecond }
	t.Run("the other endpoint answers first", func(t *testing.T) {
		h, _ := hanging(t, named("late"))
		hung, good := newH2Server(t, h), newH2Server(t, named("good"))
		r := newRig(t)
		r.inOrder(hung.addr, good.addr)
		r.with(race)
		c := r.h2Client()
		for range 3 {
			res, err := c.Get("http://web/")
			if got := body(t, res, err); got != "good" {
				t.Errorf("got %q", got)
			}
		}
		r.counts("races won by the second attempt", 3, r.service().Races[1].Load)
		r.counts("attempts that lost", 3, func() uint64 { return r.attempts(classify.LostRace) })
	})
	t.Run("the first one answers after all: a slow answer is not cut off", func(t *testing.T) {
		long := strings.Repeat("x", 200_000)
		h, release := hanging(t, named(long))
		began := make(chan bool, 1)
		other, _ := hanging(t, named("never"))
		slow, hung := newH2Server(t, h), newH2Server(t, func(w http.ResponseWriter, q *http.Request) { began <- true; other(w, q) })
		r := newRig(t)
		r.inOrder(slow.addr, hung.addr)
		r.with(race)
		go func() { <-began; release() }()
		res, err := r.h2Client().Get("http://web/")
		if got := body(t, res, err); got != long {
			t.Errorf("got %d bytes", len(got))
		}
		r.counts("races won by the first attempt", 1, r.service().Races[0].Load)
	})
	t.Run("the second one fails: the first goes on alone", func(t *testing.T) {
		h, release := hanging(t, named("slow"))
		slow, o := newH2Server(t, h), newOrigin(t)
		r := newRig(t)
		r.inOrder(slow.addr, o.addr)
		r.with(race)
		go func() {
			s := o.accept()
			s.c.Read(make([]byte, 1000))
			s.close()
			time.Sleep(50 * time.Millisecond)
			release()
		}()
		res, err := r.h2Client().Get("http://web/")
		if got := body(t, res, err); got != "slow" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("the first one fails: the second goes on alone", func(t *testing.T) {
		h, release := hanging(t, named("second"))
		o, second := newOrigin(t), newH2Server(t, h)
		r := newRig(t)
		r.inOrder(o.addr, second.addr)
		r.with(race)
		go func() {
			s := o.accept()
			r.eventually("the race", func() bool { return r.service().Retries[classify.LostRace].Load() == 1 })
			s.close()
			time.Sleep(20 * time.Millisecond)
			release()
		}()
		res, err := r.h2Client().Get("http://web/")
		if got := body(t, res, err); got != "second" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("a POST is not raced", func(t *testing.T) {
		h, release := hanging(t, named("first"))
		slow, good := newH2Server(t, h), newH2Server(t, named("good"))
		r := newRig(t)
		r.inOrder(slow.addr, good.addr)
		r.with(race)
		time.AfterFunc(100*time.Millisecond, release)
		res, err := r.h2Client().Post("http://web/", "", strings.NewReader("x"))
		if got := body(t, res, err); got != "first" {
			t.Errorf("got %q", got)
		}
	})
}
