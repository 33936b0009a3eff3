package proxy

import (
	"log/slog"

	"github.com/sluice-mesh/sluice/sidecar/h1"
	"github.com/sluice-mesh/sluice/sidecar/metrics"
	"github.com/sluice-mesh/sluice/sidecar/tunnel"
)

// bound serves the requests of a connection to a destination without a Service. There is one place they can go, so the
// connection keeps an endpoint connection of its own: nothing is balanced, retried or reused, and both ends see each other as they
// would without us (docs/decisions/0007).
func (w *Worker) bound(s h1.Stream, r *route, a *ahead) {
	g, err := w.takeOr(a, r)
	if err != nil {
		s.Reset()
		return
	}
	defer w.done(g)
	up := h1.NewUpstream(g.conn, g.ep)
	d := h1.NewDownstream(s, w.h1)
	d.Bind(up)
	reset := false
	defer func() {
		if reset {
			up.Reset()
		} else {
			up.Close()
		}
	}()
	if d.Serve(func(x *h1.Exchange) { reset = w.relay(r, x, up) }) == h1.Tunnel {
		w.count(tunnel.RunAfter(d.Settle, d.Conn, g.conn, d, up))
	}
}

// relay passes one request and its answer on. It reports whether the server is to see a reset.
func (w *Worker) relay(r *route, x *h1.Exchange, up *h1.Upstream) (reset bool) {
	if !r.enter() {
		r.stats.Answered(503)
		x.Reply(503, r.crowded())
		return false
	}
	res := x.Send(up)
	answered := res.Err == nil
	opened := answered && res.Tunnel // all that follows is the answer, and the connection's end is its own
	if answered && !opened {
		res = x.Forward(up)
	}
	if !opened {
		r.exit()
	}
	r.stats.Attempts[metrics.Original][outcomeOf(res, answered)].Add(1)
	if _, unreadable := h1.ReasonOf(res.Err); unreadable && res.Side == h1.SideDownstream && !x.Begun() {
		r.stats.Answered(400)
		x.Refuse(res.Err)
		return false
	}
	r.stats.Answered(res.Status)
	if res.Err != nil {
		w.o.Log.Debug("request failed", slog.String("cluster", r.name()), slog.Any("error", res.Err))
		x.Abort()
	}
	return res.Err != nil
}
