package proxy

import (
	"net/http"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/rules"
)

// The end of a request's time during a race speaks against the endpoint that was asked first, as it would without the race, and against the rival's
// only where that has had so long that it hangs.
func TestTheEndOfARequestsTimeSpeaksAgainstWhoHasHadThatLong(t *testing.T) {
	const whole = 600 * time.Millisecond
	for name, c := range map[string]struct {
		change        func(*rules.Rules)
		first, second uint16
	}{
		"the rival has had less than it takes to hang": {func(ru *rules.Rules) { ru.HangRace.Floor = 400 * time.Millisecond }, 1, 0},
		"both have had as long":                        {func(ru *rules.Rules) { ru.HangRace.Floor = 100 * time.Millisecond }, 1, 1},
		"the Service hedges, and nothing hangs":        {func(ru *rules.Rules) { ru.HangRace.On, ru.Hedge = false, 100*time.Millisecond }, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			protocols(t, func(t *testing.T, client func(r *rig) *http.Client) {
				r := newRig(t)
				r.target.HTTP2.Store(true)
				h, _ := hanging(t, named("never"))
				eps := r.eps(newH2Server(t, h, either).addr, newH2Server(t, h, either).addr)
				r.ruled(func(ru *rules.Rules) { ru.Timeout = whole; c.change(ru) }, eps...)
				cl := client(r)
				if status, _, _ := ask(t, cl, "GET", "/", ""); status != 504 {
					t.Errorf("got %d", status)
				}
				cl.CloseIdleConnections()
				r.eventually("both attempts to end", func() (ended bool) {
					r.on(func() { ended = eps[0].Load[0].InFlight+eps[1].Load[0].InFlight == 0 })
					return ended
				})
				r.on(func() {
					if a, b := eps[0].Load[0].Bad, eps[1].Load[0].Bad; a != c.first || b != c.second {
						t.Errorf("%d held against the first, and %d against the rival, want %d and %d", a, b, c.first, c.second)
					}
				})
			})
		})
	}
}
