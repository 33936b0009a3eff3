package proxy

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/classify"
)

// A Service whose answers take long by nature is raced until that is known of it, and no longer, whichever attempt its times are known from.
func TestASlowServiceIsRacedNoMoreOnceItIsKnown(t *testing.T) {
	protocols(t, func(t *testing.T, client func(r *rig) *http.Client) {
		r := newRig(t)
		r.target.HTTP2.Store(true)
		never, _ := hanging(t, named("never"))
		slow := newH2Server(t, func(w http.ResponseWriter, q *http.Request) {
			time.Sleep(60 * time.Millisecond)
			named("slow")(w, q)
		}, either)
		r.ruled(quickRace, r.eps(slow.addr, newH2Server(t, never, either).addr)...)
		c := client(r)
		get := func() {
			if status, text, _ := ask(t, c, "GET", "/", ""); status != 200 || text != "slow" {
				t.Errorf("got %d %q", status, text)
			}
		}
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				for range 10 {
					get()
				}
			})
		}
		all.Wait()
		races := r.service().Retries[classify.LostRace].Load()
		if races == 0 {
			t.Error("none was raced while nothing was known")
		}
		for range 5 {
			get()
		}
		if n := r.service().Retries[classify.LostRace].Load() - races; n != 0 {
			t.Errorf("%d of 5 were raced behind a hundred answers that took as long", n)
		}
		c.CloseIdleConnections()
	})
}
