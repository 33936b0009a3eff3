package proxy

import (
	"time"

	"github.com/sluice-mesh/sluice/sidecar/cluster"
	"github.com/sluice-mesh/sluice/sidecar/detect"
	"github.com/sluice-mesh/sluice/sidecar/h1"
	"github.com/sluice-mesh/sluice/sidecar/loop"
)

type kind uint8

const (
	kindOpaque kind = iota
	kindHTTP1
	kindGone // the client ended the connection, or no endpoint could be reached for it
)

const (
	// silence is how long a client may stay silent before an endpoint is dialled in case the server speaks first. An HTTP
	// client's first bytes come well within it.
	silence = 300 * time.Microsecond
	// unfinished is how long the first bytes may stay too few to tell.
	unfinished = 200 * time.Millisecond
)

// detect finds out what the connection carries, from what the Service declares and from the first bytes. A client that stays
// silent gets its endpoint dialled meanwhile: if that speaks first the connection is opaque. As neither side waits for us, there
// is no limit to how long both may stay silent. A leg is answered for an opaque connection when one was made.
func (w *Worker) detect(s *h1.Stream, r *route) (kind, leg) {
	declared := r.protocol()
	if declared == cluster.Opaque || declared == cluster.TLS || declared == cluster.HTTP2 {
		return kindOpaque, leg{}
	}
	quiet := silence
	if r.target != nil && r.target.ServerFirst.Load() {
		quiet = 0
	}
	if quiet == 0 || w.l.Wait(w.l.Now()+int64(quiet), s.Conn, nil, s.Conn.Readable) == loop.ErrTimeout {
		if k, g, decided := w.bothSilent(s, r); decided {
			return k, g
		}
	}
	var until int64
	for {
		if err := s.Fill(loop.Small); err != nil {
			if len(s.Buffered()) > 0 || s.Conn.PeerFinished() && !s.Conn.PeerGone() {
				return kindOpaque, leg{} // a client that ends before it is recognised: the server is to see the same
			}
			return kindGone, leg{}
		}
		result := detect.Detect(s.Buffered())
		if result == detect.NeedMore && declared != cluster.HTTP1 {
			if until == loop.Never {
				until = w.l.Now() + int64(unfinished)
			}
			if w.l.Wait(until, s.Conn, nil, s.Conn.Readable) == nil {
				continue
			}
			result = detect.Guess(s.Buffered())
		}
		switch result {
		case detect.HTTP1:
			return kindHTTP1, leg{}
		case detect.NeedMore, detect.Opaque:
			if declared == cluster.HTTP1 {
				// Declared, so it is held to the rules of HTTP/1.x rather than let through.
				return kindHTTP1, leg{}
			}
		}
		return kindOpaque, leg{}
	}
}

// bothSilent dials an endpoint while it waits for the client's first bytes. It reports true when that decides the
// connection. When the client speaks first, the connection to the endpoint is kept for an exchange, if it is good for one.
func (w *Worker) bothSilent(s *h1.Stream, r *route) (kind, leg, bool) {
	l, self := w.l, w.l.Current()
	var (
		g       leg
		err     error
		ready   bool // the dial has ended
		speaks  bool // the server has spoken, or closed: the leg is ours
		clients bool // the client has spoken, or gone: the leg, if one comes, is kept for an exchange
		dialler *loop.Task
	)
	// The dial may outlast this call, and the connection's requests use its route meanwhile.
	own := *r
	own.pick = w.pickRequest()
	l.Go(func() {
		dialler = l.Current()
		g, err = w.connect(&own)
		ready = true
		self.Wake()
		if err != nil {
			return
		}
		werr := l.Wait(loop.Never, g.conn, nil, func() bool { return clients || g.conn.Readable() })
		if werr == nil && !clients {
			speaks = true
			self.Wake()
			return
		}
		w.done(g)
		w.pools.Put(h1.NewUpstream(g.conn, g.ep))
	})
	werr := l.Wait(loop.Never, s.Conn, nil, func() bool { return s.Conn.Readable() || speaks || ready && err != nil })
	if speaks {
		if r.target != nil && !s.Conn.Readable() && !g.conn.PeerFinished() {
			r.target.ServerFirst.Store(true)
		}
		return kindOpaque, g, true
	}
	clients = true
	if dialler != nil {
		dialler.Wake()
	}
	if werr == nil && s.Conn.Readable() {
		return kindOpaque, leg{}, false
	}
	if err != nil {
		// No endpoint can be reached; without us the connect itself would have failed.
		s.Reset()
	}
	return kindGone, leg{}, true
}
