package proxy

import (
	"fmt"
	"slices"

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

// queue waits until an endpoint is below its limit and sends the request there; it is queue of HTTP/1.x for streams.
func (s streams) queue(x *h2.Exchange, c *call) {
	w, r, limits := s.w, s.r, c.rules.Limits
	if int64(len(r.waiting)) >= w.share(limits.Pending) {
		s.limited(x, c, metrics.LimitPending, fmt.Sprintf("%d requests wait already (sluice.mesh/max-pending)", len(r.waiting)))
		return
	}
	v := &streamWaiter{}
	service := r.service
	service.waiting = append(service.waiting, &v.waiter)
	x.Wait(v)
	until := w.l.Now() + int64(limits.Queue)
	if d := c.within; d > 0 {
		until = min(until, c.request.began+int64(d))
	}
	w.l.Go(func() {
		v.task = w.l.Current()
		defer func() {
			service.waiting = slices.DeleteFunc(service.waiting, func(o *waiter) bool { return o == &v.waiter })
			if v.ready && len(service.waiting) > 0 {
				r.call(service.waiting[0]) // there may be room for more than one
			}
		}()
		for {
			first := service.waiting[0] == &v.waiter
			if v.gone || w.l.Stopping() {
				return
			}
			if first || v.ready || c.shard.owned != unowned {
				if ep, choice := c.request.next(); ep != nil {
					v.ready = true
					x.Wait(nil)
					s.send(x, c, ep, choice)
					return
				}
			}
			if w.l.Now() >= until {
				x.Wait(nil)
				s.limited(x, c, metrics.LimitQueue, fmt.Sprintf("this one has waited %v (sluice.mesh/queue-timeout)", limits.Queue))
				return
			}
			v.ready = false
			w.l.Wait(min(until, w.l.Now()+int64(look)), nil, nil, func() bool { return v.ready || v.gone })
		}
	})
}

// limited answers a request that met a limit.
func (s streams) limited(x *h2.Exchange, c *call, limit metrics.Limit, text string) {
	s.r.stats.Limited[limit].Add(1)
	limits := c.rules.Limits
	what := fmt.Sprintf("%d requests (sluice.mesh/max-requests)", limits.Requests)
	s.reply(x, 503, codeUnavailable, fmt.Sprintf("every endpoint of %s has its most of %s, and %s", s.r.name(), what, text))
}
