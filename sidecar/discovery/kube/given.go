package kube

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/sluice-mesh/sluice/sidecar/discovery/assemble"
	"github.com/sluice-mesh/sluice/sidecar/shard"
)

// givenWait is how long a Service is not brought up to date because an object that its shard map or weights need has not come yet:
// for a moment its keys would have no owners, or its pods the wrong weights. It is shorter than connections wait for the Service.
const givenWait = 700 * time.Millisecond

// given is an object that a shard map needs, followed by its name, or the pods that have their weights themselves.
type given struct {
	w        *watched
	what     string // for people, as an object's kind and name
	neededBy string // the setting
	key      string // the name, or the selector
	follower follower
	ctx      context.Context // of the follower
	cancel   context.CancelFunc

	// w is locked when these are called.
	begin   func() // of a listing; may be nil
	onList  func(runtime.Object) (changed bool)
	onEvent func(watch.EventType, runtime.Object) (changed bool)
	drop    func() // it is followed no more

	heard   bool          // it has come, or is not there, or is refused; guarded by w.mu
	hears   chan struct{} // closed when heard is set, and what follows from it is published
	changed bool          // an update is due when the rest of a listing has come; guarded by w.mu
}

// followGiven begins to follow what the Service needs, and ends what it needs no more. w is locked.
func (w *watched) followGiven(needs assemble.Needs) {
	w.give(&w.statefulSet, needs.StatefulSet, func(name string) *given {
		return named(name, query{api: w.r.client.apps, resource: "statefulsets"},
			func() runtime.Object { return &appsv1.StatefulSetList{} }, w.setStatefulSet)
	})
	w.give(&w.configMap, needs.ConfigMap, func(name string) *given {
		return named(name, query{api: w.r.client.core, resource: "configmaps"},
			func() runtime.Object { return &corev1.ConfigMapList{} }, w.setConfigMap)
	})
	w.give(&w.pods, needs.Pods, w.selected)
}

// named makes what follows an object by its name. set takes it as it is now, nil when it is not there.
func named(name string, q query, list func() runtime.Object, set func(runtime.Object) (changed bool)) *given {
	// With the name in the selector, access rules may be for objects of that name alone.
	q.options = metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("metadata.name", name).String()}
	is := func(object runtime.Object) bool {
		o, ok := object.(metav1.Object)
		return ok && o.GetName() == name
	}
	return &given{follower: follower{query: q, list: list}, neededBy: "shard-map",
		onList: func(list runtime.Object) bool {
			var found runtime.Object
			_ = meta.EachListItem(list, func(object runtime.Object) error { // it is a list
				if is(object) {
					found = object
				}
				return nil
			})
			return set(found)
		},
		onEvent: func(kind watch.EventType, object runtime.Object) bool {
			switch {
			case !is(object):
				return false
			case kind == watch.Deleted:
				return set(nil)
			}
			return set(object)
		},
		drop: func() { set(nil) },
	}
}

// give makes a place hold what has that key. w is locked.
func (w *watched) give(place **given, key string, following func(key string) *given) {
	if old := *place; old != nil {
		if old.key == key {
			return
		}
		old.cancel()
		old.drop()
		w.report(old.follower.query.resource, nil)
		*place = nil
	}
	if key == "" {
		return
	}
	g := following(key)
	g.w, g.key, g.hears = w, key, make(chan struct{})
	f := &g.follower
	f.client, f.gate, f.refusedFor = w.r.client, w.r.gate, w.r.opts.RefusedFor
	f.query.namespace = w.name.Namespace
	if g.what == "" {
		g.what = fmt.Sprintf("%s %s/%s", f.query.resource, w.name.Namespace, key)
	}
	f.begin = func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if g.begin != nil && g.current() {
			g.begin()
		}
	}
	f.onList = func(list runtime.Object) {
		access, err := meta.ListAccessor(list)
		g.tell(func() bool { return g.onList(list) }, err != nil || access.GetContinue() == "")
	}
	f.onEvent = func(kind watch.EventType, object runtime.Object) {
		g.tell(func() bool { return g.onEvent(kind, object) }, true)
	}
	f.onError = g.onError
	g.ctx, g.cancel = context.WithCancel(w.ctx)
	*place = g
	w.givenBy = time.Now().Add(givenWait)
	w.r.running.Go(func() { f.run(g.ctx) })
}

// allGiven answers what is followed of what is needed. w is locked.
func (w *watched) allGiven() (all []*given) {
	for _, g := range [...]*given{w.statefulSet, w.configMap, w.pods} {
		if g != nil {
			all = append(all, g)
		}
	}
	return all
}

// waits says whether an update is put off because an object was not heard of yet. w is locked.
func (w *watched) waits() bool {
	for _, g := range w.allGiven() {
		if !g.heard && time.Now().Before(w.givenBy) {
			return true
		}
	}
	return false
}

// current says whether the object is still needed. w is locked.
func (g *given) current() bool { return !g.w.ended && slices.Contains(g.w.allGiven(), g) }

// tell takes what there is now; a part of it is not the whole yet.
func (g *given) tell(take func() (changed bool), whole bool) {
	g.w.mu.Lock()
	defer g.w.mu.Unlock()
	if !g.current() {
		return
	}
	g.changed = take() || g.changed
	if whole && (g.changed || !g.heard) { // a StatefulSet changes with each of its pods, and a pod at all times, and that is of no interest
		g.changed = false
		g.hear()
	}
}

// hear publishes what follows from what there is now. w is locked.
func (g *given) hear() {
	first := !g.heard
	g.heard = true
	g.w.update()
	if first {
		close(g.hears)
	}
}

// awaitGiven waits until all that is needed was heard of, the Service is followed no more, or ctx ends; the error is that of ctx.
func (w *watched) awaitGiven(ctx context.Context) error {
	for {
		g := w.unheard()
		if g == nil {
			return nil
		}
		select {
		case <-g.hears:
		case <-g.ctx.Done(): // it is needed no more
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", g.what, ctx.Err())
		}
	}
}

// unheard answers something that is needed and was not heard of yet; nil where there is nothing.
func (w *watched) unheard() *given {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, g := range w.allGiven() {
		if !g.heard && !w.ended {
			return g
		}
	}
	return nil
}

// onError reports that the object may not be read. What was known of it stays in force; of endpoints nothing is lost with it.
func (g *given) onError(err error, _ bool) {
	if err != nil && (!answered(err) || expired(err)) {
		return
	}
	g.w.mu.Lock()
	defer g.w.mu.Unlock()
	resource := g.follower.query.resource
	switch {
	case !g.current():
	case err == nil:
		g.w.report(resource, nil)
	default:
		g.w.report(resource, []error{fmt.Errorf("%w (sluice.mesh/%s needs it: the pod's service account may not read %s)",
			err, g.neededBy, g.what)})
		if !g.heard {
			g.hear()
		}
	}
}

func (w *watched) setStatefulSet(object runtime.Object) (changed bool) {
	var now *shard.StatefulSet
	if s, ok := object.(*appsv1.StatefulSet); ok {
		now = assemble.ParseStatefulSet(s)
	}
	old := w.targets.Given.StatefulSet
	if now == old || now != nil && old != nil && *now == *old {
		return false
	}
	w.targets.Given.StatefulSet = now
	return true
}

func (w *watched) setConfigMap(object runtime.Object) (changed bool) {
	var now map[string]string
	if c, ok := object.(*corev1.ConfigMap); ok {
		now = assemble.ParseConfigMap(c)
	}
	old := w.targets.Given.Data
	if (now == nil) == (old == nil) && maps.Equal(now, old) {
		return false
	}
	w.targets.Given.Data = now
	return true
}

// arm sees to it that tick is called when an update is due for no other reason than that time has gone on. w is locked.
func (w *watched) arm() {
	at := w.targets.HoldUntil()
	if w.waits() {
		at = w.givenBy // nothing is brought up to date before, whatever is due
	}
	switch {
	case w.timer != nil && (at.IsZero() || w.ended):
		w.timer.Stop()
	case at.IsZero():
	case w.timer == nil:
		w.timer = time.AfterFunc(time.Until(at), w.tick)
	default:
		w.timer.Reset(time.Until(at))
	}
}

func (w *watched) tick() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ticks++
	if w.ctx.Err() == nil {
		w.update()
	}
}
