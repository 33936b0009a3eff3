package proxy

import (
	"fmt"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/balancer"
	"github.com/sluice-mesh/sluice/sidecar/classify"
	"github.com/sluice-mesh/sluice/sidecar/cluster"
	"github.com/sluice-mesh/sluice/sidecar/h1"
	"github.com/sluice-mesh/sluice/sidecar/loop"
	"github.com/sluice-mesh/sluice/sidecar/metrics"
)

// look is how often a waiting request looks again though no attempt has ended: endpoints may have come.
const look = 50 * time.Millisecond

// mostPicks is how many endpoints a pick finds full before it takes all for full.
const mostPicks = 16

// atMost makes the smaller of limits, of which 0 is none, that of the request's attempts at one endpoint.
func (q *request) atMost(limits ...int) {
	for _, n := range limits {
		if k := int64(n); k > 0 && (q.limit == 0 || k < q.limit) {
			q.limit = k
		}
	}
}

// below answers the pick if there is a place at its endpoint, else another pick that has one, or nil.
func (q *request) below(p balancer.Picker, ep *cluster.Endpoint) *cluster.Endpoint {
	q.full = false
	tried := len(q.pick.Tried)
	for n := 0; ep != nil && !q.take(ep); n++ {
		if n == mostPicks {
			ep = nil
			break
		}
		q.pick.Tried = append(q.pick.Tried, ep) // for these picks only
		q.pick.NoSpare = true
		ep = p.Pick(&q.pick)
	}
	q.pick.Tried, q.pick.NoSpare = q.pick.Tried[:tried], false
	q.full = q.full && ep == nil
	return ep
}

// take takes a place at an endpoint that is picked, and reports whether there was one. Without a limit there always is, and none is
// counted.
func (q *request) take(ep *cluster.Endpoint) bool {
	if !q.connects(ep) {
		q.full = true
		return false
	}
	if q.limit == 0 {
		return true
	}
	if !ep.Places.Take(q.limit) {
		q.full = true
		return false
	}
	q.placed = ep
	return true
}

// fullAt reports whether an endpoint has no place left.
func (q *request) fullAt(ep *cluster.Endpoint) bool {
	return !q.connects(ep) || q.limit > 0 && ep.Places.Taken() >= q.limit
}

// bounded reports whether there may be no room at an endpoint for the request.
func (q *request) bounded() bool { return q.limit > 0 || q.conns > 0 }

// waitsIn is where the request waits for room. That on the connections which a loop may have is its own: neither is it another loop's, nor may those
// wait for it who come on another one. Where there is a limit of requests as well all wait in one line, in which such a request is choosy.
func (q *request) waitsIn() *queue {
	if k := q.room(); k != nil {
		return k
	}
	return &q.route.common.queue
}

// room answers whom to tell when an attempt has ended that takes no place, and may have made room on a connection; nil is nobody.
func (q *request) room() *queue {
	if q.conns > 0 && q.limit == 0 {
		return &q.route.rooms
	}
	return nil
}

// connects reports whether the connections that the loop may have to an endpoint have room for one more stream.
func (q *request) connects(ep *cluster.Endpoint) bool {
	q.connsFull = q.conns > 0 && !q.route.w.pools.Room(ep, q.conns)
	return !q.connsFull
}

// settled makes the place that the last pick took that of what begins at ep: it answers whom to tell when that ends; nil has no place.
func (q *request) settled(ep *cluster.Endpoint) *queue {
	if q.placed != ep {
		return nil
	}
	q.placed = nil
	return &q.route.common.queue
}

// unpick gives back the place of a pick that came to nothing.
func (q *request) unpick() {
	q.shard.picked = nil
	if q.placed == nil {
		return
	}
	place := &q.route.common.queue
	q.route.w.giveUpPlace(q.placed, &place)
	q.placed = nil
}

// giveUpPlace gives back a place at ep, if there is one, and tells who waits for it.
func (w *Worker) giveUpPlace(ep *cluster.Endpoint, place **queue) {
	if k := *place; k != nil {
		*place = nil
		ep.Places.Give()
		k.free(w.l)
	}
}

// inLine waits until an endpoint is below its limit and answers it, or nil when the exchange has ended for want of one, or when the owner of its
// key is away by now. Requests are served in the order in which they came, on whichever loop, as far as they may go to the same endpoints.
func (w *Worker) inLine(r *route, x *h1.Exchange) (*cluster.Endpoint, metrics.Choice) {
	q, k := &r.one, &r.common.queue
	s := q.rules.Limits
	if !w.o.Shared.admit() {
		w.limited(r, x, r.proxyFull())
		return nil, 0
	}
	defer w.o.Shared.dismiss()
	v := &waiter{l: w.l, choosy: q.choosy(), task: w.l.Current(), ready: true} // there may be room by now
	if n, ok := k.join(v, s.Pending); !ok {
		r.stats.Limited[metrics.LimitPending].Add(1)
		w.limited(r, x, fmt.Sprintf("%d requests wait already (sluice.mesh/max-pending)", n))
		return nil, 0
	}
	found := false
	defer func() { k.leave(v, found) }()
	conn := x.Downstream().Conn
	until := q.queueUntil(0)
	for {
		err := w.l.Wait(min(until, w.l.Now()+int64(look)), nil, conn, func() bool { return v.ready || conn.PeerGone() })
		if err != nil && err != loop.ErrTimeout || conn.PeerGone() {
			r.one.answered(0)
			x.Abort()
			return nil, 0
		}
		if ep, choice := q.looks(k, v); ep != nil {
			found = true
			return ep, choice
		}
		if q.shard.away {
			return nil, 0
		}
		if q.overdue() {
			r.stats.Timeouts[requestDeadline-attemptDeadline].Add(1)
			if r.held.up != nil {
				w.pass(r, x, &r.held)
			} else {
				w.reply(r, x, 504, q.timedOutWaiting())
			}
			return nil, 0
		}
		if w.l.Now() >= until {
			r.stats.Limited[metrics.LimitQueue].Add(1)
			w.limited(r, x, fmt.Sprintf("this one has waited %v (sluice.mesh/queue-timeout)", s.Queue))
			return nil, 0
		}
	}
}

// queueUntil answers how long the request, which begins to wait for room or for its turn, may do so: that counts from the first such wait on,
// and more nanoseconds are added.
func (q *request) queueUntil(more int64) int64 {
	if q.queued == 0 {
		q.queued = q.route.w.l.Now()
	}
	until := q.queued + int64(q.rules.Limits.Queue) + more
	if d := q.within; d > 0 {
		until = min(until, q.began+int64(d))
	}
	return until
}

// timedOutWaiting says that the request's time was over before an endpoint was below its limit.
func (q *request) timedOutWaiting() string {
	q.refuse(q.fullOwner(), q.timeOver())
	return fmt.Sprintf("no endpoint of %s was below its limit within %v, which is %s", q.route.name(), q.within, q.whose())
}

// choosy reports whether the request, which is to wait for room, may not go wherever there is some.
func (q *request) choosy() bool {
	return q.shard.owned != unowned || len(q.pick.Tried) > 0 || q.conns > 0 && q.limit > 0
}

// looks looks for room where it is v's turn to.
func (q *request) looks(k *queue, v *waiter) (*cluster.Endpoint, metrics.Choice) {
	v.ready = false
	turn, called := k.look(v)
	if !turn && q.shard.owned == unowned {
		return nil, 0
	}
	ep, choice := q.next()
	if ep != nil {
		q.resent()
	}
	if ep == nil && (called || turn) && v.choosy {
		k.pass(v) // the room may be where this one does not go, and nobody ends anything there
	}
	return ep, choice
}

// crowdedOut reports whether the request waits for room behind attempt a, once again has looked for an endpoint and found none: those that have
// not been tried are full. Unless a's endpoint has not looked at the request, that costs of the retry budget.
func (q *request) crowdedOut(a *attempt) bool {
	if !q.full || a.outcome != classify.ConnectFailed && a.outcome != classify.Unprocessed && !q.withdraw() {
		return false
	}
	q.crowded, q.behind = true, a.outcome
	return true
}

// resent counts a request that has waited for room, and is sent again now, if that is why it waited.
func (q *request) resent() {
	if q.crowded {
		q.crowded = false
		q.route.stats.Retries[q.behind].Add(1)
	}
}

// spares reports whether what is held of an attempt, if there is one, needs no place while the request waits for another: the endpoint is done with it.
// Those that wait for one another's places would wait in vain.
func (a *exchangeAttempt) spares() bool { return a.up == nil || a.up.Complete() }

// limited answers a request that met a limit. What another endpoint has said is better than that.
func (w *Worker) limited(r *route, x *h1.Exchange, text string) {
	if r.held.up != nil {
		w.pass(r, x, &r.held)
		return
	}
	s := r.one.rules.Limits
	r.one.refuse(r.one.fullOwner(), text)
	what := fmt.Sprintf("%d requests (sluice.mesh/max-requests)", s.Requests)
	if s.Requests == 0 || s.Connections > 0 && s.Connections < s.Requests {
		what = fmt.Sprintf("%d connections (sluice.mesh/max-connections)", s.Connections)
	}
	w.reply(r, x, 503, fmt.Sprintf("every endpoint of %s has its most of %s, and %s", r.name(), what, text))
}
