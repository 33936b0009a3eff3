package proxy

import (
	"github.com/sluice-mesh/sluice/sidecar/h2"
	"github.com/sluice-mesh/sluice/sidecar/shardkey"
)

// place sends the request where it goes first, now or when there is room for it.
func (s streams) place(x *h2.Exchange, c *call) {
	if c.bounded() && c.waitsIn().open.Load() > 0 && c.shard.owned == unowned {
		s.queue(x, c) // behind those that came before
		return
	}
	ep, choice := c.request.next()
	switch {
	case ep != nil:
		s.send(x, c, ep, choice)
	case c.shard.away:
		s.ownerAway(x, c, nil)
	default:
		s.queue(x, c)
	}
}

// own finds out who owns the request, waits for its turn, and goes on with place.
func (s streams) own(x *h2.Exchange, c *call) {
	h := &s.w.head2
	h.x, h.client = x, s.r.client
	o := c.look(h)
	if o == shardkey.NeedMore && x.Request.Method == "CONNECT" {
		o = c.shard.keys.Body(nil, true) // what comes is no body, and its client waits for the answer before: RFC 8441, section 5
	}
	if o == shardkey.NeedMore {
		s.watch(x, c)
		return
	}
	s.owned(x, c, o)
}

// owned goes on once the look for the key has ended.
func (s streams) owned(x *h2.Exchange, c *call, o shardkey.Outcome) {
	h := &s.w.head2
	h.x, h.client = x, s.r.client
	ref := c.found(o, h)
	h.x = nil
	wait := false
	if ref.status == 0 {
		ref, wait = c.line()
	}
	switch {
	case ref.status != 0:
		s.refuse(x, ref)
	case wait:
		s.patiently(x, func(p *patient) {
			ref, gone := c.awaitTurn(p)
			if gone {
				return
			}
			x.Wait(nil)
			if ref.status != 0 {
				s.refuse(x, ref)
			} else {
				s.place(x, c)
			}
		})
	default:
		s.place(x, c)
	}
}

func (s streams) refuse(x *h2.Exchange, ref refusal) { s.reply(x, ref.status, ref.grpc, ref.text) }

// patiently runs what a stream waits for in a coroutine.
func (s streams) patiently(x *h2.Exchange, f func(p *patient)) {
	p := &patient{w: s.w}
	x.Wait(p)
	s.w.l.Go(func() {
		p.task = s.w.l.Current()
		if p.gone {
			return
		}
		defer func() {
			if x.Waits(p) && !p.gone && !s.w.l.Stopping() { // a panic passes
				x.Wait(nil)
				s.reply(x, 500, codeInternal, "internal error while the request waited")
			}
		}()
		f(p)
	})
}

// ownerAway waits for the owner as long as the Service allows, and sends the request there.
func (s streams) ownerAway(x *h2.Exchange, c *call, last *attempt) {
	var failed *attempt
	if last != nil {
		copied := *last
		failed = &copied
	}
	c.attempt = attempt{} // none runs
	s.w.times.remove(c)
	s.patiently(x, func(p *patient) {
		ep, choice, ref, gone := c.awaitOwner(p, failed)
		if gone {
			return
		}
		x.Wait(nil)
		switch {
		case ref.status == 0:
			s.send(x, c, ep, choice)
		case c.held.ep != nil:
			s.exhausted(x, c, h2.Failure{}) // what another endpoint has said is better than that
		default:
			s.refuse(x, ref)
		}
	})
}
