package proxy

import (
	"fmt"

	"github.com/sluice-mesh/sluice/sidecar/h2"
	"github.com/sluice-mesh/sluice/sidecar/metrics"
)

// streamWaiter is a stream's request that waits until an endpoint is below its limit. It is the only stream that has a coroutine.
type streamWaiter struct {
	waiter
	gone bool // the client has given up
}

// Forget ends the wait.
func (v *streamWaiter) Forget(*h2.Exchange) {
	v.gone = true
	if v.task != nil { // it may not have begun
		v.task.Wake()
	}
}

// queue waits until an endpoint is below its limit and sends the request there; it is queue of HTTP/1.x for streams. No attempt of it runs; one that
// was answered with an error, and is held, takes no place meanwhile: those that wait for one another's would wait in vain.
func (s streams) queue(x *h2.Exchange, c *call) {
	c.attempt = attempt{}
	s.w.times.remove(c)
	if c.held.ep != nil {
		s.w.giveUpPlace(c.held.ep, &c.held.place)
	}
	w, k, limits := s.w, c.waitsIn(), c.rules.Limits
	if !w.o.Shared.admit() {
		s.limited(x, c, s.r.proxyFull())
		return
	}
	v := &streamWaiter{waiter: waiter{l: w.l, choosy: c.choosy()}}
	if n, ok := k.join(&v.waiter, limits.Pending); !ok {
		w.o.Shared.dismiss()
		s.r.stats.Limited[metrics.LimitPending].Add(1)
		s.limited(x, c, fmt.Sprintf("%d requests wait already (sluice.mesh/max-pending)", n))
		return
	}
	x.Wait(v)
	until := c.queueUntil(0)
	w.l.Go(func() {
		v.task = w.l.Current()
		found := false
		defer func() { k.leave(&v.waiter, found); w.o.Shared.dismiss() }()
		for {
			if v.gone || w.l.Stopping() {
				return
			}
			if ep, choice := c.looks(k, &v.waiter); ep != nil {
				found = true
				x.Wait(nil)
				s.send(x, c, ep, choice)
				return
			}
			if c.shard.away {
				x.Wait(nil)
				s.ownerAway(x, c, nil)
				return
			}
			if c.overdue() {
				x.Wait(nil)
				s.r.stats.Timeouts[requestDeadline-attemptDeadline].Add(1)
				if c.held.ep != nil {
					s.exhausted(x, c, h2.Failure{})
					return
				}
				s.reply(x, 504, codeDeadlineExceeded, c.timedOutWaiting())
				return
			}
			if w.l.Now() >= until {
				x.Wait(nil)
				s.r.stats.Limited[metrics.LimitQueue].Add(1)
				s.limited(x, c, fmt.Sprintf("this one has waited %v (sluice.mesh/queue-timeout)", limits.Queue))
				return
			}
			w.l.Wait(min(until, w.l.Now()+int64(look)), nil, nil, func() bool { return v.ready || v.gone })
		}
	})
}

// connections answers how many of a proxy's connections to one endpoint are this loop's: they are shared out, and each loop has one at least, as a stream
// cannot go to another's.
func (w *Worker) connections(most int) int {
	share := most / w.o.Loops
	if w.l.Index() < most%w.o.Loops {
		share++
	}
	return max(share, 1)
}

// limited answers a request that met a limit. What another endpoint has said is better than that.
func (s streams) limited(x *h2.Exchange, c *call, text string) {
	if c.held.ep != nil {
		s.exhausted(x, c, h2.Failure{})
		return
	}
	limits := c.rules.Limits
	c.refuse(c.fullOwner(), text)
	what := fmt.Sprintf("%d requests (sluice.mesh/max-requests)", limits.Requests)
	if limits.Requests == 0 || c.connsFull {
		what = fmt.Sprintf("%d connections (sluice.mesh/max-connections)", limits.Connections)
	}
	s.reply(x, 503, codeUnavailable, fmt.Sprintf("every endpoint of %s has its most of %s, and %s", s.r.name(), what, text))
}
