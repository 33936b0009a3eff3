package proxy

import (
	"net/netip"
	"slices"

	"github.com/sluice-mesh/sluice/sidecar/cluster"
	"github.com/sluice-mesh/sluice/sidecar/discovery"
	"github.com/sluice-mesh/sluice/sidecar/h1"
	"github.com/sluice-mesh/sluice/sidecar/metrics"
	"github.com/sluice-mesh/sluice/sidecar/outlier"
	"github.com/sluice-mesh/sluice/sidecar/retry"
	"github.com/sluice-mesh/sluice/sidecar/rules"
	"github.com/sluice-mesh/sluice/sidecar/shard"
)

// route is where a connection's requests go: a Service port, or its original destination alone. It belongs to the connection.
type route struct {
	w      *Worker
	target *discovery.Target // held; nil for a destination without a Service
	dst    netip.AddrPort
	client netip.Addr
	*service
	// former are the Services that it went to before, as its address was another's: what has begun there may not have ended.
	former []*service

	// work is borrowed while a request is under way, on a connection that carries one at a time; nil while it is idle.
	*work
	// lost says that there was a target, and that it is kept current no more.
	lost bool
	// released says that the connection has ended: the target is held no more.
	released bool
	// underWay says that a request of the connection takes a place among those that are under way in the process.
	underWay bool

	tunnel      *h1.Upstream // where the connection's tunnel leads
	tunnelPlace *queue       // of the place that it takes there
	tunnelTurn  *ticket      // its key's turn, which it keeps; nil is none
}

// work is what a request needs on its way. one is where it may go and has been; running is its attempt; held is one before it that was
// answered with an error, in case nothing better comes.
type work struct {
	one           request
	running, held exchangeAttempt
}

// maxWork bounds the work that a worker keeps for later.
const maxWork = 256

// borrow gives the route work, and giveBack takes it again.
func (r *route) borrow() {
	w := r.w
	if k := len(w.work); k > 0 {
		r.work, w.work = w.work[k-1], w.work[:k-1]
		return
	}
	r.work = &work{}
}

func (r *route) giveBack() {
	k := r.work
	r.work = nil
	k.one.unpick() // a panic has left it
	k.running, k.held = exchangeAttempt{}, exchangeAttempt{}
	if w := r.w; len(w.work) < maxWork {
		w.work = append(w.work, k)
	}
}

// service is what a worker keeps of one Service port: see services.
type service struct {
	name   string
	stats  *metrics.Service
	common *common // with other workers
	budget retry.Budget
	rules  *rules.Rules // what budget's settings were last read from
	// latency is of the answers' heads, to tell which attempt takes strangely long.
	latency retry.Latency
	doubts  outlier.Doubts
	rooms   queue // of streams that wait for room on the connections which this loop may have
	sharding
	unused
}

// unknownName is the name under which destinations without a Service are counted; their addresses would be labels without bound.
const unknownName = "unknown"

func (w *Worker) newRoute(t *discovery.Target, dst netip.AddrPort) *route {
	r := &route{w: w, dst: dst}
	r.set(t)
	return r
}

func (r *route) set(t *discovery.Target) {
	r.target = t
	name := unknownName
	if t != nil {
		name = t.Name
	}
	if r.service == nil {
		r.service = r.w.services.of(name)
		return
	}
	if r.service.name == name {
		return
	}
	old := r.service
	if i := slices.IndexFunc(r.former, func(s *service) bool { return s.name == name }); i >= 0 {
		r.service = r.former[i]
		r.former = slices.Delete(r.former, i, i+1)
	} else {
		r.service = r.w.services.of(name)
	}
	r.former = append(r.former, old)
}

func (r *route) release() {
	r.endTunnel() // a panic has left it
	r.released = true
	r.w.services.done(r.service)
	for _, s := range r.former {
		r.w.services.done(s)
	}
	if r.target != nil {
		r.target.Release()
	}
}

// renew looks a target up again that is kept current no more: a keep-alive connection may outlive its Service, or the right to
// read it. Its endpoints may be somebody else's pods by now, so without another target the original destination is all there is. It may wait for
// discovery.
func (r *route) renew() {
	if !r.renewed() {
		r.replace(r.w.resolve(r.dst))
	}
}

// renewed is renew that does not wait: it reports false where discovery has to be asked.
func (r *route) renewed() bool {
	switch {
	case r.lost:
		if a := r.w.o.Resolver.Lookup(r.dst); a.Target != nil {
			r.set(a.Target)
			r.lost = false
		}
	case r.target != nil && r.target.Removed():
		a := r.w.o.Resolver.Lookup(r.dst)
		if a.Target == nil && a.Reason == discovery.Pending {
			return false
		}
		r.replace(a)
	}
	return true
}

// replace makes what was looked up the target. While that took its time another stream may have been here, or the connection have ended.
func (r *route) replace(a discovery.Answer) {
	switch {
	case r.released:
		release(a)
	case a.Target != nil:
		if r.target != nil {
			r.target.Release()
		}
		r.set(a.Target)
		r.lost = false
	case r.target != nil && r.target.Removed():
		r.target.Release()
		r.set(nil)
		r.lost = true
		r.w.stats.Passthroughs[a.Reason].Add(1)
	}
}

// defaultRules are those of a Service that says nothing, and of a destination without a Service.
var defaultRules = rules.Default()

// settings answers what the Service asks of us now.
func (r *route) settings() *rules.Rules {
	now := defaultRules
	if r.target != nil {
		now = r.target.Snapshot().Rules
	}
	if now != r.rules {
		r.rules = now
		r.follow(r.w.o.Shared, r.common, now)
		r.budget.Settings = r.w.o.Budget
		if b := now.Retry.Budget; b != defaultRules.Retry.Budget {
			r.budget.Settings = retry.Settings(b)
		}
	}
	return now
}

// shards answers who owns the Service's keys now; nil where nobody does. A request that has waited may find its route without a target: over HTTP/2
// another stream may have learnt that the Service is gone.
func (r *route) shards() *shard.Map {
	if r.target == nil {
		return nil
	}
	return r.target.Snapshot().Shard
}

// endpoints answers the Service's now; there are none without a Service.
func (r *route) endpoints() []*cluster.Endpoint {
	if r.target == nil {
		return nil
	}
	return r.target.Snapshot().Set.Endpoints
}

// protocol answers what the Service declares.
func (r *route) protocol() cluster.Protocol {
	if r.target == nil {
		return cluster.Undeclared
	}
	return r.target.Snapshot().Protocol
}

// load answers the loop's own view of an endpoint.
func (w *Worker) load(ep *cluster.Endpoint) *cluster.Load { return &ep.Load[w.l.Index()] }

// maxDirect bounds the endpoints kept for original destinations, by which their idle connections are found again.
const maxDirect = 1024

func (w *Worker) directTo(dst netip.AddrPort) *cluster.Endpoint {
	ep := w.direct[dst]
	if ep == nil {
		if len(w.direct) >= maxDirect {
			clear(w.direct)
		}
		ep = cluster.NewEndpoint(dst, w.o.Loops)
		w.direct[dst] = ep
	}
	return ep
}
