package proxy

import (
	"github.com/sluice-mesh/sluice/sidecar/cluster"
	"github.com/sluice-mesh/sluice/sidecar/h1"
	"github.com/sluice-mesh/sluice/sidecar/metrics"
	"github.com/sluice-mesh/sluice/sidecar/shardkey"
)

// own finds out who owns the request, and waits for its turn. It reports false when the exchange has ended.
func (w *Worker) own(r *route, x *h1.Exchange) bool {
	q := &r.one
	w.head1 = head1{x.Request, r.client}
	o := q.look(&w.head1)
	if o == shardkey.NeedMore {
		var on bool
		if o, on = w.readKey(r, x); !on {
			return false
		}
	}
	w.head1 = head1{x.Request, r.client} // others may have been here meanwhile
	ref := q.found(o, &w.head1)
	w.head1 = head1{}
	wait, gone := false, false
	if ref.status == 0 {
		ref, wait = q.line()
	}
	if wait {
		ref, gone = q.awaitTurn(&patient{w: w, conn: x.Downstream().Conn})
	}
	return w.unrefused(r, x, ref, gone)
}

// unrefused ends the exchange when it is refused or its client has gone, and reports whether it goes on.
func (w *Worker) unrefused(r *route, x *h1.Exchange, ref refusal, gone bool) bool {
	switch {
	case gone:
		r.one.answered(0)
		x.Abort()
	case ref.status != 0:
		w.reply(r, x, ref.status, ref.text)
	default:
		return true
	}
	return false
}

// queue waits until an endpoint is below its limit, and goes on to wait for the owner of the key, as far as the Service allows it, when that
// goes away meanwhile. It answers nil when the exchange has ended.
func (w *Worker) queue(r *route, x *h1.Exchange) (*cluster.Endpoint, metrics.Choice) {
	ep, choice := w.inLine(r, x)
	if ep == nil && r.one.shard.away {
		return w.ownerAway(r, x, nil)
	}
	return ep, choice
}

// ownerAway waits for the owner as long as the Service allows. It answers nil when the exchange has ended.
func (w *Worker) ownerAway(r *route, x *h1.Exchange, last *attempt) (*cluster.Endpoint, metrics.Choice) {
	ep, choice, ref, gone := r.one.awaitOwner(&patient{w: w, conn: x.Downstream().Conn}, last)
	if ref.status != 0 && r.held.up != nil {
		w.pass(r, x, &r.held) // what another endpoint has said is better than that
		return nil, 0
	}
	if !w.unrefused(r, x, ref, gone) {
		return nil, 0
	}
	return ep, choice
}
