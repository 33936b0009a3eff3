package upstream

import (
	"slices"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/cluster"
	"github.com/sluice-mesh/sluice/sidecar/h2"
)

// streamIdle is how long an HTTP/2 connection without streams is kept. A server that closes first says so with GOAWAY, which loses
// nothing, so this is about memory only.
const streamIdle = time.Minute

// streamsADial is how many exchanges wait for one dial before there is a second: as many as a connection takes before its server has
// said how many it allows.
const streamsADial = 100

// streams are the HTTP/2 connections to one endpoint: one, and further ones while it has as many streams as the endpoint allows.
type streams struct {
	p        *Pools
	ep       *cluster.Endpoint
	conns    []*h2.Upstream
	busy     map[*h2.Upstream]bool // counted as in use
	waiting  []*h2.Exchange        // for a connection
	dialling int
}

// Send sends an exchange to an endpoint, on a connection that there is or on one that is made for it; patient is as for Dial. It
// does not wait: when no connection comes about the exchange fails.
func (p *Pools) Send(x *h2.Exchange, ep *cluster.Endpoint, patient bool) {
	s := p.streams[ep]
	if s == nil {
		s = &streams{p: p, ep: ep, busy: map[*h2.Upstream]bool{}}
		p.streams[ep] = s
	}
	for _, u := range s.conns {
		if u.Room() > 0 {
			s.open(u, x)
			return
		}
	}
	s.waiting = append(s.waiting, x)
	x.Wait(s)
	if len(s.waiting) > s.dialling*streamsADial {
		s.dialling++
		p.l.Go(func() { s.dial(patient) })
	}
}

// Forget takes a waiting exchange out.
func (s *streams) Forget(x *h2.Exchange) {
	if i := slices.Index(s.waiting, x); i >= 0 {
		s.waiting = slices.Delete(s.waiting, i, i+1)
	}
}

func (s *streams) open(u *h2.Upstream, x *h2.Exchange) {
	if !s.busy[u] {
		s.busy[u] = true
		s.p.stats.Idle.Add(-1)
		s.p.stats.Upstreams.Add(1)
	} else {
		s.p.stats.Reuses.Add(1)
	}
	u.Open(x)
}

// dial makes a connection and serves it until it ends.
func (s *streams) dial(patient bool) {
	c, err := s.p.Dial(s.ep, patient)
	s.dialling--
	if err != nil {
		waiting := s.waiting
		s.waiting = nil
		s.drop()
		for _, x := range waiting {
			x.Fail(err)
		}
		return
	}
	if s.p.closed && len(s.waiting) == 0 || s.p.l.Stopping() {
		c.Close()
		s.drop()
		return
	}
	s.p.stats.Idle.Add(1)
	u := h2.NewUpstream(c, s.ep, &s.p.o.HTTP2, streamIdle, s.changed)
	s.conns = append(s.conns, u)
	s.changed(u)
	u.Serve()
}

// changed is told that a connection takes streams again, or no longer, or has ended.
func (s *streams) changed(u *h2.Upstream) {
	if s.busy[u] && u.Streams() == 0 {
		delete(s.busy, u)
		s.p.stats.Upstreams.Add(-1)
		s.p.stats.Idle.Add(1)
	}
	for len(s.waiting) > 0 && u.Room() > 0 {
		x := s.waiting[0]
		s.waiting = slices.Delete(s.waiting, 0, 1)
		s.open(u, x)
	}
	if !u.Closed() {
		return
	}
	if i := slices.Index(s.conns, u); i >= 0 {
		s.conns = slices.Delete(s.conns, i, i+1)
		s.p.stats.Idle.Add(-1)
		if len(s.waiting) > 0 && s.dialling == 0 && len(s.conns) == 0 {
			s.dialling++
			s.p.l.Go(func() { s.dial(false) })
		}
	}
	s.drop()
}

// drop forgets an endpoint that has no connections.
func (s *streams) drop() {
	if len(s.conns) == 0 && len(s.waiting) == 0 && s.dialling == 0 && s.p.streams[s.ep] == s {
		delete(s.p.streams, s.ep)
	}
}

func (s *streams) close() {
	for _, u := range slices.Clone(s.conns) {
		u.Close()
	}
}
