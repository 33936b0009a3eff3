package proxy

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/explanation"
	"github.com/sluice-mesh/sluice/sidecar/metrics"
	"github.com/sluice-mesh/sluice/sidecar/rules"
)

// An explanation, and the access log, say how the attempt came about that has answered, wherever the request was sent, or not sent after all,
// behind it. Counted is each attempt, and no pick that came to nothing.
func TestWhatIsSaidOfAKeyIsSaidOfTheAttemptThatAnswered(t *testing.T) {
	const byOwner, byNext = "; owner=web-0; to=owner", "; owner=web-0; to=failover; reason=owner was tried"
	fails := func(w http.ResponseWriter) { w.WriteHeader(503) }
	for _, c := range []struct {
		name        string
		pods        int
		change      func(*rules.Rules)
		owner, next func(w http.ResponseWriter) // what they do; nil of the next is that nobody listens there
		status      int
		want        string
		to          [2]int // attempts at the owner, and past it
	}{
		{name: "the next one answers", pods: 2, owner: fails, next: func(http.ResponseWriter) {}, status: 200, want: byNext, to: [2]int{1, 1}},
		{name: "nobody else is there", pods: 1, owner: fails, status: 503, want: byOwner, to: [2]int{1, 0}},
		{name: "nobody else can be connected to", pods: 2, owner: fails, status: 503, want: byOwner, to: [2]int{1, 1}},
		{name: "nobody else may be asked", pods: 2, change: func(r *rules.Rules) { r.Retry.Most = 0 }, owner: fails, next: func(http.ResponseWriter) {},
			status: 503, want: byOwner, to: [2]int{1, 0}},
		{name: "the owner wins a race", pods: 2, change: quickRace, owner: func(http.ResponseWriter) { time.Sleep(300 * time.Millisecond) },
			next: func(http.ResponseWriter) { time.Sleep(time.Second) }, status: 200, want: byOwner, to: [2]int{1, 1}},
		{name: "the owner loses a race", pods: 2, change: quickRace, owner: func(http.ResponseWriter) { time.Sleep(time.Second) },
			next: func(http.ResponseWriter) {}, status: 200, want: byNext, to: [2]int{1, 1}},
		{name: "a race that may not be", pods: 2, change: func(r *rules.Rules) { quickRace(r); r.Retry.Most = 0 },
			owner: func(http.ResponseWriter) { time.Sleep(100 * time.Millisecond) }, next: func(http.ResponseWriter) {}, status: 200, want: byOwner, to: [2]int{1, 0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			protocols(t, func(t *testing.T, client func(r *rig) *http.Client) {
				var out bytes.Buffer
				log := NewAccessLog(&out)
				p := newPods(t, c.pods, func(r *rules.Rules) {
					byAccount(rules.FallOver, 0)(r)
					if r.AccessLog, r.Explain = 1, rules.ExplainOn; c.change != nil {
						c.change(r)
					}
				}, func(o *Options) { o.AccessLog = log })
				if c.next == nil && c.pods > 1 {
					p.kill(1)
				}
				p.does(func(pod int, w http.ResponseWriter, q *http.Request) {
					if pod == 0 {
						c.owner(w)
					} else {
						c.next(w)
					}
				})
				cl := client(p.r)
				status, text, h := ask(t, cl, "GET", "/", "", "account: "+p.keyOf(0))
				if got := h.Get(explainField); status != c.status || !strings.HasSuffix(got, c.want) {
					t.Errorf("%d %q, explained: %q, want %d, and %q at its end", status, text, got, c.status, c.want)
				}
				p.r.counts("attempts at the owner", c.to[0], p.r.service().Decisions[metrics.ToOwner].Load)
				p.r.counts("attempts past the owner", c.to[1], p.r.service().Decisions[metrics.FailedOver].Load)
				cl.CloseIdleConnections()
				p.r.end()
				p.r.stopped = true
				log.Close()
				var got struct{ Shard explanation.Key }
				if err := json.Unmarshal(out.Bytes(), &got); err != nil {
					t.Fatalf("%v: %q", err, out.String())
				}
				said := "; owner=" + got.Shard.Owner + "; to=" + got.Shard.To
				if got.Shard.Reason != "" {
					said += "; reason=" + got.Shard.Reason
				}
				if said != c.want {
					t.Errorf("logged %q, want %q", said, c.want)
				}
			})
		})
	}
}
