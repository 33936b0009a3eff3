package kube

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
)

// podsPage is how many pods are decoded at a time while they are listed; the metadata of one takes about 3 KB.
const podsPage = 500

// selected makes what follows the pods with these labels, of which only the metadata is asked for.
func (w *watched) selected(selector string) *given {
	pods := &w.targets.Given.Pods
	return &given{
		what: "pods of namespace " + w.name.Namespace, neededBy: "weights: pods",
		follower: follower{
			query: query{api: w.r.client.core, resource: "pods", metadata: true,
				options: metav1.ListOptions{LabelSelector: selector, Limit: podsPage}},
			list: func() runtime.Object { return &metav1.PartialObjectMetadataList{} },
		},
		begin: pods.Begin,
		onList: func(object runtime.Object) (changed bool) {
			list := object.(*metav1.PartialObjectMetadataList)
			for i := range list.Items {
				changed = pods.Set(list.Items[i].Name, list.Items[i].Annotations) || changed
			}
			if list.Continue == "" {
				changed = pods.End() || changed
			}
			return changed
		},
		onEvent: func(kind watch.EventType, object runtime.Object) bool {
			pod, ok := object.(*metav1.PartialObjectMetadata)
			switch {
			case !ok:
				return false
			case kind == watch.Deleted:
				return pods.Delete(pod.Name)
			}
			return pods.Set(pod.Name, pod.Annotations)
		},
		drop: pods.Lose,
	}
}
