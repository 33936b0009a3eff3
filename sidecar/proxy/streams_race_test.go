package proxy

import (
	"io"
	"net/http"
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
