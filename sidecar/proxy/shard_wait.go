package proxy

import (
	"fmt"
	"slices"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/classify"
	"github.com/sluice-mesh/sluice/sidecar/cluster"
	"github.com/sluice-mesh/sluice/sidecar/h2"
	"github.com/sluice-mesh/sluice/sidecar/loop"
	"github.com/sluice-mesh/sluice/sidecar/metrics"
	"github.com/sluice-mesh/sluice/sidecar/rules"
	"github.com/sluice-mesh/sluice/sidecar/shard"
)

// patient is a request that waits in a coroutine, for the owner of its key or for its turn: the coroutine of its connection, with
// conn, or over HTTP/2 one of its own.
type patient struct {
	w    *Worker
	task *loop.Task
	conn *loop.Conn
	gone bool // the client of a stream has given up
}

// Forget ends the wait of a stream.
func (p *patient) Forget(*h2.Exchange) {
	p.gone = true
	if p.task != nil {
		p.task.Wake()
	}
}

// wait waits until cond or the deadline and reports whether the client still wants an answer.
func (p *patient) wait(until int64, cond func() bool) bool {
	err := p.w.l.Wait(until, nil, p.conn, func() bool { return p.left() || cond() })
	return !p.left() && (err == nil || err == loop.ErrTimeout)
}

// left reports whether the client wants no answer any more.
func (p *patient) left() bool { return p.gone || p.conn != nil && p.conn.PeerGone() }

const (
	// ownerLook is how often a waiting request looks whether an owner that has its most requests can take one more. What discovery has to
	// say wakes it.
	ownerLook = 10 * time.Millisecond
	// ownerAgain is how long an owner that an attempt has failed at is left alone at first, where discovery says that it is ready; the
	// time doubles each time up to ownerSeldom.
	ownerAgain  = 50 * time.Millisecond
	ownerSeldom = time.Second
)

// waits reports whether the request goes on waiting for its owner, or is refused for it, behind an attempt there that ended as last did. An
// answer, whatever its status, is the owner's answer.
func (q *request) waits(last *attempt) bool {
	if !q.shard.away {
		return false
	}
	patient, disowned := q.rules.Shard.Fallback == rules.FallWait, q.disowned(q.shard.owner)
	switch last.outcome {
	case classify.ConnectFailed:
		return true
	case classify.Unprocessed:
		return patient || disowned
	case classify.Cut:
		return disowned || patient && q.withdraw() // it is idempotent, or next would not have been asked
	}
	return false
}

// awaitOwner waits until the owner may be asked, and answers its endpoint, or why there is none; gone says that the client is.
func (q *request) awaitOwner(p *patient, last *attempt) (ep *cluster.Endpoint, choice metrics.Choice, ref refusal, gone bool) {
	w, a, s := q.route.w, &q.shard, &q.rules.Shard
	stats := q.route.stats
	if q.disowned(a.owner) {
		return nil, 0, q.disown(), false
	}
	if s.Fallback != rules.FallWait {
		stats.Decisions[metrics.OwnerAway].Add(1)
		return nil, 0, q.ownerless(last, "sluice.mesh/shard-fallback: strict"), false
	}
	owners := &q.route.common.owners
	n := owners.Add(1)
	defer owners.Add(-1)
	if most := int64(q.rules.Limits.Pending); n > most {
		stats.Decisions[metrics.OwnerQueue].Add(1)
		text := fmt.Sprintf("%d requests wait for owners already (sluice.mesh/max-pending)", most)
		return nil, 0, q.ownerless(last, text), false
	}
	if !w.o.Shared.admit() {
		stats.Decisions[metrics.OwnerQueue].Add(1)
		return nil, 0, q.ownerless(last, q.route.proxyFull()), false
	}
	defer w.o.Shared.dismiss()
	stats.ForOwner.Add(1)
	defer stats.ForOwner.Add(-1)
	if k := a.ticket; k != nil {
		k.stall(true)
		defer k.stall(false)
	}
	now := w.l.Now()
	if a.since == 0 {
		a.since = now
	}
	until := a.since + int64(s.FallbackWait)
	if d := q.within; d > 0 {
		until = min(until, q.began+int64(d))
	}
	retry := now
	if last != nil {
		retry += int64(min(ownerAgain<<min(a.tries, 5), ownerSeldom))
		a.tries++
	}
	watched := q.route.target
	news, stop := q.route.watch()
	defer func() { stop() }()
	for {
		*news = false
		if r := q.route; r.target != watched || r.target != nil && r.target.Removed() {
			r.renew() // the Service may be there under another name of its port, or anew
			stop()
			watched = r.target
			news, stop = r.watch()
			if p.left() {
				return nil, 0, refusal{}, true
			}
		}
		now = w.l.Now()
		if m := q.route.shards(); m == nil {
			a.owned, a.away = unowned, false // keys are asked for no longer
		} else if o := q.ownerIn(m); o.Endpoint != nil && now >= retry {
			q.pick.Tried = slices.DeleteFunc(q.pick.Tried, func(e *cluster.Endpoint) bool { return e == o.Endpoint })
		}
		if ep, choice = q.next(); ep != nil {
			stats.Decisions[metrics.OwnerWaited].Add(1)
			if last != nil {
				stats.Retries[last.outcome].Add(1)
			}
			q.resent()
			return ep, choice, refusal{}, false
		}
		if a.away && q.disowned(a.owner) {
			return nil, 0, q.disown(), false
		}
		if q.overdue() {
			stats.Decisions[metrics.OwnerLate].Add(1)
			ref := q.ownerless(last, q.tooLate())
			ref.status, ref.grpc = 504, codeDeadlineExceeded
			return nil, 0, ref, false
		}
		if now >= until {
			stats.Decisions[metrics.OwnerLate].Add(1)
			text := fmt.Sprintf("the request has waited %v (sluice.mesh/shard-fallback: %s)", time.Duration(now-a.since).Round(time.Millisecond),
				"wait="+s.FallbackWait.String())
			return nil, 0, q.ownerless(last, text), false
		}
		next := until
		if retry > now {
			next = min(next, retry)
		}
		if !a.away {
			next = min(next, now+int64(ownerLook))
		}
		if !p.wait(next, func() bool { return *news }) {
			return nil, 0, refusal{}, true
		}
	}
}

// tooLate counts the end of a request whose time is over before it was sent, and says so.
func (q *request) tooLate() string {
	q.route.stats.Timeouts[requestDeadline-attemptDeadline].Add(1)
	return q.timeOver()
}

func (q *request) timeOver() string {
	return fmt.Sprintf("the request's time is over, which is %v, %s", q.within, q.whose())
}

// watch sets news, on the loop, when discovery has published something new of the Service, and wakes the coroutine that called it then,
// until stop is called.
func (r *route) watch() (news *bool, stop func()) {
	l, task := r.w.l, r.w.l.Current()
	news = new(bool)
	if r.target == nil {
		return news, func() {}
	}
	ended := false
	tell := func() {
		if !ended {
			*news = true
			task.Wake()
		}
	}
	leave := r.target.Watch(func() { l.Post(tell) })
	return news, func() {
		ended = true
		leave()
	}
}

// ownerless is the answer to a request whose owner cannot be used: who that is, and why.
func (q *request) ownerless(last *attempt, rule string) refusal {
	o := q.shard.owner
	if o.Member == nil {
		q.refuse("", rule) // an explanation says why in any case
		return refusal{503, codeUnavailable, fmt.Sprintf("nobody is known to own the key of this request to %s: %s; %s", q.route.name(), o.Why, rule)}
	}
	is, at := "cannot be used", ""
	switch {
	case q.full:
		is = "has its most requests"
	case o.Why == shard.Down:
		is = "is not ready"
	case last != nil && last.err != nil:
		is, at = "cannot be reached", fmt.Sprintf(" at %s: %v", last.ep.Addr, last.err)
	}
	q.refuse("owner "+is, rule)
	return refusal{503, codeUnavailable, fmt.Sprintf("pod %s of %s owns the key of this request and %s%s; %s", o.Member.Name, q.route.name(), is, at, rule)}
}

// awaitTurn waits until it is the request's turn among those of its key.
func (q *request) awaitTurn(p *patient) (ref refusal, gone bool) {
	w, a, limits := q.route.w, &q.shard, &q.rules.Limits
	stats := q.route.stats
	k := a.ticket
	if !w.o.Shared.admit() {
		stats.Turns[metrics.TurnQueue].Add(1)
		text := q.route.proxyFull()
		q.refuse(turnTaken, text)
		return refusal{503, codeUnavailable, fmt.Sprintf("other requests of the same key to %s are under way, one at a time "+
			"(sluice.mesh/shard-serialize), and %s", q.route.name(), text)}, false
	}
	defer w.o.Shared.dismiss()
	stats.ForTurn.Add(1)
	defer stats.ForTurn.Add(-1)
	joined := w.l.Now()
	k.task = w.l.Current()
	wanted := true
	var behind int64
	for {
		// What those before it wait for the owner, this one waits for it as well, as long as it may itself. queue-timeout begins behind that.
		behind = q.behindOwner(joined)
		until := q.queueUntil(behind)
		if w.l.Now() >= until {
			break
		}
		if wanted = p.wait(until, func() bool { return k.called }); !wanted || k.called {
			break
		}
	}
	k.task = nil
	switch {
	case !wanted:
		stats.Turns[metrics.TurnLeft].Add(1)
		return refusal{}, true
	case !k.called:
		stats.Turns[metrics.TurnLate].Add(1)
		if q.overdue() {
			text := q.tooLate()
			q.refuse(turnTaken, text)
			return refusal{504, codeDeadlineExceeded, fmt.Sprintf("other requests of the same key to %s are under way, one at a time "+
				"(sluice.mesh/shard-serialize); %s", q.route.name(), text)}, false
		}
		text := fmt.Sprintf("this one has waited %v (sluice.mesh/queue-timeout)", (limits.Queue + time.Duration(behind)).Round(time.Millisecond))
		q.refuse(turnTaken, text)
		return refusal{503, codeUnavailable, fmt.Sprintf("other requests of the same key to %s are under way, one at a time "+
			"(sluice.mesh/shard-serialize), and %s", q.route.name(), text)}, false
	}
	if behind = q.behindOwner(joined); behind > 0 {
		a.since = w.l.Now() - behind
		q.queued += behind
	}
	stats.Turns[metrics.TurnWaited].Add(1)
	return refusal{}, false
}

// behindOwner answers how long, in nanoseconds, a request in line since joined has waited until those before it waited for the owner last: as
// long as it may wait for the owner itself at most.
func (q *request) behindOwner(joined int64) int64 {
	s := &q.rules.Shard
	if s.Fallback != rules.FallWait {
		return 0
	}
	return min(max(q.shard.ticket.ownerAway()-joined, 0), int64(s.FallbackWait))
}

// line gets the request in line behind those of its key. It reports whether it has to wait.
func (q *request) line() (ref refusal, wait bool) {
	r, a := q.route, &q.shard
	if r.turns == nil || a.owned != byKey {
		return refusal{}, false
	}
	k, now := r.turns.take(r.w.l, a.keys.Key().Hash, &r.common.inLine, q.rules.Limits.Pending)
	if k == nil {
		r.stats.Turns[metrics.TurnQueue].Add(1)
		q.refuse("", fmt.Sprintf("%d requests wait for their turn already (sluice.mesh/max-pending)", q.rules.Limits.Pending))
		return refusal{503, codeUnavailable, fmt.Sprintf("%d requests to %s wait for their turn already (sluice.mesh/max-pending)",
			q.rules.Limits.Pending, r.name())}, false
	}
	a.ticket = k
	if now {
		r.stats.Turns[metrics.TurnFree].Add(1)
	}
	return refusal{}, !now
}
