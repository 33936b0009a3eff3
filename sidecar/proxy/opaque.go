package proxy

import (
	"errors"
	"log/slog"
	"net/netip"

	"github.com/sluice-mesh/sluice/sidecar/cluster"
	"github.com/sluice-mesh/sluice/sidecar/h1"
	"github.com/sluice-mesh/sluice/sidecar/loop"
	"github.com/sluice-mesh/sluice/sidecar/metrics"
	"github.com/sluice-mesh/sluice/sidecar/outlier"
	"github.com/sluice-mesh/sluice/sidecar/tunnel"
)

// leg is a connection to an endpoint that carries opaque bytes.
type leg struct {
	conn *loop.Conn
	ep   *cluster.Endpoint
	said h1.Stream // what was read of conn; its zero value is nothing
	// place is who waits for the place that it takes; nil takes none.
	place *queue
}

// ahead answers what was read of the leg's connection.
func (g *leg) ahead() tunnel.Ahead {
	if g.said.Conn == nil {
		return nil
	}
	return &g.said
}

var errFull = errors.New("every endpoint has its most connections (sluice.mesh/max-connections)")

var errNoEndpoint = errors.New("no endpoint left to try")

// connect dials endpoints until one answers, or until nobody wants the leg any more; each is tried once. The endpoint's InFlight is counted
// until done. With unwanted nil the leg stays wanted, and takes a place. Else it is made ahead, and takes none before it is known to carry opaque
// bytes: a client may be silent for hours and send a request then, which waits for a place of its own. Where servers are known to speak first it is
// known before.
func (w *Worker) connect(r *route, unwanted *bool) (leg, error) {
	r.borrow()
	defer r.giveBack()
	q := &r.one
	q.begin(r)
	if unwanted == nil || r.target != nil && r.target.ServerFirst.Load() {
		q.atMost(q.rules.Limits.Connections)
	}
	err := errNoEndpoint
	for {
		ep, choice := q.next()
		if ep == nil && q.full {
			r.stats.Limited[metrics.LimitOpaque].Add(1)
			return leg{}, errFull
		}
		if ep == nil || unwanted != nil && *unwanted {
			q.unpick()
			return leg{}, err
		}
		load := w.load(ep)
		load.InFlight++
		since := outlier.Began(load, w.l.Now(), outlier.Settings(q.rules.Ejection))
		place := q.settled(ep)
		var c *loop.Conn
		if c, err = w.pools.Dial(ep, choice == metrics.Original); err == nil {
			outlier.Connected(load, w.l.Now())
			outlier.Silent(load, since, w.l.Now(), false)
			w.stats.Upstreams.Add(1)
			return leg{conn: c, ep: ep, place: place}, nil
		}
		load.InFlight--
		outlier.Silent(load, since, w.l.Now(), false) // unless the connect has said something of it
		w.giveUpPlace(ep, &place)
		q.failed(ep, false)
	}
}

// done ends the count of a leg.
func (w *Worker) done(g leg) {
	w.load(g.ep).InFlight--
	w.giveUpPlace(g.ep, &g.place)
	w.stats.Upstreams.Add(-1)
}

// discard ends a leg that nobody uses.
func (w *Worker) discard(g leg) {
	w.done(g)
	g.said.Drop()
	g.conn.Close()
}

// seat takes the place of a leg that was made ahead, and reports whether there was one.
func (w *Worker) seat(r *route, g *leg) bool {
	most := int64(r.settings().Limits.Connections)
	if most == 0 || g.place != nil {
		return true
	}
	if !g.ep.Places.Take(most) {
		return false
	}
	g.place = &r.common.queue
	return true
}

// takeOr answers the leg that detection has begun to make, or makes one; the latter also where the endpoint has its most connections by now, since
// another one may have a place and nothing was passed on yet.
func (w *Worker) takeOr(a *ahead, r *route) (g leg, err error) {
	if a != nil {
		if g, err = w.take(a); err == nil && !w.seat(r, &g) {
			w.discard(g)
			g, err = w.connect(r, nil)
		}
	} else {
		g, err = w.connect(r, nil)
	}
	if err != nil {
		w.o.Log.Debug("connection failed", slog.String("cluster", r.name()), slog.Any("error", err))
	}
	return g, err
}

// opaque balances a connection as a whole. a is a leg that detection has begun to make, or none.
func (w *Worker) opaque(s *h1.Stream, r *route, a *ahead) {
	g, err := w.takeOr(a, r)
	if err != nil {
		s.Reset()
		return
	}
	r.stats.Opaque.Add(1)
	defer w.done(g)
	defer g.conn.Close()
	w.count(tunnel.Run(s.Conn, g.conn, s, g.ahead()))
}

// upgraded runs the tunnel that an exchange ended in.
func (w *Worker) upgraded(d *h1.Downstream, r *route) {
	defer r.endTunnel()
	up := r.tunnel
	w.count(tunnel.RunAfter(d.Settle, d.Conn, up.Conn, d, up))
}

// endTunnel ends what the route has of a tunnel, if it has one, and the request that opened it.
func (r *route) endTunnel() {
	up, turn := r.tunnel, r.tunnelTurn
	r.tunnel, r.tunnelTurn = nil, nil
	if turn != nil {
		turn.done()
	}
	if up != nil {
		up.Conn.Close()
		r.w.done(leg{conn: up.Conn, ep: up.Endpoint, place: r.tunnelPlace})
	}
	r.exit()
}

// passthrough sends a connection on to where it was going, unread.
func (w *Worker) passthrough(c *loop.Conn, dst netip.AddrPort) {
	// The bound of a connect is for choosing another endpoint in time; here there is none, so the kernel's holds, as without us.
	up, err := w.l.Dial(dst, loop.DialOptions{KeepAlive: w.o.Upstream.KeepAlive})
	if err != nil {
		w.o.Log.Debug("passthrough failed", slog.String("destination", dst.String()), slog.Any("error", err))
		c.Reset()
		return
	}
	w.stats.Upstreams.Add(1)
	defer w.stats.Upstreams.Add(-1)
	defer up.Close()
	w.count(tunnel.Run(c, up, nil, nil))
}

func (w *Worker) count(s tunnel.Stats) {
	w.stats.TunnelUp.Add(uint64(s.Up))
	w.stats.TunnelDown.Add(uint64(s.Down))
}
