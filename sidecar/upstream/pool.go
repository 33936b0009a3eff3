// Package upstream keeps the connections to endpoints: dialled when needed, kept for a while when idle, closed before servers
// do it. Each loop has its own pools; nothing here is shared.
package upstream

import (
	"errors"
	"syscall"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/cluster"
	"github.com/sluice-mesh/sluice/sidecar/h1"
	"github.com/sluice-mesh/sluice/sidecar/h2"
	"github.com/sluice-mesh/sluice/sidecar/loop"
	"github.com/sluice-mesh/sluice/sidecar/metrics"
	"github.com/sluice-mesh/sluice/sidecar/outlier"
)

// Options are the settings of connections to endpoints.
type Options struct {
	// ConnectTimeout bounds one connect.
	ConnectTimeout time.Duration
	// IdleTimeout is how long an HTTP/1.x connection is kept idle; shorter than what servers wait (Node.js 5 s), so that a
	// request and the server's close seldom cross.
	IdleTimeout time.Duration
	// KeepAlive is how long a connection is silent before its peer's machine is asked whether it is there; see loop.DialOptions.
	KeepAlive time.Duration
	// UserTimeout bounds how long sent bytes may stay unacknowledged; 0 leaves it to the kernel. It also ends connections
	// whose peer is well and only does not read for that long (tcp_probe_timer, net/ipv4/tcp_timer.c; 2.4 s were measured
	// with 2 s), which would have lived without us: so it is not set by default.
	UserTimeout time.Duration
	// MaxIdle bounds the idle connections to one endpoint.
	MaxIdle int
	// HTTP2 are the settings of HTTP/2 connections.
	HTTP2 h2.Options
}

// Defaults are the options when nothing else is asked for.
func Defaults() Options {
	return Options{ConnectTimeout: time.Second, IdleTimeout: 3 * time.Second, KeepAlive: 10 * time.Second, MaxIdle: 1024}
}

// Pools are one loop's connections. They belong to the loop.
type Pools struct {
	l        *loop.Loop
	o        Options
	stats    *metrics.Loop
	pools    map[*cluster.Endpoint]*pool
	streams  map[*cluster.Endpoint]*streams
	sweeping bool
	closed   bool                       // by Close: a connection that comes about is not kept
	hurried  map[*cluster.Endpoint]bool // dials that may go on when nobody waits for them any more
}

// pool is the idle connections to one endpoint, the one used last at the end.
type pool struct{ idle []*h1.Upstream }

// New makes the pools of a loop.
func New(l *loop.Loop, o Options, stats *metrics.Loop) *Pools {
	return &Pools{l: l, o: o, stats: stats, pools: map[*cluster.Endpoint]*pool{}, streams: map[*cluster.Endpoint]*streams{},
		hurried: map[*cluster.Endpoint]bool{}}
}

// Dial connects to an endpoint. ConnectTimeout is there to choose another one in time; where there is none, patient leaves the
// bound to the kernel, as it would be without us.
func (p *Pools) Dial(ep *cluster.Endpoint, patient bool) (*loop.Conn, error) {
	return p.DialWithin(ep, patient, 0)
}

// DialWithin is Dial that takes no longer than within, if that is not 0. A failure makes the endpoint suspect (outlier.ConnectFailed), whoever
// waits for it, unless it says nothing of the endpoint: for want of a descriptor here, or of a fair time. One for want of that goes on behind
// its caller, for ConnectTimeout: then the connection is kept, or the endpoint is suspect.
func (p *Pools) DialWithin(ep *cluster.Endpoint, patient bool, within time.Duration) (*loop.Conn, error) {
	if !patient && p.hurries(ep, within) {
		return p.dialHurried(ep, within)
	}
	o := loop.DialOptions{Timeout: p.o.ConnectTimeout, KeepAlive: p.o.KeepAlive, UserTimeout: p.o.UserTimeout}
	if patient {
		// TCP_USER_TIMEOUT would bound the connect as well.
		o.Timeout, o.UserTimeout = 0, 0
	}
	if within > 0 && (o.Timeout == 0 || within < o.Timeout) {
		o.Timeout = within
	}
	c, err := p.l.Dial(ep.Addr, o)
	if err != nil && OutOfDescriptors(err) && p.shed() {
		c, err = p.l.Dial(ep.Addr, o)
	}
	if err != nil && OutOfDescriptors(err) {
		p.stats.Limited[metrics.LimitDescriptors].Add(1)
	}
	if err != nil {
		p.stats.ConnectFailures.Add(1)
		if !OutOfDescriptors(err) && !(errors.Is(err, loop.ErrTimeout) && o.Timeout < fairConnect) && !errors.Is(err, loop.ErrStopped) {
			outlier.ConnectFailed(&ep.Load[p.l.Index()], p.l.Now())
		}
		return nil, err
	}
	p.stats.Connects.Add(1)
	return c, nil
}

// fairConnect is the least time that speaks against an endpoint which has not taken a connection by then: many times what it takes between
// machines of one cluster.
const fairConnect = 100 * time.Millisecond

// Get answers an idle connection to ep that is still good, the most recently used first, or dials one as DialWithin does.
func (p *Pools) Get(ep *cluster.Endpoint, patient bool, within time.Duration) (*h1.Upstream, error) {
	if q := p.pools[ep]; q != nil {
		for n := len(q.idle); n > 0; n = len(q.idle) {
			u := q.idle[n-1]
			q.idle[n-1] = nil
			q.idle = q.idle[:n-1]
			p.stats.Idle.Add(-1)
			if u.Fresh() && p.l.Now()-u.IdleSince < int64(p.o.IdleTimeout) {
				u.Reused = true
				p.stats.Reuses.Add(1)
				return u, nil
			}
			u.Close()
		}
	}
	c, err := p.DialWithin(ep, patient, within)
	if err != nil {
		return nil, err
	}
	return h1.NewUpstream(c, ep), nil
}

// OutOfDescriptors reports whether a connect failed for want of a descriptor here, which says nothing of the endpoint.
func OutOfDescriptors(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

// shed closes the idle HTTP/1.x connections, and reports whether there was one: what is kept for later gives way to what is needed now.
func (p *Pools) shed() (some bool) {
	for ep, q := range p.pools {
		for _, u := range q.idle {
			u.Close()
			p.stats.Idle.Add(-1)
			some = true
		}
		delete(p.pools, ep)
	}
	return some
}

// Put takes back a connection that may serve another exchange.
func (p *Pools) Put(u *h1.Upstream) {
	q := p.pools[u.Endpoint]
	if !u.Fresh() || p.l.Stopping() || u.Endpoint.Gone.Load() || q != nil && len(q.idle) >= p.o.MaxIdle || p.o.MaxIdle == 0 {
		u.Close()
		return
	}
	if q == nil {
		q = &pool{}
		p.pools[u.Endpoint] = q
	}
	u.IdleSince = p.l.Now()
	q.idle = append(q.idle, u)
	p.stats.Idle.Add(1)
	if !p.sweeping {
		p.sweeping = true
		p.l.Go(p.sweep)
	}
}

// sweep closes idle connections whose time is up or whose server has closed, as long as there are any.
func (p *Pools) sweep() {
	defer func() { p.sweeping = false }()
	for len(p.pools) > 0 {
		if p.l.Sleep(p.o.IdleTimeout/6) != nil {
			p.Close()
			return
		}
		limit := p.l.Now() - int64(p.o.IdleTimeout)
		for ep, q := range p.pools {
			kept := q.idle[:0]
			for _, u := range q.idle {
				if u.Fresh() && u.IdleSince > limit && !ep.Gone.Load() {
					kept = append(kept, u)
				} else {
					u.Close()
					p.stats.Idle.Add(-1)
				}
			}
			clear(q.idle[len(kept):])
			q.idle = kept
			if len(kept) == 0 {
				delete(p.pools, ep)
			}
		}
	}
}

// Close closes all idle connections, and those to come.
func (p *Pools) Close() {
	p.closed = true
	p.shed()
	for _, s := range p.streams {
		s.close()
	}
}
