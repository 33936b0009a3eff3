package proxy

import (
	"errors"

	"github.com/sluice-mesh/sluice/sidecar/classify"
	"github.com/sluice-mesh/sluice/sidecar/cluster"
	"github.com/sluice-mesh/sluice/sidecar/h1"
	"github.com/sluice-mesh/sluice/sidecar/loop"
	"github.com/sluice-mesh/sluice/sidecar/metrics"
	"github.com/sluice-mesh/sluice/sidecar/outlier"
)

// rival is an attempt beside the running one. It has a coroutine, which connects, sends and waits; the exchange's own coroutine
// decides what becomes of it.
type rival struct {
	exchangeAttempt
	res   h1.Result
	ended bool // the coroutine has ended
	// handed says that the exchange takes the connection over as soon as there is one; left, that nobody wants it any more, and the
	// coroutine ends the attempt itself.
	handed, left bool
	fate         classify.Outcome // of one that nobody wants any more
	idle         bool             // the coroutine left it at a connection
	exchange     *loop.Task
}

var errRivalPanicked = errors.New("internal error while an attempt was raced")

// challenge begins a rival to the running attempt, or answers nil when there may be none: then the attempt is asked about again
// later, or never.
func (w *Worker) challenge(r *route, x *h1.Exchange) *rival {
	q, a := &r.one, &r.running
	a.late = loop.Never
	if q.nested || q.overdue() || q.spent() || !x.Replayable() {
		return nil
	}
	if !x.InMemory() {
		a.late = w.l.Now() + int64(r.patience(q.rules)) // the client may yet send the rest
		return nil
	}
	ep, choice := q.beside(&a.attempt)
	if ep == nil {
		a.late = q.later(a.ep, a.began)
		return nil
	}
	return w.beginRival(r, x, ep, choice)
}

func (w *Worker) beginRival(r *route, x *h1.Exchange, ep *cluster.Endpoint, choice metrics.Choice) *rival {
	v := &rival{exchangeAttempt: exchangeAttempt{attempt: r.one.start(ep, choice)}, exchange: w.l.Current()}
	kept := r.service
	w.services.use(kept)
	field, rules, fresh, left, end := r.one.attemptField(), r.one.rules, r.one.fresh, r.one.left(), r.one.end()
	w.l.Go(func() {
		v.res = h1.Result{Err: errRivalPanicked, Side: h1.SideUpstream}
		defer func() {
			v.ended = true
			defer w.services.done(kept)
			if v.left {
				// The exchange has ended, and its work may be another's.
				own := *r
				own.service = kept
				own.work = &work{one: request{route: &own, rules: rules}}
				w.giveBack(&own, v)
			} else {
				v.exchange.Wake()
			}
		}()
		up, err := w.connection(ep, fresh, false, left)
		if err != nil && end != loop.Never && w.l.Now() >= end {
			v.res.Err, v.err, v.outcome, v.unsent = errRequestTime, errRequestTime, classify.TimedOut, true
			return
		}
		if err != nil {
			v.res.Err, v.err, v.outcome = err, err, classify.ConnectFailed
			return
		}
		v.up, v.reused, v.began = up, up.Reused, w.l.Now()
		if !v.reused {
			outlier.Connected(w.load(ep), w.l.Now())
		}
		w.stats.Upstreams.Add(1)
		if v.left || v.handed {
			v.res, v.idle = h1.Result{}, true
			return
		}
		up.Extra = field
		v.res = x.Rival(up)
	})
	return v
}

// giveBack ends a rival that nobody wants any more; its coroutine has ended. A connection on which nothing was sent is kept.
func (w *Worker) giveBack(r *route, v *rival) {
	if v.up == nil {
		r.one.done(&v.attempt)
		return
	}
	v.outcome = v.fate
	w.end(r, &v.exchangeAttempt, v.idle)
}

// overtaken decides about a rival whose coroutine has ended before the running attempt was answered: with an answer it is the
// running attempt now. It answers the rival that still runs, if any.
func (w *Worker) overtaken(r *route, x *h1.Exchange, v *rival) *rival {
	q, a := &r.one, &r.running
	if v.res.Err == nil && !q.rules.Retry.On.Status(v.res.Status) {
		r.stats.Races[1].Add(1)
		hung := q.hung(a.began)
		x.Adopt(v.up, a.up)
		a.outcome = classify.LostRace
		if hung {
			q.judge(&a.attempt, classify.Bad)
		}
		w.end(r, a, false)
		w.promote(r, v)
		return nil
	}
	if v.up == nil {
		q.done(&v.attempt)
	} else if w.heard(r, &v.exchangeAttempt, v.res, false); v.res.Err == nil {
		v.outcome = classify.ServerError
		w.drop(r)
		r.held = v.exchangeAttempt
	}
	q.besides(&v.attempt)
	return w.challenge(r, x)
}

// promote makes a rival the running attempt.
func (w *Worker) promote(r *route, v *rival) {
	r.running = v.exchangeAttempt
	r.running.late = v.began + int64(r.patience(r.one.rules))
}

// takeOver makes a rival whose coroutine may still run the running attempt, in the place of one that has ended.
func (w *Worker) takeOver(r *route, x *h1.Exchange, v *rival) h1.Result {
	conn := x.Downstream().Conn
	v.handed = true
	sent := v.up != nil
	if sent && !v.ended {
		v.up.Interrupt()
	}
	// A rival that was sent ends at once, and another one when it is connected, or the time for that is up.
	err := w.l.Wait(loop.Never, nil, conn, func() bool { return v.ended || !sent && conn.PeerGone() })
	if !v.ended {
		v.left = true
		if err == nil {
			err = errClientLeft
		}
		v.fate = classify.ClientGone
		r.running.outcome, r.running.err = classify.ClientGone, err
		return h1.Result{Err: err, Side: h1.SideDownstream}
	}
	w.promote(r, v)
	a := &r.running
	if a.up == nil {
		if a.err == errRequestTime {
			r.stats.Timeouts[requestDeadline-attemptDeadline].Add(1)
		}
		r.one.done(&a.attempt)
		return v.res
	}
	if !sent {
		a.up.Extra = r.one.attemptField()
		return x.Start(a.up)
	}
	if whole := a.up.Resume(); whole && (v.res.Err == nil || errors.Is(v.res.Err, loop.ErrTimeout)) {
		x.Adopt(a.up, a.up)
		return h1.Result{}
	}
	return v.res
}

var errClientLeft = errors.New("connection closed by the client")

// dismiss ends a rival that has lost, or that nobody needs any more; o is how it has ended.
func (w *Worker) dismiss(r *route, v *rival, o classify.Outcome) {
	v.fate = o
	if !v.ended && v.up != nil {
		v.up.Interrupt()
		w.l.Wait(loop.Never, nil, nil, func() bool { return v.ended })
	}
	if !v.ended {
		v.left = true
		return
	}
	w.giveBack(r, v)
}
