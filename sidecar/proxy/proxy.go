// Package proxy is the way of a connection and of each request on it: from the original destination to a Service port, from
// the first bytes to a protocol, from a request to an endpoint, and on to another one when the attempt fails. It is the only place
// that knows all steps. A Worker is the part of it that lives on one loop.
package proxy

import (
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/balancer"
	"github.com/sluice-mesh/sluice/sidecar/cluster"
	"github.com/sluice-mesh/sluice/sidecar/discovery"
	"github.com/sluice-mesh/sluice/sidecar/h1"
	"github.com/sluice-mesh/sluice/sidecar/h2"
	"github.com/sluice-mesh/sluice/sidecar/loop"
	"github.com/sluice-mesh/sluice/sidecar/metrics"
	"github.com/sluice-mesh/sluice/sidecar/retry"
	"github.com/sluice-mesh/sluice/sidecar/shardkey"
	"github.com/sluice-mesh/sluice/sidecar/upstream"
)

// Options are the settings of the proxy.
type Options struct {
	Resolver discovery.Resolver
	Metrics  *metrics.Metrics
	Log      *slog.Logger
	// AccessLog takes the lines of the access log; nil has none.
	AccessLog *AccessLog
	Loops     int // of the process

	Upstream upstream.Options
	// Budget is that of a Service that says nothing of its own.
	Budget retry.Settings
	// Memory bounds what is kept of requests' bodies; nil is without bound.
	Memory *retry.Memory
	// Shared is what the workers of a process have in common; nil gives each worker its own.
	Shared *Shared
	// HeadLimit is the largest head of a message in bytes, over HTTP/2 as SETTINGS_MAX_HEADER_LIST_SIZE counts; 0 is h1.DefaultHeadLimit.
	HeadLimit int
	// ResolveTimeout bounds how long a connection's first bytes wait for discovery.
	ResolveTimeout time.Duration
	// ParseUnknown treats destinations without a Service as if each were one, with itself as the only endpoint.
	ParseUnknown bool
}

// Worker serves the connections of one loop.
type Worker struct {
	o     Options
	l     *loop.Loop
	stats *metrics.Loop
	pools *upstream.Pools
	h1    h1.Options
	// silence is the constant but for tests.
	silence time.Duration

	times times   // what is due of streams
	work  []*work // of nobody

	keys  []*shardkey.Extraction // that nobody uses
	head1 head1
	head2 head2

	scatters int // requests on their way to every endpoint, and answers of such on their way back

	rand     *rand.Rand
	seq      uint64
	services services
	direct   map[netip.AddrPort]*cluster.Endpoint
}

// New makes the worker of a loop.
func New(l *loop.Loop, o Options) *Worker {
	w := &Worker{o: o, l: l, stats: o.Metrics.Loop(l.Index()), silence: silence,
		rand:   rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())),
		direct: map[netip.AddrPort]*cluster.Endpoint{}}
	w.services = services{w: w, by: map[string]*service{}, keep: keepUnused}
	if w.o.Shared == nil {
		w.o.Shared = NewShared()
	}
	w.o.Upstream.HTTP2.Memory = &h2.Memory{}
	w.o.Upstream.HTTP2.Violation = w.violation
	w.o.Upstream.HTTP2.HeadLimit = o.HeadLimit
	w.pools = upstream.New(l, w.o.Upstream, w.stats)
	w.h1 = h1.Options{HeadLimit: o.HeadLimit, Workspaces: &h1.Workspaces{}, Memory: o.Memory, Refused: func(r h1.Reason) { w.stats.Refusals[r].Add(1) }}
	return w
}

// Serve is the way of one connection, which was going to dst. It returns when the connection has ended, or with true when it is idle: then it
// goes on in a coroutine of its own, see http1.
func (w *Worker) Serve(c *loop.Conn, dst netip.AddrPort) (idle bool) {
	answer := w.resolve(dst)
	if answer.Target == nil {
		w.stats.Passthroughs[answer.Reason].Add(1)
		if !w.o.ParseUnknown {
			w.passthrough(c, dst)
			return false
		}
	}
	r := w.newRoute(answer.Target, dst)
	r.client = c.RemoteAddr().Addr()
	defer func() {
		if !idle {
			r.release()
		}
	}()

	s := h1.Stream{Conn: c}
	switch kind, a := w.detect(&s, r); kind {
	case kindGone:
		w.leave(a, false)
		s.Close()
	case kindHTTP1:
		if r.target == nil {
			w.bound(s, r, a)
			return false
		}
		w.leave(a, true)
		return w.http1(s, r)
	case kindHTTP2:
		if r.target == nil {
			w.opaque(&s, r, a) // nothing to choose from: docs/decisions/0007
			return false
		}
		w.leave(a, false)
		if !w.understood(&s, r) {
			w.opaque(&s, r, nil)
			return false
		}
		w.http2(&s, r)
	default:
		w.opaque(&s, r, a)
	}
	return false
}

// http1 serves the requests of a connection, and the tunnel that one of them may end in. It answers true when the connection is idle; then it
// begins anew, in another coroutine, with the next request.
func (w *Worker) http1(s h1.Stream, r *route) (idle bool) {
	d := h1.NewDownstream(s, w.h1)
	handle := func(x *h1.Exchange) { w.exchange(r, x) }
	var wake func()
	serve := func() (idle bool) {
		defer func() {
			if !idle { // also when a panic passes
				d.Close()
			}
		}()
		switch d.Serve(handle) {
		case h1.Idle:
			w.l.GoWhenReadable(d.Conn, wake)
			return true
		case h1.Tunnel:
			w.upgraded(d, r)
		}
		return false
	}
	wake = func() {
		idle := false
		defer func() {
			if !idle {
				r.release()
			}
		}()
		idle = serve()
	}
	return serve()
}

// resolve answers the Service port behind dst. When that has to be asked for, the connection waits for a short while, and
// then passes through.
func (w *Worker) resolve(dst netip.AddrPort) discovery.Answer {
	a := w.o.Resolver.Lookup(dst)
	if a.Target != nil || a.Reason != discovery.Pending {
		return a
	}
	l, task := w.l, w.l.Current()
	answered, left := false, false
	w.o.Resolver.Resolve(dst, func(got discovery.Answer) {
		posted := l.Post(func() {
			if left {
				release(got)
				return
			}
			a, answered = got, true
			task.Wake()
		})
		if !posted {
			release(got)
		}
	})
	l.Wait(l.Now()+int64(w.o.ResolveTimeout), nil, nil, func() bool { return answered })
	left = true
	return a
}

func release(a discovery.Answer) {
	if a.Target != nil {
		a.Target.Release()
	}
}

// Close gives up what the worker keeps. On its loop.
func (w *Worker) Close() {
	w.services.close()
	w.pools.Close()
}

// pickRequest is what pickers are asked with; only Now and Tried change.
func (w *Worker) pickRequest() balancer.Request {
	return balancer.Request{Loop: w.l.Index(), Rand: w.rand, Seq: &w.seq}
}
