package proxy

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/rules"
)

// An attempt that nobody may race now costs no pick each time it is asked about: a pick moves what pickers know, and takes a place.
func TestNobodyIsPickedForARaceThatCannotBe(t *testing.T) {
	for name, c := range map[string]struct {
		others  int
		change  func(*rules.Rules)
		refused int // once for the attempt, however often it is asked about
	}{
		"there is no other endpoint": {0, func(*rules.Rules) {}, 0},
		"the budget is used up":      {1, func(ru *rules.Rules) { ru.Retry.Budget = rules.Budget{} }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			protocols(t, func(t *testing.T, client func(r *rig) *http.Client) {
				r := newRig(t)
				r.target.HTTP2.Store(true)
				h, release := hanging(t, named("late"))
				eps := r.eps(newH2Server(t, h, either).addr)
				if c.others > 0 {
					eps = append(eps, r.eps(newH2Server(t, named("other"), either).addr)...)
				}
				r.ruled(func(ru *rules.Rules) { quickRace(ru); c.change(ru) }, eps...)
				var picks atomic.Int64
				also := *r.target.Snapshot()
				also.Picker = pickBefore{also.Picker, func() { picks.Add(1) }}
				r.target.Publish(&also)
				time.AfterFunc(400*time.Millisecond, release) // times to a race go by
				cl := client(r)
				if status, text, _ := ask(t, cl, "GET", "/", ""); status != 200 || text != "late" {
					t.Errorf("got %d %q", status, text)
				}
				if n := picks.Load(); n != 1 {
					t.Errorf("%d picks, want the request's own alone", n)
				}
				if n := r.service().Refused.Load(); n != uint64(c.refused) {
					t.Errorf("%d retries refused, want %d", n, c.refused)
				}
				cl.CloseIdleConnections()
			})
		})
	}
}

// It is asked about once a second where somebody may race it before long, and else every 10 s.
func TestALongAttemptIsAskedAboutSeldomWhereItIsAlone(t *testing.T) {
	r := newRig(t)
	eps := r.eps(closedPort(t), closedPort(t))
	for name, c := range map[string]struct {
		eps   int
		tried bool // the second
		took  time.Duration
		want  time.Duration
	}{
		"two endpoints":                         {2, false, time.Minute, time.Second},
		"two endpoints, the other was tried":    {2, true, time.Minute, 10 * time.Second},
		"one endpoint":                          {1, false, time.Minute, 10 * time.Second},
		"one endpoint, and it is not long yet":  {1, false, 3 * time.Second, 3 * time.Second},
		"two endpoints, and it is not long yet": {2, false, 500 * time.Millisecond, 500 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			r.ruled(quickRace, eps[:c.eps]...)
			var d time.Duration
			r.on(func() {
				q := &request{route: r.w.newRoute(r.target, clusterIP), rules: r.target.Snapshot().Rules}
				if c.tried {
					q.failed(eps[1], true)
				}
				now := r.l.Now()
				d = time.Duration(q.later(eps[0], now-int64(c.took)) - now)
			})
			if d < c.want || d > c.want+look {
				t.Errorf("asked about again in %v, want %v", d, c.want)
			}
		})
	}
}
