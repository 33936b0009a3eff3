package proxy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/classify"
	"github.com/sluice-mesh/sluice/sidecar/cluster"
	"github.com/sluice-mesh/sluice/sidecar/h1"
	"github.com/sluice-mesh/sluice/sidecar/loop"
	"github.com/sluice-mesh/sluice/sidecar/rules"
)

var (
	errAttemptTime = errors.New("no answer in the time of an attempt")
	errRequestTime = errors.New("no answer in the time of a request")
)

// timedOut says which limit a request met, and what was tried.
func timedOut(r *route, q *request, last *attempt) string {
	if last.err == errRequestTime {
		if !q.shard.sent {
			q.refuse("no connection came about", q.timeOver())
		}
		return fmt.Sprintf("no answer of %s within %v, which is %s; the last of %d attempts was at %s%s",
			r.name(), q.within, q.whose(), q.begun, last.ep.Addr, q.ends())
	}
	return fmt.Sprintf("no answer of endpoint %s of %s within %v, which is its sluice.mesh/per-try-timeout; it was the last of %d attempts%s",
		last.ep.Addr, r.name(), q.rules.PerTryTimeout, q.begun, q.ends())
}

// ends says how the attempts have ended, if there was more than one: " (2 cut, 1 timed-out)".
func (q *request) ends() string {
	if q.begun < 2 {
		return ""
	}
	var ends []string
	for o, n := range q.ended {
		if n > 0 {
			ends = append(ends, fmt.Sprintf("%d %s", n, classify.Outcome(o)))
		}
	}
	return " (" + strings.Join(ends, ", ") + ")"
}

// longestWithin is the longest time that a caller may allow and is heeded; a longer one is none.
const longestWithin = 365 * 24 * time.Hour

// hurry heeds the time that the caller itself allows, a gRPC call's grpc-timeout, where it is the shorter one; 0 is none.
func (q *request) hurry(d time.Duration) {
	if d > 0 && d <= longestWithin && (q.within == 0 || d < q.within) {
		q.within = d
	}
}

// hurried reports whether it is the caller who allows no more time.
func (q *request) hurried() bool { return q.within != q.rules.Timeout }

// whose says what bounds the request's time.
func (q *request) whose() string {
	if q.hurried() {
		return "the call's grpc-timeout"
	}
	return "its sluice.mesh/timeout"
}

// left answers what is left of the request's time, at least a millisecond; 0 where it is not bounded.
func (q *request) left() time.Duration {
	if d := q.within; d > 0 {
		return max(time.Millisecond, time.Duration(q.began-q.route.w.l.Now())+d)
	}
	return 0
}

// end answers when the request's time is up, on the loop's clock; loop.Never where it is not bounded.
func (q *request) end() int64 {
	if q.within > 0 {
		return q.began + int64(q.within)
	}
	return loop.Never
}

// toConnect answers how long a connect to ep may take. As long as there are other endpoints it leaves them half of the request's time.
func (q *request) toConnect(ep *cluster.Endpoint) time.Duration {
	d := q.left()
	if d > 0 && q.others(ep) {
		return max(time.Millisecond, d/2)
	}
	return d
}

// others reports whether the request may go to another endpoint than ep, nil for any, that was not tried. One with a key waits for the key's owner.
func (q *request) others(ep *cluster.Endpoint) bool {
	if q.shard.owned != unowned && q.rules.Shard.Fallback != rules.FallOver {
		return false
	}
	return q.untried(ep)
}

// untried reports whether there is another endpoint than ep that was not tried.
func (q *request) untried(ep *cluster.Endpoint) bool {
	return slices.ContainsFunc(q.route.endpoints(), func(e *cluster.Endpoint) bool { return e != ep && !slices.Contains(q.pick.Tried, e) })
}

// overdue reports whether the request's time is up.
func (q *request) overdue() bool {
	end := q.end()
	return end != loop.Never && q.route.w.l.Now() >= end
}

// arm says when an attempt that begins now is to be raced.
func (w *Worker) arm(r *route, x *h1.Exchange, a *exchangeAttempt) {
	now, s := w.l.Now(), r.one.rules
	a.began, a.late = now, loop.Never
	if r.target == nil || !s.HangRace.On && s.Hedge == 0 || !r.idempotent(x) {
		return
	}
	a.late = now + int64(r.one.untilRaced())
}

// patience is how long an attempt may go without an answer before it is raced.
func (r *route) patience(s *rules.Rules) time.Duration {
	d := s.Hedge
	if s.HangRace.On {
		late := r.latency.Late(s.HangRace.Floor, s.HangRace.Factor)
		if d == 0 || late < d {
			d = late
		}
	}
	return d
}

// How long an attempt that nobody could race goes at most before it is asked about again: where there are others, one of them may have room, or the
// budget a retry, before long; else endpoints have to come, or to change, and who waits for news for hours is to cost next to nothing.
const (
	againSoon   = time.Second
	againSeldom = 10 * time.Second
)

// later answers when an attempt at ep that began at began, and that nobody could race now, is asked about again: there may be somebody by then. That
// is after as long as it has taken so far, up to againSoon or againSeldom, or in the time to a race where that is longer. Many attempts' times come
// together, on multiples of look.
func (q *request) later(ep *cluster.Endpoint, began int64) int64 {
	now, most := q.route.w.l.Now(), againSeldom
	if q.others(ep) {
		most = againSoon
	}
	at := now + max(int64(q.route.patience(q.rules)), min(now-began, int64(most)))
	return at + int64(look) - at%int64(look)
}

// deadline is why Await is to give up.
type deadline uint8

const (
	noDeadline deadline = iota
	lateDeadline
	attemptDeadline
	requestDeadline
)

// until answers the next deadline of the running attempt.
func (r *route) until(racing bool) (until int64, why deadline) {
	q, a := &r.one, &r.running
	earlier := func(t int64, d deadline) {
		if t != loop.Never && (until == loop.Never || t < until) {
			until, why = t, d
		}
	}
	if !racing {
		earlier(a.late, lateDeadline)
	}
	if d := q.rules.PerTryTimeout; d > 0 {
		earlier(a.began+int64(d), attemptDeadline)
	}
	earlier(q.end(), requestDeadline)
	return until, why
}

// await waits for the head of the running attempt's answer. One that takes strangely long is raced by a further attempt at another
// endpoint: the first answer wins, and its attempt is the running one in the end. A slow answer is not cut off for it.
func (w *Worker) await(r *route, x *h1.Exchange) h1.Result {
	a := &r.running
	var v *rival
	defer func() {
		if v != nil {
			w.dismiss(r, v, classify.LostRace) // a panic has left it
		}
	}()
	for {
		until, why := r.until(v != nil)
		var cut *bool
		if v != nil {
			cut = &v.ended
		}
		res := x.Await(a.up, until, cut)
		switch {
		case res.Err == h1.ErrLate && why == lateDeadline:
			v = w.challenge(r, x)
			continue
		case res.Err == h1.ErrLate:
			a.owed = x.Owed()
			x.Leave(a.up)
			res = h1.Result{Err: errAttemptTime, Side: h1.SideUpstream}
			if why == requestDeadline {
				res.Err = errRequestTime
			}
			r.stats.Timeouts[why-attemptDeadline].Add(1)
		case res.Err == h1.ErrOvertaken:
			v = w.overtaken(r, x, v)
			continue
		}
		if v == nil {
			return res
		}
		failed := res.Err != nil || r.one.rules.Retry.On.Status(res.Status)
		if !failed || res.Side == h1.SideDownstream || res.Err == errRequestTime {
			fate := classify.LostRace
			if failed {
				fate = outcomeOf(res, false)
			} else {
				r.stats.Races[0].Add(1)
			}
			// The end of the request's time speaks against this one's endpoint as if it had been alone, and against the rival's if that hangs.
			if res.Err == errRequestTime && v.up != nil && !v.ended && r.one.hung(v.began) {
				r.one.judge(&v.attempt, classify.Bad)
			}
			w.dismiss(r, v, fate)
			v, a.beside = nil, true
			return res
		}
		// The rival goes on in its place.
		w.heard(r, a, res, false)
		if a.reused {
			r.one.pardon(a.ep, a.outcome)
		}
		if res.Err == nil {
			a.outcome = classify.ServerError
			x.Leave(a.up) // its answer may have come before the request had gone out whole
			w.hold(r)
		}
		v, res = nil, w.takeOver(r, x, v)
		if a.up == nil || res.Err != nil {
			return res
		}
	}
}
