package kube

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/flowcontrol"
	"k8s.io/klog/v2"

	"github.com/sluice-mesh/sluice/sidecar/discovery"
)

// Options are the settings of a Resolver. Zero durations stand for their defaults.
type Options struct {
	Config     *rest.Config // how to reach the API server; see Config
	Loops      int          // of the process
	Node, Zone string       // where its pod runs; "" is unknown
	Log        *slog.Logger // slog.Default() where it is nil

	// ResolveTimeout is how long Resolve takes at most; 1 s.
	ResolveTimeout time.Duration
	// IdleAfter is how long a Service is watched after its last use; 10 min.
	IdleAfter time.Duration
	// AbsentFor is how long it is remembered that no Service has an address; 5 s.
	AbsentFor time.Duration
	// RetryAfter is how long connections to an address pass through at once after the API server did not answer for it; 1 s.
	RetryAfter time.Duration
	// RefusedFor is how long the API server may refuse (401, 403) to say more of a Service in use before its targets are
	// removed and its connections pass through; 5 s. Access rules that are about to settle take less.
	RefusedFor time.Duration
}

// Resolver is discovery from the Kubernetes API. Its methods are safe for concurrent use.
type Resolver struct {
	opts      Options
	client    *client
	limit     flowcontrol.PassiveRateLimiter // of finding out addresses
	gate      *gate
	problems  *discovery.Problems
	synced    atomic.Bool
	table     atomic.Pointer[discovery.Table]
	absent    absences
	secondary secondaries

	ctx     context.Context // ends with Run
	stop    context.CancelFunc
	running sync.WaitGroup // all goroutines; they are started while mu is held and ctx lives, or by one of them

	mu      sync.Mutex // guards what follows; held for short, never while something is sent
	lookups map[netip.Addr]*lookup
	watched map[types.NamespacedName]*watched
	parts   []part
}

// part is a followed Service's part of the table. A later one goes before an earlier one that has the same address, as
// happens when a Service is deleted and another gets its address before we hear of the first.
type part struct {
	of    *watched
	table *discovery.Table
}

var _ discovery.Resolver = (*Resolver)(nil)

// New makes a resolver; it sends nothing yet. An error is one of the configuration, such as a CA file that cannot be
// read. Run must be called, and ended, for what Resolve starts to end.
func New(opts Options) (*Resolver, error) {
	opts.ResolveTimeout = cmp.Or(opts.ResolveTimeout, time.Second)
	opts.IdleAfter = cmp.Or(opts.IdleAfter, 10*time.Minute)
	opts.AbsentFor = cmp.Or(opts.AbsentFor, 5*time.Second)
	opts.RetryAfter = cmp.Or(opts.RetryAfter, time.Second)
	opts.RefusedFor = cmp.Or(opts.RefusedFor, 5*time.Second)
	if opts.Log == nil {
		opts.Log = slog.Default()
	}
	client, err := newClient(opts.Config)
	if err != nil {
		return nil, fmt.Errorf("discovery from the Kubernetes API: %w", err)
	}
	r := &Resolver{opts: opts, client: client, limit: flowcontrol.NewTokenBucketPassiveRateLimiter(findQPS, findBurst),
		problems:  discovery.NewProblems(opts.Log),
		secondary: secondaries{lock: make(chan struct{}, 1)},
		lookups:   map[netip.Addr]*lookup{}, watched: map[types.NamespacedName]*watched{}}
	r.gate = newGate(r.onTurn)
	r.table.Store(&discovery.Table{})
	ctx := klog.NewContext(context.Background(), logr.FromSlogHandler(opts.Log.Handler()))
	r.ctx, r.stop = context.WithCancel(ctx)
	return r, nil
}

// Run asks the API server for a sign of life, ends watches that are no longer used, and ends everything with ctx. It
// answers nil then.
func (r *Resolver) Run(ctx context.Context) error {
	defer func() {
		r.mu.Lock()
		r.stop()
		r.mu.Unlock()
		r.running.Wait()
		r.client.http.CloseIdleConnections()
	}()
	r.running.Go(r.greet)
	tick := time.NewTicker(max(r.opts.IdleAfter/10, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			for _, w := range r.allWatched() {
				if w.retire(now.Add(-r.opts.IdleAfter)) {
					r.opts.Log.Debug("discovery: watch ended", "service", w.name.String(), "reason", "unused")
				}
			}
		}
	}
}

// greet asks for the Service that every cluster has until the API server answers. A refusal is an answer: it is reported,
// and connections pass through.
func (r *Resolver) greet() {
	q := query{api: r.client.core, resource: "services", namespace: metav1.NamespaceDefault,
		options: metav1.ListOptions{FieldSelector: "metadata.name=kubernetes"}}
	for r.ctx.Err() == nil && !r.synced.Load() {
		err := r.gate.do(r.ctx, func() error { return r.client.list(r.ctx, q, &corev1.ServiceList{}) })
		if answered(err) {
			r.answered("greeting", err)
		}
	}
}

// answered notes that the API server answered a request that is not one Service's, with a refusal or without.
func (r *Resolver) answered(what string, refused error) {
	r.synced.Store(true)
	if refused != nil {
		r.problems.Set(what, []string{refusal(refused).Error()})
	}
}

// permitted notes that there is permission. Each kind of request that was refused is not waited for: one account's
// permissions come and go together, and if not, the next request says so again.
func (r *Resolver) permitted() {
	r.problems.Set("greeting", nil)
	r.problems.Set("access", nil)
}

// onTurn reports that the API server is away, or back.
func (r *Resolver) onTurn(err error) {
	if err == nil {
		r.problems.Set("api", nil)
		return
	}
	r.problems.Set("api", []string{fmt.Sprintf("the API server does not answer: %v; what was known stays in force", err)})
}

// Status answers the state. Age is that of the watch that has been broken for longest, and when nothing is watched, the
// time for which the API server has been away.
func (r *Resolver) Status() discovery.Status {
	s := discovery.Status{Source: "kube", Synced: r.synced.Load(), Targets: r.table.Load().Sorted(), Problems: r.problems.List()}
	all := r.allWatched()
	for _, w := range all {
		for _, f := range w.followers() {
			if since := f.since.Load(); since != 0 {
				s.Age = max(s.Age, time.Since(time.Unix(0, since)))
			}
		}
	}
	if since, down := r.gate.downSince(); down && len(all) == 0 {
		s.Age = time.Since(since)
	}
	return s
}

func (r *Resolver) allWatched() []*watched {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]*watched, 0, len(r.watched))
	for _, w := range r.watched {
		all = append(all, w)
	}
	return all
}

// install puts a followed Service's part into the table, in place of the one before.
func (r *Resolver) install(w *watched, table *discovery.Table) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dropPart(w)
	r.parts = append(r.parts, part{w, table})
	r.publish()
}

// remove takes a Service that is followed no more out of the table.
func (r *Resolver) remove(w *watched) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.watched[w.name] == w {
		delete(r.watched, w.name)
	}
	if r.dropPart(w) {
		r.publish()
	}
}

// dropPart forgets a Service's part, if there is one. r is locked.
func (r *Resolver) dropPart(w *watched) bool {
	for i, p := range r.parts {
		if p.of == w {
			r.parts = append(r.parts[:i:i], r.parts[i+1:]...)
			return true
		}
	}
	return false
}

// publish makes the table anew. r is locked.
func (r *Resolver) publish() {
	table := &discovery.Table{Targets: map[netip.AddrPort]*discovery.Target{}, Addrs: map[netip.Addr]discovery.Reason{}}
	owner := map[netip.Addr]int{}
	for i, p := range r.parts {
		for addr, reason := range p.table.Addrs {
			owner[addr], table.Addrs[addr] = i, reason
		}
	}
	for i, p := range r.parts {
		for dst, target := range p.table.Targets {
			if owner[dst.Addr()] == i {
				table.Targets[dst] = target
			}
		}
	}
	r.table.Store(table)
}

var errStopped = errors.New("discovery has ended")
