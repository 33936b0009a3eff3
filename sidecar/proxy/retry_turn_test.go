package proxy

import (
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/sluice-mesh/sluice/sidecar/balancer"
	"github.com/sluice-mesh/sluice/sidecar/cluster"
	"github.com/sluice-mesh/sluice/sidecar/rules"
)

// A request that may not be sent again costs no pick: it would take the turn of an endpoint that gets nothing, and where every second pick is one of
// these, all requests would go to the bad one of two.
func TestWhatMayNotBeSentAgainTakesNobodysTurn(t *testing.T) {
	const n = 20
	for name, c := range map[string]struct {
		change  func(*rules.Rules)
		refused int
	}{
		"no retries":            {func(ru *rules.Rules) { ru.Retry.Most = 0 }, 0},
		"the budget is used up": {func(ru *rules.Rules) { ru.Retry.Budget = rules.Budget{} }, n / 2},
	} {
		for _, policy := range []string{balancer.RoundRobin, balancer.LeastRequest} {
			t.Run(name+", "+policy, func(t *testing.T) {
				protocols(t, func(t *testing.T, client func(r *rig) *http.Client) {
					r := newRig(t)
					r.target.HTTP2.Store(true)
					var got [2]atomic.Int64
					server := func(i int, h http.HandlerFunc) *cluster.Endpoint {
						s := newH2Server(t, func(w http.ResponseWriter, q *http.Request) { got[i].Add(1); h(w, q) }, either)
						return r.eps(s.addr)[0]
					}
					r.target.Publish(snapshot(t, 2, cluster.Undeclared, policy, server(0, failing(500, "bad")), server(1, named("good"))))
					r.with(func(ru *rules.Rules) { c.change(ru); ru.Ejection.On = false })
					cl := client(r)
					for range n {
						ask(t, cl, "GET", "/", "")
					}
					if bad, good := got[0].Load(), got[1].Load(); bad != n/2 || good != n/2 {
						t.Errorf("%d requests went to the bad one, and %d to the good one, of %d", bad, good, n)
					}
					r.counts("retries refused", c.refused, r.service().Refused.Load)
					cl.CloseIdleConnections()
				})
			})
		}
	}
}

// The budget refuses nothing where there is nobody else to ask.
func TestTheBudgetRefusesNothingToAnEndpointThatIsAlone(t *testing.T) {
	protocols(t, func(t *testing.T, client func(r *rig) *http.Client) {
		r := newRig(t)
		r.target.HTTP2.Store(true)
		r.ruled(func(ru *rules.Rules) { ru.Retry.Budget = rules.Budget{} }, r.eps(newH2Server(t, failing(500, "bad"), either).addr)...)
		cl := client(r)
		for range 3 {
			if status, text, _ := ask(t, cl, "GET", "/", ""); status != 500 || text != "bad" {
				t.Errorf("got %d %q", status, text)
			}
		}
		r.counts("retries refused", 0, r.service().Refused.Load)
		cl.CloseIdleConnections()
	})
}
