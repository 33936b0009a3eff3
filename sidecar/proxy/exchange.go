package proxy

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/classify"
	"github.com/sluice-mesh/sluice/sidecar/cluster"
	"github.com/sluice-mesh/sluice/sidecar/h1"
	"github.com/sluice-mesh/sluice/sidecar/metrics"
	"github.com/sluice-mesh/sluice/sidecar/outlier"
	"github.com/sluice-mesh/sluice/sidecar/retry"
)

// exchangeAttempt is an attempt over HTTP/1.x. While it has a connection it is to be ended: passed on, dropped or lost.
type exchangeAttempt struct {
	attempt
	up     *h1.Upstream
	late   int64 // when the attempt is to be raced; loop.Never is never
	beside bool  // it raced another one when its wait ended
}

// exchange is the way of one request. What the Service asks for besides comes before and behind it.
func (w *Worker) exchange(r *route, x *h1.Exchange) {
	r.renew()
	r.borrow()
	defer r.giveBack()
	q := &r.one
	q.begin(r)
	w.asked(r, x)
	defer r.exit()
	switch {
	case !r.enter():
		w.reply(r, x, 503, r.crowded())
	case q.rules.Scatter && w.scattered(r, x):
	case !q.sharded():
		w.try(r, x)
	default:
		defer q.leave()
		if w.own(r, x) {
			w.try(r, x)
		}
	}
	if q.trace.logged {
		w.log(r, x)
	}
}

// try is its core: pick, send, classify, and again elsewhere until it is answered or nothing may be done. An answer with an error is
// kept while another endpoint is asked, and passed on as it came when that does no better.
func (w *Worker) try(r *route, x *h1.Exchange) {
	q, a := &r.one, &r.running
	r.running, r.held = exchangeAttempt{}, exchangeAttempt{}
	defer q.settle() // where it ends in a wait, nobody has
	defer r.abandon()
	x.Keep(q.rules.ReplayLimit)
	r.budget.Deposit()
	ep, choice := w.place(r, x)
	if ep == nil {
		return
	}
	for ep != nil {
		w.send(r, x, ep, choice)
		if a.outcome == classify.Answered && !w.better(r, x, a.status) {
			w.pass(r, x, a)
			return
		}
		if ep, choice = nil, 0; a.err == errRequestTime {
			continue
		}
		if ep, choice = q.again(&a.attempt, x.Replayable(), r.idempotent(x)); ep != nil {
			if a.up != nil {
				x.Leave(a.up) // its answer may have come before the request had gone out whole
			}
			w.hold(r)
		} else if q.waits(&a.attempt) {
			if ep, choice = w.ownerAway(r, x, &a.attempt); ep == nil {
				return
			}
		} else if wait, pauses := q.pause(&a.attempt, x.Replayable(), r.idempotent(x)); pauses {
			if a.up != nil {
				x.Leave(a.up)
			}
			w.hold(r)
			var gone bool
			if ep, choice, gone = w.pause(r, x, wait); gone {
				return
			}
		} else if a.spares() && (a.up != nil || r.held.spares()) && q.crowdedOut(&a.attempt) {
			if a.up != nil {
				x.Leave(a.up)
			}
			w.hold(r)
			if h := &r.held; h.up != nil {
				w.giveUpPlace(h.ep, &h.place)
			}
			if ep, choice = w.queue(r, x); ep == nil {
				return
			}
		}
	}
	switch {
	case a.up != nil:
		w.pass(r, x, a)
	case r.held.up != nil && a.outcome != classify.ClientGone:
		w.pass(r, x, &r.held)
	default:
		w.giveUp(r, x, &a.attempt)
	}
}

// place answers where the request is sent first; nil when the exchange has ended, since all endpoints are full, or the owner is away.
func (w *Worker) place(r *route, x *h1.Exchange) (*cluster.Endpoint, metrics.Choice) {
	q := &r.one
	if q.limit == 0 || r.common.queue.open.Load() == 0 || q.shard.owned != unowned {
		ep, choice := q.next()
		if ep == nil && q.shard.away {
			return w.ownerAway(r, x, nil)
		}
		if ep != nil || q.limit == 0 {
			return ep, choice
		}
	}
	return w.queue(r, x)
}

// better reports whether an answer is an error that another endpoint might do better than, and marks the attempt so.
func (w *Worker) better(r *route, x *h1.Exchange, status int) bool {
	if r.one.rules.Retry.On.Status(status) && !r.one.nested && x.Replayable() && r.idempotent(x) {
		r.running.outcome = classify.ServerError
		return true
	}
	return false
}

// idempotent reports whether the request may be sent again after it may have had an effect.
func (r *route) idempotent(x *h1.Exchange) bool {
	req, s := x.Request, &r.one.rules.Retry
	return h1.IsIdempotent(req.Method) ||
		len(s.Idempotent) > 0 && s.Idempotent.Match(string(req.Method), string(req.Path())) ||
		s.IdempotencyKey && req.Has("idempotency-key")
}

// send sends the request to one endpoint and waits for the head of its answer, in r.running. Without one the attempt is ended.
func (w *Worker) send(r *route, x *h1.Exchange, ep *cluster.Endpoint, choice metrics.Choice) {
	q, a := &r.one, &r.running
	*a = exchangeAttempt{attempt: q.start(ep, choice)}
	up, err := w.connection(ep, q.fresh, choice == metrics.Original, q.toConnect(ep))
	if err != nil {
		a.outcome, a.err = classify.ConnectFailed, err
		if q.overdue() {
			a.outcome, a.err, a.unsent = classify.TimedOut, errRequestTime, true
			r.stats.Timeouts[1].Add(1)
		}
		q.done(&a.attempt)
		return
	}
	a.up, a.reused = up, up.Reused
	if !a.reused {
		outlier.Connected(w.load(ep), w.l.Now())
	}
	w.stats.Upstreams.Add(1)
	steady := x.InMemory()
	w.arm(r, x, a)
	up.Extra = q.attemptField()
	res := x.Start(up)
	if res.Err == nil {
		res = w.await(r, x)
	}
	if a.up == nil {
		return // a rival took its place and could not be connected
	}
	w.heard(r, a, res, steady)
}

// heard notes what came of an attempt's wait for the head of an answer. Without one it is ended. steady says that nobody but the
// endpoint had a part in how long that took.
func (w *Worker) heard(r *route, a *exchangeAttempt, res h1.Result, steady bool) {
	q := &r.one
	a.status, a.err, a.outcome = res.Status, res.Err, outcomeOf(res, false)
	if res.Err != nil {
		q.fresh = q.fresh || a.reused
		h := a.health()
		if a.outcome == classify.ClientGone && steady && !a.beside { // of two that race, neither of which has answered, it says nothing
			h = q.gaveUp(a.began)
		}
		q.judge(&a.attempt, h)
		w.end(r, a, false)
		return
	}
	if steady && a.status < 500 {
		r.latency.Note(time.Duration(w.l.Now() - a.began))
	}
	if a.status == 503 {
		if v := a.up.Answer().Value("retry-after"); v != nil {
			a.after, _ = retry.After(string(v), time.Now())
		}
	}
	q.head(&a.attempt, classify.HealthOf(a.outcome, a.status, a.reused))
}

// pass passes the answer of a on to the client, and ends the exchange.
func (w *Worker) pass(r *route, x *h1.Exchange, a *exchangeAttempt) {
	q := &r.one
	if a != &r.held {
		w.drop(r)
	}
	q.settle()
	q.tell(&a.attempt)
	if q.trace.explained {
		x.Extra = q.explanation(&a.attempt)
	}
	q.issue(x, &a.attempt)
	res := x.Forward(a.up)
	a.err, a.outcome = res.Err, outcomeOf(res, x.Begun())
	if h := classify.HealthOf(a.outcome, a.status, a.reused); res.Err != nil || h == classify.Good {
		q.judge(&a.attempt, h) // the rest was said of the head
	}
	if res.Err == nil {
		r.one.answered(a.status)
	}
	if res.Tunnel && res.Err == nil {
		r.tunnel, r.tunnelPlace, a.up = a.up, a.place, nil // counted until the tunnel ends
		r.tunnelTurn, q.shard.ticket = q.shard.ticket, nil
		q.trace.add(&a.attempt, w.l.Now())
		r.stats.Attempts[a.choice][a.outcome].Add(1)
		return
	}
	w.end(r, a, res.Reusable && res.Err == nil)
	if res.Err != nil {
		w.giveUp(r, x, &a.attempt)
	}
}

// end ends an attempt that has a connection, which may be kept.
func (w *Worker) end(r *route, a *exchangeAttempt, keep bool) {
	up := a.up
	a.up = nil
	r.one.done(&a.attempt)
	w.stats.Upstreams.Add(-1)
	switch {
	case keep:
		w.pools.Put(up)
	case a.outcome == classify.ClientGone:
		// The server is to see what the client did.
		up.Reset()
	default:
		up.Close()
	}
}

// hold keeps the running attempt's answer, if it has one, in the place of one that was kept before.
func (w *Worker) hold(r *route) {
	if r.running.up == nil {
		return
	}
	w.drop(r)
	r.held, r.running = r.running, exchangeAttempt{}
}

// What an answer that is not passed on may still cost for its connection to be kept: a page of HTML, and the time for it to come.
const (
	drainBytes = 64 << 10
	drainTime  = time.Second
)

// drop ends the attempt whose answer was held.
func (w *Worker) drop(r *route) {
	a := &r.held
	up := a.up
	if up == nil {
		return
	}
	a.up = nil
	r.one.done(&a.attempt)
	until := w.l.Now() + int64(drainTime)
	finish := func() {
		kept := up.Drain(drainBytes, until)
		w.stats.Upstreams.Add(-1)
		if kept {
			w.pools.Put(up)
		} else {
			up.Close()
		}
	}
	if up.Complete() {
		finish()
	} else {
		w.l.Go(finish)
	}
}

// abandon ends what a panic has left: no endpoint must go on looking busy, and no connection stay open.
func (r *route) abandon() {
	for _, a := range [...]*exchangeAttempt{&r.running, &r.held} {
		if a.up != nil {
			r.w.end(r, a, false)
		}
	}
}

// connection answers a kept connection or a new one; within bounds a connect besides what bounds every one, if it is not 0.
func (w *Worker) connection(ep *cluster.Endpoint, fresh, patient bool, within time.Duration) (*h1.Upstream, error) {
	if !fresh {
		return w.pools.Get(ep, patient, within)
	}
	c, err := w.pools.DialWithin(ep, patient, within)
	if err != nil {
		return nil, err
	}
	return h1.NewUpstream(c, ep), nil
}

// outcomeOf reads a result; answered says that the head of a final answer was passed on.
func outcomeOf(res h1.Result, answered bool) classify.Outcome {
	if res.Err == nil {
		return classify.Answered
	}
	_, unreadable := h1.ReasonOf(res.Err)
	switch {
	case res.Side == h1.SideDownstream:
		return classify.ClientGone
	case answered:
		return classify.Truncated
	case res.Err == errAttemptTime || res.Err == errRequestTime:
		return classify.TimedOut
	case unreadable:
		return classify.BadAnswer
	case res.Unprocessed:
		return classify.Unprocessed
	}
	return classify.Cut
}

// giveUp ends an exchange that nothing more can be done for. Where the endpoint's connection failed the client's fails in the same
// way: that is what it would have seen without us.
func (w *Worker) giveUp(r *route, x *h1.Exchange, last *attempt) {
	r.one.settle()
	if last.outcome != classify.ClientGone && last.err != nil {
		w.o.Log.Debug("request failed", slog.String("cluster", r.name()), slog.String("endpoint", last.ep.Addr.String()),
			slog.String("reason", last.outcome.String()), slog.Any("error", last.err))
	}
	switch last.outcome {
	case classify.ConnectFailed:
		if len(r.endpoints()) > 0 {
			r.one.shard.refused = unreachable
			w.reply(r, x, 503, fmt.Sprintf("no endpoint of %s can be reached: %d addresses tried, the last was %s: %v",
				r.target.Name, len(r.one.pick.Tried), last.ep.Addr, last.err))
			return
		}
		x.Abort()
	case classify.BadAnswer:
		w.reply(r, x, 502, fmt.Sprintf("endpoint %s of %s: %v", last.ep.Addr, r.name(), last.err))
		return
	case classify.ClientGone:
		if _, unreadable := h1.ReasonOf(last.err); unreadable {
			r.one.answered(400)
			x.Refuse(last.err)
			return
		}
		x.Abort()
	case classify.TimedOut:
		w.reply(r, x, 504, timedOut(r, &r.one, last))
		return
	case classify.Truncated:
		// Forward has decided how the client is told.
		r.one.answered(last.status)
		return
	case classify.Unprocessed, classify.Cut:
		if !errors.Is(last.err, h1.ErrClosedByEndpoint) && !errors.Is(last.err, io.EOF) {
			x.Abort()
		}
	}
	r.one.answered(0)
}

func (r *route) name() string {
	if r.target == nil {
		return r.dst.String()
	}
	return r.target.Name
}
