package proxy

import (
	"time"

	"github.com/sluice-mesh/sluice/sidecar/classify"
	"github.com/sluice-mesh/sluice/sidecar/h2"
)

// leastHung is the shortest time without an answer that speaks against an endpoint, however quick answers are as a rule: a program that is held
// up by its collector of garbage or its share of CPU time is soon back.
const leastHung = 100 * time.Millisecond

// untilRaced answers how long an attempt that begins now goes without an answer before it is raced. Where the request has a time of its own, and
// it is known how long answers take, a rival has half of what is left.
func (q *request) untilRaced() time.Duration {
	r, s := q.route, q.rules.HangRace
	d := r.patience(q.rules)
	if s.On && q.within > 0 && r.latency.P99() > 0 {
		d = min(d, r.latency.Late(min(s.Floor, q.left()/2), s.Factor))
	}
	return d
}

// hung reports whether an attempt that began then has gone without an answer for so long that losing a race speaks against its endpoint, and not
// only for so long as the Service hedges after.
func (q *request) hung(began int64) bool {
	r, s := q.route, q.rules.HangRace
	floor := s.Floor
	if q.within > 0 && r.latency.P99() > 0 {
		half := (q.began + int64(q.within) - began) / 2
		floor = min(floor, max(leastHung, time.Duration(half)))
	}
	return s.On && r.w.l.Now()-began >= int64(r.latency.Late(floor, s.Factor))
}

// gaveUp answers what it says of an endpoint that a caller has waited for its answer since a time, in vain, and waits no more. Where answers usually
// take much less it is doubtful: it is the caller who has no patience, and others' answers decide. See docs/decisions/0022.
func (q *request) gaveUp(since int64) classify.Health {
	r, s := q.route, q.rules.HangRace
	if !s.On || r.target == nil || r.latency.P99() == 0 ||
		r.w.l.Now()-since < int64(r.latency.Late(min(leastHung, s.Floor), s.Factor)) {
		return classify.Silent
	}
	return classify.Doubtful
}

// abandoned is gaveUp of a stream's running attempt: nothing, where the endpoint was not sent the whole request, or has answered. Of two that race,
// and neither of which has answered, it says nothing either.
func (c *call) abandoned(x *h2.Exchange) classify.Health {
	a := &c.attempt
	if a.ep == nil || a.heard || a.came != 0 || !x.Sent() || c.held.ep != nil {
		return classify.Silent
	}
	at, _ := x.Went()
	return c.gaveUp(at)
}
