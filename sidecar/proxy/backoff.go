package proxy

import (
	"slices"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/classify"
	"github.com/sluice-mesh/sluice/sidecar/cluster"
	"github.com/sluice-mesh/sluice/sidecar/h1"
	"github.com/sluice-mesh/sluice/sidecar/h2"
	"github.com/sluice-mesh/sluice/sidecar/metrics"
	"github.com/sluice-mesh/sluice/sidecar/retry"
)

// A request that has been to every endpoint may go to them once more, after a while (sluice.mesh/retry-backoff). An attempt at an endpoint
// that it has not been to does not wait: that would cost time and help nobody.

// resting is an endpoint that has asked to be left alone until then, on the loop's clock.
type resting struct {
	ep    *cluster.Endpoint
	until int64
}

// rest answers for how much longer an endpoint is to be left alone, as it has told this request.
func (q *request) rest(ep *cluster.Endpoint, now int64) (d time.Duration) {
	for _, k := range q.resting {
		if k.ep == ep {
			d = max(d, time.Duration(k.until-now))
		}
	}
	return d
}

// soonest answers when the first of the endpoints that were tried may be asked again.
func (q *request) soonest() (d time.Duration) {
	now := q.route.w.l.Now()
	for i, ep := range q.pick.Tried {
		if k := q.rest(ep, now); i == 0 || k < d {
			d = k
		}
	}
	return d
}

// pause decides, once again has found no endpoint left behind attempt a, whether the request waits to go to them once more, and for how
// long. Each time costs of the retry budget, also where no endpoint has seen the request. Nobody is asked again who asked to be left alone for
// longer than the Service lets requests wait.
func (q *request) pause(a *attempt, replayable, idempotent bool) (wait time.Duration, pauses bool) {
	r, o, b := q.route, a.outcome, retry.Backoff(q.rules.Retry.Backoff)
	if b.Base == 0 || q.enough || !q.ranOut || q.nested || q.full || q.shard.owned != unowned || r.target == nil {
		return 0, false
	}
	if q.decide(o, replayable, idempotent) == classify.No {
		return 0, false
	}
	rest := q.soonest()
	if rest > b.Most {
		return 0, false
	}
	wait = rest + b.Wait(q.rounds+1, r.w.rand.Float64())
	if d := q.within; d > 0 && r.w.l.Now()+int64(wait) >= q.began+int64(d) || !q.withdraw() {
		return 0, false
	}
	q.rounds++
	r.stats.Retries[o].Add(1)
	return wait, true
}

// anew is next once the request has waited: no endpoint counts as tried but those that are to be left alone yet.
func (q *request) anew() (*cluster.Endpoint, metrics.Choice) {
	now := q.route.w.l.Now()
	q.pick.Tried = slices.DeleteFunc(q.pick.Tried, func(ep *cluster.Endpoint) bool { return q.rest(ep, now) == 0 })
	ep, choice := q.next()
	if choice == metrics.First {
		choice = metrics.Again
	}
	return ep, choice
}

// pause waits and answers where the request goes then; nil is nowhere. gone says that its client has left, and the exchange ended.
func (w *Worker) pause(r *route, x *h1.Exchange, wait time.Duration) (ep *cluster.Endpoint, choice metrics.Choice, gone bool) {
	p := &patient{w: w, conn: x.Downstream().Conn}
	if !p.wait(w.l.Now()+int64(wait), func() bool { return false }) {
		w.unrefused(r, x, refusal{}, true)
		return nil, 0, true
	}
	if ep, choice = r.one.anew(); ep == nil && r.one.full && r.held.up == nil {
		ep, choice = w.queue(r, x)
		return ep, choice, ep == nil
	}
	return ep, choice, false
}

// pause is the same for a stream, none of whose attempts runs; f is how the last one ended, where it was not answered.
func (s streams) pause(x *h2.Exchange, c *call, wait time.Duration, f h2.Failure) {
	last := c.attempt
	c.attempt = attempt{}
	s.w.times.remove(c)
	s.patiently(x, func(p *patient) {
		if !p.wait(s.w.l.Now()+int64(wait), func() bool { return false }) {
			return
		}
		x.Wait(nil)
		if ep, choice := c.anew(); ep != nil {
			s.send(x, c, ep, choice)
			return
		}
		if c.full && c.held.ep == nil {
			s.queue(x, c)
			return
		}
		c.attempt = last
		s.exhausted(x, c, f)
	})
}
