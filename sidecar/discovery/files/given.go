package files

import (
	"encoding/json"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	kubejson "sigs.k8s.io/json"

	"github.com/sluice-mesh/sluice/sidecar/discovery/assemble"
	"github.com/sluice-mesh/sluice/sidecar/shard"
)

// StatefulSets and ConfigMaps are what shard maps are made of besides endpoints, and Pods may have their weights themselves. Most of what is in them is of no interest here,
// so fields that nobody knows are none of our business either.

// ownedSet is a StatefulSet.
type ownedSet struct {
	self name
	set  *shard.StatefulSet
}

// ownedData is a ConfigMap.
type ownedData struct {
	self name
	data map[string]string
}

func (p *parser) statefulSet(raw json.RawMessage) error {
	var in struct {
		metav1.ObjectMeta `json:"metadata"`
		Spec              struct {
			Replicas *int32                      `json:"replicas"`
			Ordinals *appsv1.StatefulSetOrdinals `json:"ordinals"`
		} `json:"spec"`
	}
	if err := kubejson.UnmarshalCaseSensitivePreserveInts(raw, &in); err != nil {
		return fmt.Errorf("StatefulSet: %w", describe(err, raw))
	}
	n, err := nameOf(in.ObjectMeta)
	if err != nil {
		return fmt.Errorf("StatefulSet: %w", err)
	}
	for field, v := range map[string]*int32{"replicas": in.Spec.Replicas, "ordinals.start": firstOf(in.Spec.Ordinals)} {
		if v != nil && *v < 0 {
			return fmt.Errorf("StatefulSet %v: spec.%s: %d is below 0", n, field, *v)
		}
	}
	set := assemble.ParseStatefulSet(&appsv1.StatefulSet{ObjectMeta: in.ObjectMeta,
		Spec: appsv1.StatefulSetSpec{Replicas: in.Spec.Replicas, Ordinals: in.Spec.Ordinals}})
	p.m.sets = append(p.m.sets, ownedSet{n, set})
	return nil
}

func firstOf(o *appsv1.StatefulSetOrdinals) *int32 {
	if o == nil {
		return nil
	}
	return &o.Start
}

func (p *parser) configMap(raw json.RawMessage) error {
	var in corev1.ConfigMap
	if err := kubejson.UnmarshalCaseSensitivePreserveInts(raw, &in); err != nil {
		return fmt.Errorf("ConfigMap: %w", describe(err, raw))
	}
	n, err := nameOf(in.ObjectMeta)
	if err != nil {
		return fmt.Errorf("ConfigMap: %w", err)
	}
	p.m.data = append(p.m.data, ownedData{n, assemble.ParseConfigMap(&in)})
	return nil
}

// pod is what is kept of a Pod, in case that a Service asks for the weights of its pods.
type pod struct {
	self                name
	labels, annotations map[string]string
}

// pod keeps a Pod that is there, and so has a name.
func (p *parser) pod(raw json.RawMessage) error {
	var in struct {
		metav1.ObjectMeta `json:"metadata"`
	}
	if err := kubejson.UnmarshalCaseSensitivePreserveInts(raw, &in); err != nil {
		return fmt.Errorf("a Pod: %w", describe(err, raw))
	}
	if n, err := nameOf(in.ObjectMeta); err == nil {
		p.m.pods = append(p.m.pods, pod{n, in.Labels, in.Annotations})
	}
	return nil
}

// give answers what a Service needs of what the files have, where it had these pods before.
func (m *merged) give(service name, needs assemble.Needs, pods assemble.Pods) (g assemble.Given) {
	if needs.Pods != "" {
		selects, err := labels.Parse(needs.Pods)
		if err != nil { // a manifest's labels may be anything
			selects = labels.Nothing()
		}
		pods.Begin()
		for n, p := range m.pods {
			if n.namespace == service.namespace && selects.Matches(labels.Set(p.labels)) {
				pods.Set(n.name, p.annotations)
			}
		}
		pods.End()
		g.Pods = pods
	}
	if needs.StatefulSet != "" {
		g.StatefulSet = m.sets[name{service.namespace, needs.StatefulSet}]
	}
	if needs.ConfigMap != "" {
		g.Data = m.data[name{service.namespace, needs.ConfigMap}]
	}
	return g
}

// arm sees to it that again is called when the next hold of a pod ends. r is locked.
func (r *Resolver) arm() {
	var first time.Time
	for _, t := range r.services {
		if until := t.HoldUntil(); first.IsZero() || !until.IsZero() && until.Before(first) {
			first = until
		}
	}
	switch {
	case first.IsZero():
		r.holds.Stop()
	default:
		r.holds.Reset(time.Until(first))
	}
}

// again publishes what follows from time having gone on, of which other objects may be needed.
func (r *Resolver) again() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.publish()
}
