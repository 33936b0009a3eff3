package kube

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/sluice-mesh/sluice/sidecar/discovery"
	"github.com/sluice-mesh/sluice/sidecar/discovery/assemble"
)

// watched is one Service that is followed. Its followers, two and those of what its shard map and weights need, call it from their goroutines.
type watched struct {
	r        *Resolver
	name     types.NamespacedName
	ctx      context.Context // of the followers
	cancel   context.CancelFunc
	services follower
	slices   follower
	asked    atomic.Int64  // Unix nanoseconds when a connection last asked for it
	waiting  atomic.Int32  // look-ups that wait for ready
	ready    chan struct{} // closed when both lists have come and their targets are in the table
	gone     chan struct{} // closed when it is followed no more

	mu          sync.Mutex // guards what follows; taken before the Resolver's
	ended       bool
	isReady     bool
	haveService bool
	haveSlices  bool
	service     assemble.Service
	bySlice     map[string]*assemble.Slice
	barred      map[string]bool // the resources whose follower has been refused for too long
	targets     assemble.Targets
	problems    map[string][]string // by object or request
	statefulSet *given              // what the shard map and the weights need; nil is nothing
	configMap   *given
	pods        *given
	givenBy     time.Time // until when they are waited for
	timer       *time.Timer
	ticks       int // how often it has gone off; for tests
}

// newWatched makes what follows a Service, not started yet.
func (r *Resolver) newWatched(name types.NamespacedName) *watched {
	w := &watched{r: r, name: name, ready: make(chan struct{}), gone: make(chan struct{}),
		bySlice: map[string]*assemble.Slice{}, barred: map[string]bool{},
		targets: assemble.Targets{Loops: r.opts.Loops, Node: r.opts.Node, Zone: r.opts.Zone}, problems: map[string][]string{}}
	w.ctx, w.cancel = context.WithCancel(r.ctx)
	w.asked.Store(time.Now().UnixNano())
	w.services = follower{client: r.client, gate: r.gate, refusedFor: r.opts.RefusedFor,
		query: query{api: r.client.core, resource: "services", namespace: name.Namespace,
			options: metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("metadata.name", name.Name).String()}},
		list:    func() runtime.Object { return &corev1.ServiceList{} },
		onList:  w.onServiceList,
		onEvent: w.onService,
		onError: func(err error, barred bool) { w.onError("services", err, barred) },
	}
	w.slices = follower{client: r.client, gate: r.gate, refusedFor: r.opts.RefusedFor,
		query: query{api: r.client.discovery, resource: "endpointslices", namespace: name.Namespace,
			options: metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=" + name.Name}},
		list:    func() runtime.Object { return &discoveryv1.EndpointSliceList{} },
		onList:  w.onSliceList,
		onEvent: w.onSlice,
		onError: func(err error, barred bool) { w.onError("endpointslices", err, barred) },
	}
	return w
}

// start begins to follow. A Service that was found together with its resource version is not listed again. It is called
// by one of the Resolver's goroutines.
func (w *watched) start(f found) {
	if f.service != nil && f.version != "" {
		w.services.from = f.version
		w.setService(f.service)
	}
	w.r.running.Go(func() { w.services.run(w.ctx) })
	w.r.running.Go(func() { w.slices.run(w.ctx) })
}

func (w *watched) onServiceList(list runtime.Object) {
	for i := range list.(*corev1.ServiceList).Items {
		if s := &list.(*corev1.ServiceList).Items[i]; s.Name == w.name.Name {
			w.setService(s)
			return
		}
	}
	w.end()
}

func (w *watched) onService(kind watch.EventType, object runtime.Object) {
	s, ok := object.(*corev1.Service)
	switch {
	case !ok || s.Name != w.name.Name:
	case kind == watch.Deleted:
		w.end()
	default:
		w.setService(s)
	}
}

func (w *watched) setService(in *corev1.Service) {
	s, problems := assemble.ParseService(in)
	if len(s.Addrs) == 0 { // it has become a headless or an ExternalName Service: nothing leads here any more
		w.end()
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.service, w.haveService = s, true
	w.report("Service "+w.name.String(), problems)
	w.update()
}

func (w *watched) onSliceList(list runtime.Object) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := w.bySlice
	w.bySlice, w.haveSlices = map[string]*assemble.Slice{}, true
	for i := range list.(*discoveryv1.EndpointSliceList).Items {
		w.setSlice(&list.(*discoveryv1.EndpointSliceList).Items[i])
	}
	for name := range before {
		if w.bySlice[name] == nil {
			w.report(w.sliceName(name), nil)
		}
	}
	w.update()
}

func (w *watched) onSlice(kind watch.EventType, object runtime.Object) {
	s, ok := object.(*discoveryv1.EndpointSlice)
	if !ok {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if kind == watch.Deleted {
		delete(w.bySlice, s.Name)
		w.report(w.sliceName(s.Name), nil)
	} else {
		w.setSlice(s)
	}
	w.update()
}

func (w *watched) setSlice(in *discoveryv1.EndpointSlice) {
	s, problems := assemble.ParseSlice(in)
	w.bySlice[in.Name] = s
	w.report(w.sliceName(in.Name), problems)
}

func (w *watched) sliceName(name string) string {
	return "EndpointSlice " + w.name.Namespace + "/" + name
}

// update publishes what follows from the Service and its slices, once both are known, or that they may not be known, and sees to it that what
// else they need is followed. w is locked.
func (w *watched) update() {
	service, all := w.service, slices.Collect(maps.Values(w.bySlice))
	defer w.arm()
	if !w.ended && w.haveService && w.haveSlices {
		w.followGiven(w.targets.Needs(service, all))
	}
	switch {
	case w.ended || !w.haveService:
		return
	case len(w.barred) > 0:
		service.Reason = discovery.Forbidden
	case !w.haveSlices || w.waits():
		return
	}
	changed := w.targets.Update(service, all)
	if len(w.barred) == 0 {
		w.followGiven(w.targets.Needed()) // as where an object is not there any more, and so another is needed
	}
	w.report("keys of Service "+w.name.String(), w.targets.Problems())
	w.report("weights of Service "+w.name.String(), w.targets.WeightProblems())
	if changed || !w.isReady {
		w.r.install(w, w.table())
	}
	if !w.isReady {
		w.isReady = true
		close(w.ready)
	}
}

// table answers the Service's part of the table. w is locked.
func (w *watched) table() *discovery.Table {
	t := &discovery.Table{Targets: map[netip.AddrPort]*discovery.Target{}, Addrs: map[netip.Addr]discovery.Reason{}}
	w.targets.AddTo(t)
	return t
}

// end follows the Service no more and takes it out of the table. Targets that are held keep their last snapshot.
func (w *watched) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.endLocked()
}

func (w *watched) endLocked() {
	if w.ended {
		return
	}
	w.ended = true
	w.targets.Update(assemble.Service{}, nil)
	w.r.remove(w)
	w.r.problems.Set(w.name.String(), nil)
	w.arm()
	w.cancel()
	close(w.gone)
}

// hasEnded reports whether it is followed no more.
func (w *watched) hasEnded() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ended
}

// retire ends it when nobody used it, or asked for it, since the given time; it reports whether it did.
func (w *watched) retire(unusedSince time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended || w.waiting.Load() > 0 || w.asked.Load() >= unusedSince.UnixNano() {
		return false
	}
	retired, changed := w.targets.Retire(unusedSince)
	if retired {
		w.endLocked()
	} else if changed {
		w.r.install(w, w.table())
	}
	return retired
}

// onError notes that a follower's request was refused, or was not. That the API server is away is the gate's to report.
func (w *watched) onError(what string, err error, barred bool) {
	if err != nil && (!answered(err) || expired(err)) {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case err == nil:
		w.report(what, nil)
		w.unbar(what)
	case !w.barred[what]: // said once, though lists may be refused where watches were
		w.report(what, []error{refusal(err)})
		if barred {
			w.bar(what)
		}
	}
}

// followers answers those there are now.
func (w *watched) followers() []*follower {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := []*follower{&w.services, &w.slices}
	for _, g := range w.allGiven() {
		all = append(all, &g.follower)
	}
	return all
}

// report notes the problems with one object or request of the Service. w is locked.
func (w *watched) report(about string, problems []error) {
	if w.ended || len(problems) == 0 && w.problems[about] == nil {
		return
	}
	delete(w.problems, about)
	for _, err := range problems {
		w.problems[about] = append(w.problems[about], fmt.Sprintf("%s: %v", about, err))
	}
	w.r.problems.Set(w.name.String(), slices.Concat(slices.Collect(maps.Values(w.problems))...))
}
