package proxy

import (
	"fmt"
	"slices"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/balancer"
	"github.com/sluice-mesh/sluice/sidecar/cluster"
	"github.com/sluice-mesh/sluice/sidecar/h1"
	"github.com/sluice-mesh/sluice/sidecar/loop"
	"github.com/sluice-mesh/sluice/sidecar/metrics"
)

// waiter is a request that waits until an endpoint is below its limit.
type waiter struct {
	task  *loop.Task
	ready bool
}

// look is how often a waiting request looks again though no attempt has ended: endpoints may have come.
const look = 50 * time.Millisecond

// mostPicks is how many endpoints a pick finds full before it takes all for full.
const mostPicks = 16

// share answers this loop's part of a limit of the process: at least 1, so that each loop can go on; 0 stays "no limit".
func (w *Worker) share(limit int) int64 {
	return int64((limit + w.o.Loops - 1) / w.o.Loops)
}

// atMost makes the smaller of limits, of which 0 is none, that of the request's attempts at one endpoint.
func (q *request) atMost(limits ...int) {
	for _, n := range limits {
		if k := q.route.w.share(n); k > 0 && (q.limit == 0 || k < q.limit) {
			q.limit = k
		}
	}
}

// below answers the pick if its endpoint is below the limit, else another pick that is, or nil.
func (q *request) below(p balancer.Picker, ep *cluster.Endpoint) *cluster.Endpoint {
	q.full = false
	tried := len(q.pick.Tried)
	for n := 0; ep != nil && q.route.w.load(ep).InFlight >= q.limit; n++ {
		q.full = true
		if n == mostPicks {
			ep = nil
			break
		}
		q.pick.Tried = append(q.pick.Tried, ep) // for these picks only
		ep = p.Pick(&q.pick)
	}
	q.pick.Tried = q.pick.Tried[:tried]
	return ep
}

// free wakes the request that has waited longest, once an attempt has ended.
func (r *route) free() {
	if len(r.waiting) > 0 {
		r.call(r.waiting[0])
	}
}

func (r *route) call(v *waiter) {
	v.ready = true
	if v.task != nil { // a stream's coroutine may not have begun
		v.task.Wake()
	}
}

// queue waits until an endpoint is below its limit and answers it, or nil when the exchange has ended for want of one. Requests are
// served in the order in which they came.
func (w *Worker) queue(r *route, x *h1.Exchange) (*cluster.Endpoint, metrics.Choice) {
	q := &r.one
	s := q.rules.Limits
	if int64(len(r.waiting)) >= w.share(s.Pending) {
		w.limited(r, x, metrics.LimitPending, fmt.Sprintf("%d requests wait already (sluice.mesh/max-pending)", len(r.waiting)))
		return nil, 0
	}
	v := &waiter{task: w.l.Current()}
	r.waiting = append(r.waiting, v)
	service := r.service
	defer func() {
		service.waiting = slices.DeleteFunc(service.waiting, func(o *waiter) bool { return o == v })
		if v.ready && len(service.waiting) > 0 {
			r.call(service.waiting[0]) // there may be room for more than one
		}
	}()
	conn := x.Downstream().Conn
	until := w.l.Now() + int64(s.Queue)
	if d := q.within; d > 0 {
		until = min(until, q.began+int64(d))
	}
	for {
		v.ready = false
		err := w.l.Wait(min(until, w.l.Now()+int64(look)), nil, conn, func() bool { return v.ready || conn.PeerGone() })
		switch {
		case err != nil && err != loop.ErrTimeout || conn.PeerGone():
			r.one.answered(0)
			x.Abort()
			return nil, 0
		case v == service.waiting[0] || v.ready || q.shard.owned != unowned:
			if ep, choice := q.next(); ep != nil {
				v.ready = true
				return ep, choice
			}
		}
		if w.l.Now() >= until {
			w.limited(r, x, metrics.LimitQueue, fmt.Sprintf("this one has waited %v (sluice.mesh/queue-timeout)", s.Queue))
			return nil, 0
		}
	}
}

// limited answers a request that met a limit.
func (w *Worker) limited(r *route, x *h1.Exchange, limit metrics.Limit, text string) {
	r.stats.Limited[limit].Add(1)
	r.one.answered(503)
	s := r.one.rules.Limits
	what := fmt.Sprintf("%d requests (sluice.mesh/max-requests)", s.Requests)
	if s.Requests == 0 || s.Connections > 0 && s.Connections < s.Requests {
		what = fmt.Sprintf("%d connections (sluice.mesh/max-connections)", s.Connections)
	}
	x.Reply(503, fmt.Sprintf("every endpoint of %s has its most of %s, and %s", r.name(), what, text))
}
