package kube

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-mesh/sluice/sidecar/discovery"
)

// Follow answers the targets of a Service by its name, as soon as everything that they are made of has come. It is for those who ask
// about a Service without calling it; the error says why there is no answer, as that ctx has ended first. What may not be read is not waited
// for. Targets are followed until nobody has used them for Options.IdleAfter.
func (r *Resolver) Follow(ctx context.Context, namespace, name string) ([]*discovery.Target, error) {
	q := query{api: r.client.core, resource: "services", namespace: namespace,
		options: metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("metadata.name", name).String()}}
	var list corev1.ServiceList
	if err := r.client.list(ctx, q, &list); err != nil {
		return nil, err
	}
	if len(list.Items) == 0 {
		return nil, fmt.Errorf("there is no Service %s/%s", namespace, name)
	}
	w, err := r.watch(found{types.NamespacedName{Namespace: namespace, Name: name}, &list.Items[0], list.ResourceVersion})
	if err != nil {
		return nil, err
	}
	w.waiting.Add(1) // however long it takes, it is not unused
	defer func() {
		w.asked.Store(time.Now().UnixNano())
		w.waiting.Add(-1)
	}()
	select {
	case <-w.ready: // without what its map and weights need, where that takes too long for connections
		err = w.awaitGiven(ctx)
	case <-w.gone:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("service %s/%s: %w; problems: %q", namespace, name, err, r.problems.List())
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		return nil, fmt.Errorf("service %s/%s has no cluster IP, or has gone", namespace, name)
	}
	if reason := w.service.Reason; reason != discovery.Found {
		return nil, fmt.Errorf("connections to Service %s/%s pass through: %s", namespace, name, reason)
	}
	return w.table().Sorted(), nil
}
