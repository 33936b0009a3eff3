package proxy

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/balancer"
	"github.com/sluice-mesh/sluice/sidecar/classify"
	"github.com/sluice-mesh/sluice/sidecar/cluster"
	"github.com/sluice-mesh/sluice/sidecar/discovery"
	"github.com/sluice-mesh/sluice/sidecar/h1"
	"github.com/sluice-mesh/sluice/sidecar/h2/frame"
	"github.com/sluice-mesh/sluice/sidecar/listener"
	"github.com/sluice-mesh/sluice/sidecar/loop"
	"github.com/sluice-mesh/sluice/sidecar/metrics"
	"github.com/sluice-mesh/sluice/sidecar/retry"
	"github.com/sluice-mesh/sluice/sidecar/shardkey"
	"github.com/sluice-mesh/sluice/sidecar/upstream"
	"github.com/sluice-mesh/sluice/test/meshtest"
)

func TestMain(m *testing.M) { meshtest.Main(m) }

// patience bounds every wait of these tests; it is only ever used up by a failure.
const patience = 10 * time.Second

// clusterIP is where every connection of a rig was going, unless the test says otherwise. Nobody listens there: the last way out is
// refused.
var clusterIP = netip.MustParseAddrPort("127.0.0.99:9")

// rig is a real loop with a real listener and Worker, in front of servers on the loopback address. At its end it checks that
// nothing is left over: connections, coroutines, buffers, requests under way, attempts in flight.
type rig struct {
	t        *testing.T
	l        *loop.Loop
	w        *Worker
	m        *metrics.Metrics
	resolver *resolver
	target   *discovery.Target
	index    int     // of the loop
	shared   *Shared // with the other loop of a pair
	addr     netip.AddrPort
	dst      netip.AddrPort // what the listener takes for the original destination; the loop's

	mu        sync.Mutex
	endpoints map[netip.AddrPort]*cluster.Endpoint // all that were ever published
	loops     int                                  // of the process
	panics    []string
	wantPanic bool
	stopped   bool // by the test itself
}

var testLog = slog.New(slog.DiscardHandler)

// newRig starts a rig whose one Service port, default/web:80, has no endpoints yet.
func newRig(t *testing.T, change ...func(*Options)) *rig {
	t.Helper()
	r := &rig{t: t, dst: clusterIP, endpoints: map[netip.AddrPort]*cluster.Endpoint{}, loops: 1}
	r.init()
	r.start(change...)
	return r
}

// newPair starts two rigs that are the loops of one process. Endpoints are published by the first one.
func newPair(t *testing.T, change ...func(*Options)) (a, b *rig) {
	t.Helper()
	a = &rig{t: t, dst: clusterIP, endpoints: map[netip.AddrPort]*cluster.Endpoint{}, loops: 2}
	a.init()
	b = &rig{t: t, dst: clusterIP, endpoints: map[netip.AddrPort]*cluster.Endpoint{}, loops: 2, index: 1, m: a.m, resolver: a.resolver, target: a.target}
	a.shared = NewShared()
	change = append([]func(*Options){func(o *Options) { o.Shared = a.shared }}, change...)
	a.start(change...)
	b.start(change...)
	return a, b
}

// init makes what the loops of a process have in common.
func (r *rig) init() {
	t := r.t
	t.Helper()
	words := metrics.Words{Outcomes: classify.Outcomes(), Refusals: []string{""}}
	for reason := range h1.Reasons {
		words.Refusals = append(words.Refusals, reason.String())
	}
	for reason := range frame.Reasons {
		words.Violations = append(words.Violations, reason.String())
	}
	for reason := discovery.Found; reason <= discovery.LastReason; reason++ {
		words.Passthroughs = append(words.Passthroughs, reason.String())
	}
	for o := shardkey.Found; o <= shardkey.LastOutcome; o++ {
		words.Keys = append(words.Keys, o.String())
	}
	r.m = metrics.New(r.loops, words)
	r.resolver = &resolver{targets: map[netip.AddrPort]*discovery.Target{}, reason: discovery.UnknownService}
	r.target = discovery.NewTarget("default", "web", "", 80, snapshot(t, 1, cluster.Undeclared, ""))
	r.resolver.set(clusterIP, r.target)
}

// start starts the loop.
func (r *rig) start(change ...func(*Options)) {
	t := r.t
	t.Helper()
	o := Options{Resolver: r.resolver, Metrics: r.m, Log: testLog, Loops: r.loops,
		Upstream: upstream.Defaults(), Budget: retry.Defaults(), ResolveTimeout: time.Second}
	for _, f := range change {
		f(&o)
	}
	if o.Shared == nil {
		o.Shared = NewShared()
	}
	if o.Shared.MaxRequests == 0 {
		o.Shared.MaxRequests = math.MaxInt // never met, but counted, so that end sees who did not exit
	}
	var err error
	r.l, err = loop.New(loop.Options{Index: r.index, OnPanic: func(v any, stack []byte) {
		r.m.Loop(r.index).Panics.Add(1)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.panics = append(r.panics, fmt.Sprintf("%v\n%s", v, stack))
	}})
	if err != nil {
		t.Fatal(err)
	}
	r.w = New(r.l, o)
	// Nothing is dialled ahead unless a test asks for it, so that connections can be told apart.
	r.w.silence = time.Hour
	ln, err := r.l.Listen(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	r.addr = ln.Addr()
	r.l.Go(func() {
		lo := listener.Options{Serve: r.w.Serve, Stats: r.m.Loop(r.index),
			OriginalDst: func(*loop.Conn) (netip.AddrPort, error) { return r.dst, nil }}
		if err := listener.Serve(r.l, ln, lo); err != nil {
			t.Errorf("the listener ended: %v", err)
		}
	})
	go r.l.Run()
	t.Cleanup(r.end)
}

// end checks that nothing is left over, and stops the loop.
func (r *rig) end() {
	t := r.t
	t.Helper()
	if r.stopped {
		return
	}
	s := r.m.Loop(r.index)
	r.eventually("connections of applications to end", func() bool { return s.Open.Load() == 0 })
	r.eventually("connections to endpoints to end", func() bool { return s.Upstreams.Load() == 0 })
	r.on(func() { r.w.pools.Close() })
	r.eventually("idle connections to be closed", func() bool { return s.Idle.Load() == 0 })
	left := ""
	// What stays are the listener's coroutine and, for a moment, the pools' sweeper.
	ok := r.poll(func() bool {
		r.on(func() {
			left = ""
			if n := r.l.Live(); n > 2 {
				left += fmt.Sprintf(" %d coroutines,", n)
			}
			if n := r.l.BuffersOut(); n != 0 {
				left += fmt.Sprintf(" %d buffers,", n)
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			for addr, ep := range r.endpoints {
				if n := ep.Load[r.index].InFlight; n != 0 {
					left += fmt.Sprintf(" %d attempts in flight at %s,", n, addr)
				}
				if n := ep.Places.Taken(); n != 0 {
					left += fmt.Sprintf(" %d places taken at %s,", n, addr)
				}
			}
			if n := r.w.o.Shared.underWay.Taken(); n != 0 {
				left += fmt.Sprintf(" %d requests under way,", n)
			}
		})
		return left == ""
	})
	if !ok {
		t.Errorf("left over after the test:%s", left)
	}
	r.on(func() { r.w.Close() })
	r.l.Stop()
	select {
	case <-r.l.Done():
	case <-time.After(patience):
		t.Errorf("the loop did not end within %v of Stop", patience)
	}
	if !r.wantPanic {
		for _, p := range r.panics {
			t.Errorf("panic: %s", p)
		}
	}
}

// on runs f on the loop and waits for it.
func (r *rig) on(f func()) {
	done := make(chan struct{})
	if !r.l.Post(func() { defer close(done); f() }) {
		r.t.Fatal("the loop has ended")
	}
	select {
	case <-done:
	case <-time.After(patience):
		r.t.Fatal("the loop is stuck")
	}
}

// goingTo makes dst the original destination of the connections to come.
func (r *rig) goingTo(dst netip.AddrPort) { r.on(func() { r.dst = dst }) }

func (r *rig) poll(cond func() bool) bool {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return meshtest.Poll(ctx, "", func() (bool, error) { return cond(), nil }) == nil
}

// eventually fails the test when cond does not come true.
func (r *rig) eventually(what string, cond func() bool) {
	r.t.Helper()
	if !r.poll(cond) {
		r.t.Errorf("waited %v in vain for %s", patience, what)
	}
}

// counts waits until a counter has a value: what is counted is counted behind the bytes that a peer sees.
func (r *rig) counts(what string, want int, get func() uint64) {
	r.t.Helper()
	var n uint64
	if !r.poll(func() bool { n = get(); return n == uint64(want) }) {
		r.t.Errorf("%d %s, want %d", n, what, want)
	}
}

// snapshot makes one over the endpoints, with the default policy.
func snapshot(t *testing.T, generation uint64, p cluster.Protocol, policy string, eps ...*cluster.Endpoint) *discovery.Snapshot {
	t.Helper()
	set := &cluster.EndpointSet{Generation: generation, Endpoints: eps}
	picker, err := balancer.New(balancer.Options{Policy: policy}, set)
	if err != nil {
		t.Fatal(err)
	}
	return &discovery.Snapshot{Protocol: p, Set: set, Picker: picker}
}

// serve makes addrs the endpoints of the Service port.
func (r *rig) serve(addrs ...netip.AddrPort) { r.t.Helper(); r.declare(cluster.Undeclared, addrs...) }

// declare makes addrs the endpoints of the Service port, which declares a protocol.
func (r *rig) declare(p cluster.Protocol, addrs ...netip.AddrPort) {
	r.t.Helper()
	r.target.Publish(snapshot(r.t, r.target.Snapshot().Set.Generation+1, p, "", r.eps(addrs...)...))
}

// inOrder makes addrs the endpoints, picked in this order.
func (r *rig) inOrder(addrs ...netip.AddrPort) {
	set := &cluster.EndpointSet{Endpoints: r.eps(addrs...)}
	r.target.Publish(&discovery.Snapshot{Set: set, Picker: pickFirst(set.Endpoints)})
}

func (r *rig) eps(addrs ...netip.AddrPort) (eps []*cluster.Endpoint) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range addrs {
		if r.endpoints[a] == nil {
			r.endpoints[a] = cluster.NewEndpoint(a, r.loops)
		}
		eps = append(eps, r.endpoints[a])
	}
	return eps
}

// pickFirst picks the first endpoint that was not tried.
type pickFirst []*cluster.Endpoint

func (p pickFirst) Pick(r *balancer.Request) *cluster.Endpoint {
next:
	for _, e := range p {
		for _, t := range r.Tried {
			if t == e {
				continue next
			}
		}
		return e
	}
	return nil
}

// pickBefore runs a function on the loop before each pick.
type pickBefore struct {
	balancer.Picker
	before func()
}

func (p pickBefore) Pick(r *balancer.Request) *cluster.Endpoint {
	p.before()
	return p.Picker.Pick(r)
}

// service answers the counters of the Service port.
func (r *rig) service() *metrics.Service { return r.m.Service(r.target.Name, r.index) }

// waiting answers how many requests wait until an endpoint is below its limit, on all loops.
func (r *rig) waiting() uint64 { return uint64(r.w.o.Shared.of(r.target.Name).queue.n.Load()) }

// attempts answers how many attempts ended in a way, however their endpoint was chosen.
func (r *rig) attempts(o classify.Outcome) (n uint64) {
	s := r.service()
	for c := range s.Attempts {
		n += s.Attempts[c][o].Load()
	}
	return n
}

// resolver is a source of targets in memory.
type resolver struct {
	mu      sync.Mutex
	targets map[netip.AddrPort]*discovery.Target
	reason  discovery.Reason // for destinations without a target
	resolve func(done func(discovery.Answer))
}

func (r *resolver) set(dst netip.AddrPort, t *discovery.Target) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.targets[dst] = t
}

func (r *resolver) Lookup(dst netip.AddrPort) discovery.Answer {
	r.mu.Lock()
	defer r.mu.Unlock()
	if t := r.targets[dst]; t != nil && t.Hold() {
		return discovery.Answer{Target: t}
	}
	return discovery.Answer{Reason: r.reason}
}

func (r *resolver) Resolve(_ netip.AddrPort, done func(discovery.Answer)) {
	r.mu.Lock()
	resolve := r.resolve
	r.mu.Unlock()
	resolve(done)
}

// unknown says what is answered for destinations without a target, and what resolves them when that is Pending.
func (r *resolver) unknown(reason discovery.Reason, resolve func(done func(discovery.Answer))) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reason, r.resolve = reason, resolve
}

func (r *resolver) Run(context.Context) error { return nil }
func (r *resolver) Status() discovery.Status  { return discovery.Status{Synced: true} }

// closedPort answers an address where nothing listens as long as the test lasts.
func closedPort(t *testing.T) netip.AddrPort { return meshtest.HoldPort(t) }
