package kube

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/sluice-mesh/sluice/sidecar/discovery/assemble"
	"github.com/sluice-mesh/sluice/sidecar/shard"
)

// givenWait is how long a Service is not brought up to date because an object that its shard map needs has not come yet: for a
// moment its keys would have no owners. It is shorter than connections wait for the Service.
const givenWait = 700 * time.Millisecond

// given is an object that a shard map needs, followed by its name.
type given struct {
	w        *watched
	resource string
	name     string
	follower follower
	cancel   context.CancelFunc
	set      func(runtime.Object) (changed bool) // told nil when the object is not there; w is locked

	heard bool // it has come, or is not there, or is refused; guarded by w.mu
}

// followGiven begins to follow what the shard map needs as of now, and ends what it needs no more. w is locked.
func (w *watched) followGiven() {
	if w.ended || !w.haveService || !w.haveSlices {
		return
	}
	needs := w.targets.Needs(w.service, slices.Collect(maps.Values(w.bySlice)))
	w.give(&w.statefulSet, needs.StatefulSet, func() *given {
		return &given{resource: "statefulsets", set: w.setStatefulSet, follower: follower{
			query: query{api: w.r.client.apps}, list: func() runtime.Object { return &appsv1.StatefulSetList{} }}}
	})
	w.give(&w.configMap, needs.ConfigMap, func() *given {
		return &given{resource: "configmaps", set: w.setConfigMap, follower: follower{
			query: query{api: w.r.client.core}, list: func() runtime.Object { return &corev1.ConfigMapList{} }}}
	})
}

// give makes a place hold the object of that name. w is locked.
func (w *watched) give(place **given, name string, make func() *given) {
	if old := *place; old != nil {
		if old.name == name {
			return
		}
		old.cancel()
		old.set(nil)
		w.report(old.resource, nil)
		*place = nil
	}
	if name == "" {
		return
	}
	g := make()
	g.w, g.name = w, name
	f := &g.follower
	f.client, f.gate, f.refusedFor = w.r.client, w.r.gate, w.r.opts.RefusedFor
	f.query.resource, f.query.namespace = g.resource, w.name.Namespace
	// With the name in the selector, access rules may be for objects of that name alone.
	f.query.options = metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("metadata.name", name).String()}
	f.onList, f.onEvent, f.onError = g.onList, g.onEvent, g.onError
	ctx, cancel := context.WithCancel(w.ctx)
	g.cancel = cancel
	*place = g
	w.givenBy = time.Now().Add(givenWait)
	w.r.running.Go(func() { f.run(ctx) })
}

// waits says whether an update is put off because an object was not heard of yet. w is locked.
func (w *watched) waits() bool {
	for _, g := range []*given{w.statefulSet, w.configMap} {
		if g != nil && !g.heard && time.Now().Before(w.givenBy) {
			return true
		}
	}
	return false
}

// current says whether the object is still needed. w is locked.
func (g *given) current() bool { return !g.w.ended && (g.w.statefulSet == g || g.w.configMap == g) }

// tell takes the object as it is now.
func (g *given) tell(object runtime.Object) {
	g.w.mu.Lock()
	defer g.w.mu.Unlock()
	if !g.current() {
		return
	}
	changed := g.set(object)
	if changed || !g.heard { // a StatefulSet changes with each of its pods, and that is of no interest
		g.heard = true
		g.w.update()
	}
}

func (g *given) onList(list runtime.Object) {
	switch l := list.(type) {
	case *appsv1.StatefulSetList:
		for i := range l.Items {
			if l.Items[i].Name == g.name {
				g.tell(&l.Items[i])
				return
			}
		}
	case *corev1.ConfigMapList:
		for i := range l.Items {
			if l.Items[i].Name == g.name {
				g.tell(&l.Items[i])
				return
			}
		}
	}
	g.tell(nil)
}

func (g *given) onEvent(kind watch.EventType, object runtime.Object) {
	if o, ok := object.(metav1.Object); !ok || o.GetName() != g.name {
		return
	}
	if kind == watch.Deleted {
		object = nil
	}
	g.tell(object)
}

// onError reports that the object may not be read. What was known of it stays in force; of endpoints nothing is lost with it.
func (g *given) onError(err error, _ bool) {
	if err != nil && (!answered(err) || expired(err)) {
		return
	}
	g.w.mu.Lock()
	defer g.w.mu.Unlock()
	switch {
	case !g.current():
	case err == nil:
		g.w.report(g.resource, nil)
	default:
		g.w.report(g.resource, []error{fmt.Errorf("%w (sluice.mesh/shard-map needs it: the pod's service account may not read %s %s/%s)",
			err, g.resource, g.w.name.Namespace, g.name)})
		if !g.heard {
			g.heard = true
			g.w.update()
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
	if w.waits() && (at.IsZero() || w.givenBy.Before(at)) {
		at = w.givenBy
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
	if w.ctx.Err() == nil {
		w.update()
	}
}
