package proxy

import (
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/sluice-mesh/sluice/sidecar/classify"
	"github.com/sluice-mesh/sluice/sidecar/cluster"
	"github.com/sluice-mesh/sluice/sidecar/h1"
	"github.com/sluice-mesh/sluice/sidecar/metrics"
	"github.com/sluice-mesh/sluice/sidecar/outlier"
)

// exchange is the way of one request: pick, send, classify, and again elsewhere until it is answered or nothing may be done.
func (w *Worker) exchange(r *route, x *h1.Exchange) {
	r.renew()
	q := &r.one
	q.begin(r)
	r.budget.Deposit()
	var last end
	for fresh := false; ; {
		ep, choice := q.next()
		if ep == nil {
			w.giveUp(r, x, last)
			return
		}
		a := w.attempt(r, x, ep, fresh, choice == metrics.Original)
		r.stats.Attempts[choice][a.outcome].Add(1)
		if a.outcome == classify.Answered {
			r.stats.Answered(a.status)
			return
		}
		last = a
		switch classify.Decide(a.outcome, x.Replayable(), h1.IsIdempotent(x.Request.Method)) {
		case classify.No:
			w.giveUp(r, x, last)
			return
		case classify.Budgeted:
			if !r.budget.Withdraw(w.l.Now()) {
				r.stats.Refused.Add(1)
				w.giveUp(r, x, last)
				return
			}
		}
		r.stats.Retries[a.outcome].Add(1)
		if a.reused {
			// A kept connection that fails says nothing of its endpoint, which may have closed it while idle. From here on the
			// request goes on new connections.
			fresh = true
		} else {
			q.failed(ep, a.outcome != classify.ConnectFailed)
		}
	}
}

// end is how one attempt ended.
type end struct {
	ep      *cluster.Endpoint
	outcome classify.Outcome
	status  int
	err     error
	reused  bool
}

// attempt sends the request to one endpoint and, when an answer comes, passes it on. It may insist on a fresh connection, and be
// patient with the connect.
func (w *Worker) attempt(r *route, x *h1.Exchange, ep *cluster.Endpoint, fresh, patient bool) end {
	load := w.load(ep)
	load.InFlight++
	up, err := w.connection(ep, fresh, patient)
	if err != nil {
		load.InFlight--
		outlier.ConnectFailed(load, w.l.Now())
		return end{ep: ep, outcome: classify.ConnectFailed, err: err}
	}
	a := end{ep: ep, reused: up.Reused}
	if !a.reused {
		outlier.Connected(load)
	}
	w.stats.Upstreams.Add(1)
	settled := false
	defer func() {
		// A panic on the way must not leave the endpoint looking busy, nor the connection open.
		if settled {
			return
		}
		load.InFlight--
		w.stats.Upstreams.Add(-1)
		up.Close()
	}()
	res := x.Send(up)
	answered := res.Err == nil
	if answered {
		res = x.Forward(up)
	}
	a.status, a.err, a.outcome = res.Status, res.Err, outcomeOf(res, answered && x.Begun())
	settled = true
	if res.Tunnel && res.Err == nil {
		r.tunnel = up // counted until the tunnel ends
		return a
	}
	load.InFlight--
	w.stats.Upstreams.Add(-1)
	switch {
	case res.Reusable && res.Err == nil:
		w.pools.Put(up)
	case a.outcome == classify.ClientGone:
		// The server is to see what the client did.
		up.Reset()
	default:
		up.Close()
	}
	return a
}

func (w *Worker) connection(ep *cluster.Endpoint, fresh, patient bool) (*h1.Upstream, error) {
	if !fresh {
		return w.pools.Get(ep, patient)
	}
	c, err := w.pools.Dial(ep, patient)
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
	case unreadable:
		return classify.BadAnswer
	case res.Unprocessed:
		return classify.Unprocessed
	}
	return classify.Cut
}

// giveUp ends an exchange that nothing more can be done for. Where the endpoint's connection failed the client's fails in the same
// way: that is what it would have seen without us.
func (w *Worker) giveUp(r *route, x *h1.Exchange, last end) {
	if last.outcome != classify.ClientGone && last.err != nil {
		w.o.Log.Debug("request failed", slog.String("cluster", r.name()), slog.String("endpoint", last.ep.Addr.String()),
			slog.String("reason", last.outcome.String()), slog.Any("error", last.err))
	}
	switch last.outcome {
	case classify.ConnectFailed:
		if r.target != nil && len(r.target.Snapshot().Set.Endpoints) > 0 {
			r.stats.Answered(503)
			x.Reply(503, fmt.Sprintf("no endpoint of %s can be reached: %d addresses tried, the last was %s: %v",
				r.target.Name, len(r.one.pick.Tried), last.ep.Addr, last.err))
			return
		}
		x.Abort()
	case classify.BadAnswer:
		r.stats.Answered(502)
		x.Reply(502, fmt.Sprintf("endpoint %s of %s: %v", last.ep.Addr, r.name(), last.err))
		return
	case classify.ClientGone:
		if _, unreadable := h1.ReasonOf(last.err); unreadable {
			r.stats.Answered(400)
			x.Refuse(last.err)
			return
		}
		x.Abort()
	case classify.Truncated:
		// Forward has decided how the client is told.
		r.stats.Answered(last.status)
		return
	case classify.Unprocessed, classify.Cut:
		if !errors.Is(last.err, h1.ErrClosedByEndpoint) && !errors.Is(last.err, io.EOF) {
			x.Abort()
		}
	}
	r.stats.Answered(0)
}

func (r *route) name() string {
	if r.target == nil {
		return r.dst.String()
	}
	return r.target.Name
}
