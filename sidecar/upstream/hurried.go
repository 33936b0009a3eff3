package upstream

import (
	"os"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/cluster"
	"github.com/sluice-mesh/sluice/sidecar/h1"
	"github.com/sluice-mesh/sluice/sidecar/loop"
	"github.com/sluice-mesh/sluice/sidecar/outlier"
)

// hurried is a dial by a request that has less time for it than would speak against the endpoint. Once the request has left it, it goes on in its
// coroutine for as long as a connect may take: else an endpoint whose packets are lost would cost each request that short time, and never be suspect.
type hurried struct {
	conn  *loop.Conn
	err   error
	ended bool
	left  bool // by the request
}

// hurries reports whether a dial within that time goes on behind it: one for each endpoint at a time.
func (p *Pools) hurries(ep *cluster.Endpoint, within time.Duration) bool {
	return within > 0 && within < min(fairConnect, p.o.ConnectTimeout) && !p.hurried[ep]
}

// dialHurried is Dial that takes no longer than within for its caller.
func (p *Pools) dialHurried(ep *cluster.Endpoint, within time.Duration) (*loop.Conn, error) {
	d, caller := &hurried{}, p.l.Current()
	p.hurried[ep] = true
	p.l.Go(func() {
		defer delete(p.hurried, ep)
		d.conn, d.err = p.Dial(ep, false)
		d.ended = true
		switch {
		case !d.left:
			caller.Wake()
		case d.err == nil:
			outlier.Connected(&ep.Load[p.l.Index()], p.l.Now())
			p.keep(h1.NewUpstream(d.conn, ep))
		}
	})
	err := p.l.Wait(p.l.Now()+int64(within), nil, nil, func() bool { return d.ended })
	if !d.ended {
		d.left = true
		return nil, os.NewSyscallError("connect", err)
	}
	return d.conn, d.err
}

// keep is Put for a connection that nobody has used yet.
func (p *Pools) keep(u *h1.Upstream) {
	if p.closed {
		u.Close()
		return
	}
	p.Put(u)
}
