package proxy

import (
	"time"

	"github.com/sluice-mesh/sluice/sidecar/cluster"
	"github.com/sluice-mesh/sluice/sidecar/detect"
	"github.com/sluice-mesh/sluice/sidecar/h1"
	"github.com/sluice-mesh/sluice/sidecar/h2/frame"
	"github.com/sluice-mesh/sluice/sidecar/loop"
)

type kind uint8

const (
	kindOpaque kind = iota
	kindHTTP1
	kindHTTP2
	kindGone // the client ended the connection, or no endpoint could be reached for it
)

const (
	// silence is how long a client may stay silent before an endpoint is dialled in case the server speaks first. An HTTP
	// client's first bytes come well within it.
	silence = 300 * time.Microsecond
	// longSilence is the same where clients were seen to speak first: a busy machine delays first bytes by milliseconds, and each
	// dial in vain costs an endpoint a connection.
	longSilence = 20 * time.Millisecond
	// unfinished is how long the first bytes may stay too few to tell.
	unfinished = 200 * time.Millisecond
)

// detect finds out what the connection carries, from what the Service declares and from the first bytes. A client that stays
// silent gets its endpoint dialled meanwhile: if that speaks first the connection is opaque. As neither side waits for us, there
// is no limit to how long both may stay silent. What was dialled is answered in any case, for the caller to take or leave.
func (w *Worker) detect(s *h1.Stream, r *route) (kind, *ahead) {
	declared := r.protocol()
	var a *ahead
	switch declared {
	case cluster.Opaque, cluster.TLS:
		return kindOpaque, nil
	case cluster.Undeclared:
		if a = w.minded(s, r); a == nil {
			break
		}
		if a.speaks && a.saysSettings() {
			// An HTTP/2 server may send its SETTINGS before the client's preface has come (RFC 9113, section 3.4). It is the
			// client's turn all the same.
			w.leave(a, false)
			a = nil
			break
		}
		if a.speaks {
			if r.target != nil && !s.Conn.Readable() && !a.conn.PeerFinished() {
				r.target.ServerFirst.Store(true)
			}
			return kindOpaque, a
		}
		if !s.Conn.Readable() {
			// No endpoint can be reached; without us the connect itself would have failed.
			s.Reset()
			return kindGone, a
		}
	}
	k := w.firstBytes(s, declared)
	if (k == kindHTTP1 || k == kindHTTP2) && r.target != nil && r.target.ServerFirst.Load() {
		r.target.ServerFirst.Store(false) // what spoke first was an answer to silence, such as 408
	}
	if k != kindGone && r.target != nil && !r.target.ClientFirst.Load() && len(s.Buffered()) > 0 {
		r.target.ClientFirst.Store(true)
	}
	return k, a
}

// minded waits until the client speaks or goes; once that takes long it dials, and waits until the server speaks or cannot be
// reached as well. It answers nil when nothing was dialled.
func (w *Worker) minded(s *h1.Stream, r *route) *ahead {
	l := w.l
	// Without a Service there is nothing to choose, so a connection is needed in any case.
	if r.target != nil && !r.target.ServerFirst.Load() {
		quiet := w.silence
		if r.target.ClientFirst.Load() {
			quiet = max(quiet, longSilence)
		}
		if l.Wait(l.Now()+int64(quiet), s.Conn, nil, s.Conn.Readable) != loop.ErrTimeout {
			return nil
		}
	}
	a := w.dialAhead(r)
	l.Wait(loop.Never, s.Conn, nil, func() bool { return s.Conn.Readable() || a.speaks || a.err != nil })
	return a
}

// firstBytes reads until it is certain what they are.
func (w *Worker) firstBytes(s *h1.Stream, declared cluster.Protocol) kind {
	until := loop.Never
	for {
		if err := s.Fill(loop.Small); err != nil {
			if len(s.Buffered()) == 0 && (declared == cluster.HTTP1 || s.Conn.PeerGone() || !s.Conn.PeerFinished()) {
				return kindGone
			}
			return kindOpaque // a client that ends before it is recognised: the server is to see the same
		}
		result := detect.Detect(s.Buffered())
		if result == detect.NeedMore && (declared != cluster.HTTP1 || detect.MayBecomeHTTP2(s.Buffered())) {
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
			return kindHTTP1
		case detect.HTTP2:
			if len(s.Buffered()) >= len(frame.ClientPreface) {
				return kindHTTP2
			}
			until = loop.Never // it began as one, and can be nothing else
			continue
		case detect.NeedMore, detect.Opaque:
			if declared == cluster.HTTP1 {
				// Declared, so it is held to the rules of HTTP/1.x rather than let through.
				return kindHTTP1
			}
		}
		return kindOpaque
	}
}
