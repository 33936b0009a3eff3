package upstream

import (
	"errors"
	"slices"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/cluster"
	"github.com/sluice-mesh/sluice/sidecar/h2"
)

// streamIdle is how long an HTTP/2 connection without streams is kept. A server that closes first says so with GOAWAY, which loses
// nothing, so this is about memory only.
const streamIdle = time.Minute

const (
	// streamsADial is how many exchanges wait for one dial before there is a second: as many as a connection takes before its server has
	// said how many it allows. Less where the server has said so on an earlier connection.
	streamsADial = 100
	// maxDials bounds the dials to one endpoint at a time, where it allows few streams a connection.
	maxDials = 16
	// redialAfter is how long those who wait for room have no further dial, once one has failed: each stream that ends may give them room.
	redialAfter = 250 * time.Millisecond
)

// errConnect says that an endpoint does not take extended CONNECT.
var errConnect = errors.New("the endpoint does not say SETTINGS_ENABLE_CONNECT_PROTOCOL (RFC 8441)")

// streams are the HTTP/2 connections to one endpoint: one, and further ones while it has as many streams as the endpoint allows.
type streams struct {
	p        *Pools
	ep       *cluster.Endpoint
	conns    []*h2.Upstream
	busy     map[*h2.Upstream]bool // counted as in use
	waiting  []*h2.Exchange        // for a connection
	extended int                   // of these, those that wait for one that takes extended CONNECT
	// staying are those of waiting that have heard of a failed dial and wait for room on what there is; pausing, that they are not to be
	// dialled for just now.
	staying  map[*h2.Exchange]bool
	pausing  bool
	dialling int
	most     int // streams a new connection takes at first
	atMost   int // connections that may take streams, or are dialled, at a time; 0 is no limit
	// questions wait for what the endpoint says first.
	questions []*Question
}

// Send sends an exchange to an endpoint, on a connection that there is or on one that is made for it; patient is as for Dial. It
// does not wait: when no connection comes about the exchange fails, after Send has returned. With as many connections as atMost, if that is not 0,
// no further one is made, and the exchange waits for room on them; see Room.
func (p *Pools) Send(x *h2.Exchange, ep *cluster.Endpoint, patient bool, atMost int) {
	s := p.streamsOf(ep)
	s.atMost = atMost
	if s.place(x) {
		return
	}
	if x.Extended() && s.known() {
		p.l.Go(s.refuse)
	}
	s.dialMore(patient)
}

// place opens an exchange on a connection that takes it, and reports whether there is one; else it waits.
func (s *streams) place(x *h2.Exchange) bool {
	for _, u := range s.conns {
		if u.Takes(x) {
			s.open(u, x)
			return true
		}
	}
	s.waiting = append(s.waiting, x)
	if x.Extended() {
		s.extended++
	}
	x.Wait(s)
	return false
}

// Room reports whether an endpoint takes one more exchange with at most so many connections, now or once one has come about. How many streams an endpoint
// allows is not known before it has said so: what was sent until then may find less room than this has said.
func (p *Pools) Room(ep *cluster.Endpoint, atMost int) bool {
	s := p.streams[ep]
	if s == nil || s.living()+s.dialling < atMost {
		return true
	}
	room := s.dialling*s.most - len(s.waiting)
	for _, u := range s.conns {
		room += u.Room()
	}
	return room > 0
}

// living counts the connections that take streams, now or when some have ended. One that its endpoint is leaving is counted no more.
func (s *streams) living() (n int) {
	for _, u := range s.conns {
		if u.Lives() {
			n++
		}
	}
	return n
}

// Lives reports whether there is a connection to the endpoint that is of use to the exchange, if it has room again.
func (p *Pools) Lives(x *h2.Exchange, ep *cluster.Endpoint) bool {
	s := p.streams[ep]
	return s != nil && s.lives(x)
}

func (s *streams) lives(x *h2.Exchange) bool {
	return slices.ContainsFunc(s.conns, func(u *h2.Upstream) bool {
		return u.Lives() && (u.Connects() || !u.Started() || !x.Extended())
	})
}

// Stay is Send for an exchange that a dial to the endpoint has failed for, and nobody else can take: it waits for room on a connection that
// Lives, or for a further one, and fails only when there is none any more.
func (p *Pools) Stay(x *h2.Exchange, ep *cluster.Endpoint) {
	s := p.streamsOf(ep)
	if s.place(x) {
		return
	}
	if s.staying == nil {
		s.staying = map[*h2.Exchange]bool{}
	}
	s.staying[x] = true
	s.pause()
}

// pause has those who stay dialled for again after a while.
func (s *streams) pause() {
	if s.pausing {
		return
	}
	s.pausing = true
	s.p.l.Go(func() {
		err := s.p.l.Sleep(redialAfter)
		s.pausing = false
		if err == nil {
			s.dialMore(false)
		}
	})
}

func (p *Pools) streamsOf(ep *cluster.Endpoint) *streams {
	s := p.streams[ep]
	if s == nil {
		s = &streams{p: p, ep: ep, busy: map[*h2.Upstream]bool{}, most: streamsADial}
		p.streams[ep] = s
	}
	return s
}

// Connects reports whether one of the endpoints is known to take extended CONNECT: RFC 8441.
func (p *Pools) Connects(eps []*cluster.Endpoint) bool {
	for _, ep := range eps {
		if s := p.streams[ep]; s != nil {
			for _, u := range s.conns {
				if u.Connects() {
					return true
				}
			}
		}
	}
	return false
}

// known reports whether a connection is known not to take extended CONNECT.
func (s *streams) known() bool {
	return slices.ContainsFunc(s.conns, func(u *h2.Upstream) bool { return u.Started() && !u.Connects() })
}

// dialMore makes connections for those who wait, but for those who wait for what a connection has yet to say.
func (s *streams) dialMore(patient bool) {
	n := len(s.waiting)
	if s.pausing && slices.ContainsFunc(s.conns, (*h2.Upstream).Lives) {
		n -= len(s.staying)
	}
	if s.extended > 0 && (s.known() || slices.ContainsFunc(s.conns, func(u *h2.Upstream) bool { return !u.Started() })) {
		n -= s.extended
	}
	for s.dialling < maxDials && n > s.dialling*s.most && (s.atMost == 0 || s.living()+s.dialling < s.atMost) {
		s.dialling++
		s.p.l.Go(func() { s.dial(patient) })
	}
}

// Forget takes a waiting exchange out.
func (s *streams) Forget(x *h2.Exchange) {
	if i := slices.Index(s.waiting, x); i >= 0 {
		s.take(i)
	}
}

// take takes the i-th waiting exchange out.
func (s *streams) take(i int) *h2.Exchange {
	x := s.waiting[i]
	s.waiting = slices.Delete(s.waiting, i, i+1)
	delete(s.staying, x)
	if x.Extended() {
		s.extended--
	}
	return x
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

// refuse fails those who wait for extended CONNECT, which the endpoint does not take.
func (s *streams) refuse() {
	for i := 0; s.extended > 0 && i < len(s.waiting); {
		if !s.waiting[i].Extended() {
			i++
			continue
		}
		s.take(i).Unfit(errConnect)
		i = 0 // who is told may have changed the list
	}
}

// dial makes a connection and serves it until it ends.
func (s *streams) dial(patient bool) {
	c, err := s.p.Dial(s.ep, patient)
	s.dialling--
	if err != nil {
		// Who waits now fails; who comes to wait meanwhile has a dial of its own. Who stays knows already.
		for _, x := range slices.Clone(s.waiting) {
			if i := slices.Index(s.waiting, x); i >= 0 && !(s.staying[x] && s.lives(x)) {
				s.take(i).Fail(err) // which may change the list
			}
		}
		if len(s.staying) > 0 {
			s.pause()
		}
		s.tell(Unreachable)
		s.drop()
		return
	}
	if s.p.l.Stopping() || s.p.closed && len(s.waiting) == 0 {
		c.Close()
		s.tell(Unreachable)
		s.drop()
		return
	}
	s.p.stats.Idle.Add(1)
	u := h2.NewUpstream(c, s.ep, &s.p.o.HTTP2, streamIdle, s.changed)
	u.Expect(s.most)
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
	if u.Started() {
		s.most = max(1, min(u.MaxStreams(), streamsADial))
		s.tell(SpeaksHTTP2)
	}
	for i := 0; i < len(s.waiting) && u.Room() > 0; {
		if u.Takes(s.waiting[i]) {
			s.open(u, s.take(i))
		} else {
			i++
		}
	}
	if s.extended > 0 && s.known() {
		s.refuse()
	}
	if u.Closed() {
		if i := slices.Index(s.conns, u); i >= 0 {
			s.conns = slices.Delete(s.conns, i, i+1)
			s.p.stats.Idle.Add(-1)
			if !u.Started() {
				s.refuse() // it never said what it takes
				s.tell(NotHTTP2)
			}
		}
		s.drop()
	}
	s.dialMore(false)
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
