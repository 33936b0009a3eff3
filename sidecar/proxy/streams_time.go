package proxy

import (
	"time"

	"github.com/sluice-mesh/sluice/sidecar/classify"
	"github.com/sluice-mesh/sluice/sidecar/h2"
	"github.com/sluice-mesh/sluice/sidecar/loop"
)

// timed is when something is due of a call whose running attempt has no answer yet, or whose body is needed before the first.
type timed struct {
	due           int64 // the loop's clock; loop.Never is never
	late          int64 // when the attempt is to be raced, likewise, unless it is sent after noted: then later by so much
	noted         int64
	s             streams
	x             *h2.Exchange
	before, after *call
	listed        bool
}

// times are the calls of which something is due. A coroutine minds them as long as there are any.
type times struct {
	first  *call
	minded bool // there is a coroutine, or will be
	task   *loop.Task
	wake   int64 // when the coroutine looks again
}

func (t *times) remove(c *call) {
	if !c.listed {
		return
	}
	if c.timed.before != nil {
		c.timed.before.timed.after = c.timed.after
	} else {
		t.first = c.timed.after
	}
	if c.timed.after != nil {
		c.timed.after.timed.before = c.timed.before
	}
	c.timed = timed{}
}

// arm says what is due of the attempt that begins now.
func (s streams) arm(x *h2.Exchange, c *call) {
	w, rules := s.w, c.rules
	late := loop.Never
	if s.r.target != nil && (rules.HangRace.On || rules.Hedge > 0) && s.idempotent(x, c) {
		late = w.l.Now() + int64(c.untilRaced())
	}
	w.times.set(w, s, x, c, late)
}

// set lists a call by what is due of it next, or takes it off.
func (t *times) set(w *Worker, s streams, x *h2.Exchange, c *call, late int64) {
	due, now := late, w.l.Now()
	earlier := func(at int64) {
		if due == loop.Never || at < due {
			due = at
		}
	}
	if d := c.rules.PerTryTimeout; d > 0 && !c.shard.reading {
		earlier(went(x, now) + int64(d))
	}
	if d := c.within; d > 0 {
		earlier(c.request.began + int64(d))
		if at := c.toConnectBy(x); at > w.l.Now() {
			earlier(at)
		}
	}
	t.remove(c)
	if due == loop.Never {
		return
	}
	c.timed = timed{due: due, late: late, noted: now, s: s, x: x, after: t.first, listed: true}
	if t.first != nil {
		t.first.timed.before = c
	}
	t.first = c
	switch {
	case !t.minded:
		t.minded, t.wake = true, due
		w.l.Go(func() { w.mind() })
	case due < t.wake:
		if t.wake = due; t.task != nil {
			t.task.Wake()
		}
	}
}

// went answers when the running attempt was sent. One that waits for a connection can be sent now at the earliest: its own time has not begun.
func went(x *h2.Exchange, now int64) int64 {
	if at, ok := x.Went(); ok {
		return at
	}
	return now
}

// mind does what is due, until there is nothing any more.
func (w *Worker) mind() {
	t := &w.times
	t.task = w.l.Current()
	defer func() { t.minded, t.task = false, nil }()
	for t.first != nil && !w.l.Stopping() {
		now := w.l.Now()
		if t.wake > now {
			w.l.Park(t.wake)
			continue
		}
		// An answer that is there already is no late one.
		if w.l.Behind(); w.l.Stopping() {
			return
		}
		now = w.l.Now()
		t.wake = now + 1<<62
		for c := t.first; c != nil; {
			next := c.timed.after
			if c.due <= now {
				c.s.overdue(c.x, c, now)
			} else {
				t.wake = min(t.wake, c.due)
			}
			if next != nil && !next.listed {
				break // what was due changed the list: look again
			}
			c = next
		}
		for c := t.first; c != nil; c = c.timed.after {
			t.wake = min(t.wake, c.due)
		}
	}
}

// overdue does what is due of a call.
func (s streams) overdue(x *h2.Exchange, c *call, now int64) {
	late := c.late
	if late != loop.Never {
		late += max(0, went(x, now)-c.noted)
	}
	s.w.times.remove(c)
	a := &c.attempt
	switch {
	case c.shard.reading:
		s.r.stats.Timeouts[requestDeadline-attemptDeadline].Add(1)
		s.unwatch(x, c)
		s.refuse(x, c.bodyLate())
	case c.within > 0 && now >= c.request.began+int64(c.within):
		s.r.stats.Timeouts[requestDeadline-attemptDeadline].Add(1)
		a.outcome, a.err = classify.TimedOut, errRequestTime
		a.owed = x.Owed()
		_, sent := x.Went()
		a.unsent = !sent
		race := raced(x, c)
		h := classify.Silent // of an endpoint that has seen nothing of it
		switch {
		case sent && c.hurried(): // it was the caller who had no patience
			h = c.abandoned(x)
		case sent && (!race || c.hung(a.began)): // a rival is to have had so long that it hangs
			h = a.health()
		}
		if race && !c.hurried() { // the one that was raced, which has gone out whole, is judged as if it had been alone
			c.judge(&c.held, classify.HealthOf(classify.TimedOut, 0, false))
		}
		x.Drop()
		c.judge(a, h)
		c.done(a)
		if _, answered := x.Held(); answered {
			s.exhausted(x, c, h2.Failure{})
			return
		}
		s.drop(c, classify.TimedOut)
		s.giveUp(x, c, h2.Failure{})
	case c.rules.PerTryTimeout > 0 && now >= went(x, now)+int64(c.rules.PerTryTimeout):
		s.r.stats.Timeouts[0].Add(1)
		a.outcome, a.err = classify.TimedOut, errAttemptTime
		if raced(x, c) {
			c.judge(a, classify.HealthOf(a.outcome, 0, false))
			s.rivalFailed(x, c, a.outcome)
			return
		}
		a.owed = x.Owed()
		x.Drop()
		s.lost(x, c, h2.Failure{})
	case c.toConnectBy(x) != loop.Never && now >= c.toConnectBy(x):
		a.outcome, a.err = classify.ConnectFailed, errConnectTime
		x.Drop()
		s.lost(x, c, h2.Failure{Err: errConnectTime})
	case late != loop.Never && now >= late:
		s.challenge(x, c)
	default:
		s.w.times.set(s.w, s, x, c, late)
	}
}

// raced reports whether the running attempt races one that has no answer yet.
func raced(x *h2.Exchange, c *call) bool {
	if c.held.ep == nil {
		return false
	}
	_, answered := x.Held()
	return !answered
}

// challenge begins an attempt at another endpoint beside one that takes strangely long. The first answer wins.
func (s streams) challenge(x *h2.Exchange, c *call) {
	w := s.w
	switch {
	case c.nested || c.enough || c.spent() || !x.Replayable() || raced(x, c):
		w.times.set(w, s, x, c, loop.Never)
		return
	case !x.Sent():
		w.times.set(w, s, x, c, w.l.Now()+int64(s.r.patience(c.rules))) // the client may yet send the rest, or the endpoint take it
		return
	}
	ep, choice := c.beside(&c.attempt)
	if ep == nil {
		w.times.set(w, s, x, c, c.later(c.attempt.ep, c.attempt.began))
		return
	}
	s.release(c) // an error that was held gives way to an attempt that may yet be answered
	c.held = c.attempt
	x.Hold()
	s.send(x, c, ep, choice)
	w.times.set(w, s, x, c, loop.Never) // one rival at a time
}

// wonByRival ends the attempt that was raced: the running one was answered first.
func (s streams) wonByRival(x *h2.Exchange, c *call) {
	s.r.stats.Races[1].Add(1)
	h := &c.held
	h.outcome = classify.LostRace
	if c.hung(h.began) {
		c.judge(h, classify.Bad)
	}
	s.release(c)
	x.DropHeld()
	s.w.times.remove(c)
}

// rivalFailed goes on with the attempt that was raced alone. Where the rival was answered with an error, that is held.
func (s streams) rivalFailed(x *h2.Exchange, c *call, o classify.Outcome) {
	c.attempt.outcome = o
	c.besides(&c.attempt)
	if c.attempt, c.held = c.held, c.attempt; o == classify.ServerError {
		x.Swap() // its answer is better than none
	} else {
		s.release(c)
		x.Resume()
	}
	if !x.Pending() {
		s.w.times.set(s.w, s, x, c, s.w.l.Now()+int64(s.r.patience(c.rules)))
	}
}

// HeldAnswered ends the race: the attempt that was raced is answered first. Where it is an error, the rival may do better.
func (s streams) HeldAnswered(x *h2.Exchange, h h2.Head) {
	c := x.State.(*call)
	c.held.status = h.Status
	c.pushedBack(x.HeldSaid, h, &c.held)
	if h.Status < 500 {
		s.r.latency.Note(time.Duration(c.held.took(s.w.l.Now()))) // it has gone out whole, or it would not have been raced
	}
	c.head(&c.held, healthOf(h))
	if s.fails(c, h) {
		c.held.outcome = classify.ServerError
		s.alone(x, c)
		return // held as an answer with an error is
	}
	s.r.stats.Races[0].Add(1)
	c.told = h.GRPC >= 0
	c.attempt.outcome = classify.LostRace
	c.done(&c.attempt)
	c.attempt, c.held = c.held, attempt{}
	s.w.times.remove(c)
	s.explain(x, c)
	x.Adopt()
}

// HeldFailed ends the race: the rival goes on alone.
func (s streams) HeldFailed(x *h2.Exchange, f h2.Failure) {
	c := x.State.(*call)
	h := &c.held
	h.outcome, h.err, h.reused = outcomeOfStream(f), f.Err, f.Kept
	c.judge(h, classify.HealthOf(h.outcome, 0, h.reused))
	if h.reused {
		c.pardon(h.ep, h.outcome)
	}
	s.release(c)
	s.alone(x, c)
}

// alone says when a rival is to be raced in its turn, now that the attempt it raced has ended. One whose answer waits is not.
func (s streams) alone(x *h2.Exchange, c *call) {
	if x.Pending() {
		return
	}
	s.w.times.set(s.w, s, x, c, went(x, s.w.l.Now())+int64(s.r.patience(c.rules)))
}
