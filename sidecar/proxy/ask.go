package proxy

import (
	"log/slog"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/h1"
	"github.com/sluice-mesh/sluice/sidecar/h2"
	"github.com/sluice-mesh/sluice/sidecar/loop"
	"github.com/sluice-mesh/sluice/sidecar/upstream"
)

// A server that speaks HTTP/1.x alone answers an HTTP/2 client with bytes that the client says its own thing about. A client that has got our
// SETTINGS cannot be given these bytes any more, so the first client of a Service port gets no SETTINGS before an endpoint's have come. See
// docs/decisions/0013.

const (
	// askTime is how long a client waits at most: "The server connection preface consists of a potentially empty SETTINGS frame" (RFC 9113,
	// section 3.4), but nothing says when it is to be sent.
	askTime = time.Second
	// askNext is how long an endpoint may think before another one is asked as well.
	askNext = 100 * time.Millisecond
	// maxAsked bounds the endpoints that are asked for one client.
	maxAsked = 3
)

// survey is what the endpoints of a Service port say of HTTP/2, as far as they were asked.
type survey struct {
	asked [maxAsked]upstream.Question
	n     int
}

// says reports whether one that was asked has answered so.
func (y *survey) says(a upstream.Speech) bool {
	for i := range y.asked[:y.n] {
		if y.asked[i].Answer == a {
			return true
		}
	}
	return false
}

// understood reports whether a client's HTTP/2 is to be taken apart; otherwise what its server makes of it is the client's to see. Only while
// nothing is known of the Service port does that take time.
func (w *Worker) understood(s *h1.Stream, r *route) bool {
	if r.target.HTTP2.Load() {
		return true
	}
	y := &survey{}
	w.ask(y, s.Conn, r)
	switch {
	case s.Conn.PeerGone():
	case y.says(upstream.SpeaksHTTP2), y.says(upstream.Unanswered):
		r.target.HTTP2.Store(true) // who says nothing has had its time, and is found out later: see mistaken
	case y.says(upstream.NotHTTP2):
		w.o.Log.Debug("HTTP/2 passes through: no endpoint answers it", slog.String("cluster", r.name()),
			slog.String("endpoint", y.asked[0].Endpoint.Addr.String()), slog.Int("asked", y.n))
		return false
	}
	return true
}

// ask asks endpoints, one after the other, until one of them speaks HTTP/2, or time is up, or the client goes.
func (w *Worker) ask(y *survey, client *loop.Conn, r *route) {
	r.borrow()
	defer r.giveBack()
	q := &r.one
	q.begin(r)
	end := w.l.Now() + int64(askTime)
	settled := func() bool {
		return client.PeerGone() || y.says(upstream.SpeaksHTTP2) || !y.says(upstream.Unanswered)
	}
	for next := int64(0); next < end; {
		next = end
		if y.n < maxAsked {
			if ep, _ := q.next(); ep != nil {
				w.pools.Ask(&y.asked[y.n], ep)
				defer y.asked[y.n].Drop()
				y.n++
				q.failed(ep, true)
				next = min(end, w.l.Now()+int64(askNext))
			}
		}
		err := w.l.Wait(next, nil, client, settled)
		if err == loop.ErrStopped || client.PeerGone() || y.says(upstream.SpeaksHTTP2) {
			break
		}
	}
}

// mistaken is told that an endpoint of a Service port that was taken to speak HTTP/2 does not. The client's connection ends gracefully, as it
// would have with its server, and the next one asks anew.
func (s streams) mistaken(x *h2.Exchange) {
	if s.r.target != nil {
		s.r.target.HTTP2.Store(false)
	}
	if d := x.Downstream(); d != nil {
		d.Leave()
	}
}
